/* arrow_types.c - reads types of Arrow and says what they convert to. See arrow_types.h. */
#include "arrow_types.h"

#include <stdlib.h>
#include <string.h>

/* ---- how types are spelt ----------------------------------------------------------------- */

static bool set(mmb_binding *binding, mmb_in_layout layout, uint32_t width)
{
    binding->layout = layout;
    binding->width = width;
    return true;
}

/* Read the number behind a prefix such as "w:". Return false if no valid number is there. */
static bool set_fixed(mmb_binding *binding, mmb_in_layout layout, const char *number)
{
    char *end;
    unsigned long width = strtoul(number, &end, 10);
    return *number >= '0' && *number <= '9' && *end == 0 && width <= MMB_MAX_SEGMENT_WORDS &&
           set(binding, layout, (uint32_t)width);
}

static bool set_unit(mmb_meaning *meaning, char letter)
{
    static const char letters[] = "smun";
    const char *found = letter != 0 ? strchr(letters, letter) : NULL;
    meaning->unit = found != NULL ? (uint8_t)(3 * (found - letters)) : 0;
    return found != NULL;
}

/* Read a format that begins with "t". */
static bool read_time(mmb_binding *b, const char *format)
{
    mmb_meaning *m = &b->meaning;
    if (strcmp(format, "tdD") == 0) {
        m->what = MMB_DATE32;
        return set(b, MMB_IN_SIGNED, 4);
    }
    if (strcmp(format, "tdm") == 0) {
        m->what = MMB_DATE64;
        return set(b, MMB_IN_SIGNED, 8);
    }
    if (format[1] == 0 || !set_unit(m, format[2])) {
        return false;
    }
    switch (format[1]) {
    case 's': /* the rest is a time zone, which may be empty */
        m->what = MMB_TIMESTAMP;
        m->zoned = format[3] == ':' && format[4] != 0;
        return format[3] == ':' && set(b, MMB_IN_SIGNED, 8);
    case 't':
        m->what = MMB_TIME;
        return format[3] == 0 && set(b, MMB_IN_SIGNED, m->unit < 6 ? 4 : 8);
    case 'D':
        m->what = MMB_DURATION;
        return format[3] == 0 && set(b, MMB_IN_SIGNED, 8);
    default:
        return false;
    }
}

/* Read "d:19,10" or "d:19,10,256". */
static bool read_decimal(mmb_binding *b, const char *format)
{
    char *end;
    unsigned long bits = 128;
    unsigned long precision = strtoul(format + 2, &end, 10);
    long scale = *end == ',' ? strtol(end + 1, &end, 10) : 1000;
    if (*end == ',') {
        bits = strtoul(end + 1, &end, 10);
    }
    b->meaning.what = MMB_DECIMAL;
    b->meaning.scale = (int8_t)scale;
    return *end == 0 && precision <= 76 && scale >= -76 && scale <= 76 &&
           (bits == 32 || bits == 64 || bits == 128 || bits == 256) &&
           set(b, MMB_IN_DECIMAL, (uint32_t)bits / 8);
}

bool mmb__read_format(mmb_binding *b, const char *format)
{
    static const struct {
        const char *format;
        mmb_in_layout layout;
        uint32_t width;
    } known[] = {
        {"n", MMB_IN_NULL, 0},     {"b", MMB_IN_BITS, 0},        {"c", MMB_IN_SIGNED, 1},
        {"s", MMB_IN_SIGNED, 2},   {"i", MMB_IN_SIGNED, 4},      {"l", MMB_IN_SIGNED, 8},
        {"C", MMB_IN_UNSIGNED, 1}, {"S", MMB_IN_UNSIGNED, 2},    {"I", MMB_IN_UNSIGNED, 4},
        {"L", MMB_IN_UNSIGNED, 8}, {"e", MMB_IN_FLOAT, 2},       {"f", MMB_IN_FLOAT, 4},
        {"g", MMB_IN_FLOAT, 8},    {"u", MMB_IN_BYTES, 4},       {"U", MMB_IN_BYTES, 8},
        {"z", MMB_IN_BYTES, 4},    {"Z", MMB_IN_BYTES, 8},       {"vu", MMB_IN_VIEWS, 0},
        {"vz", MMB_IN_VIEWS, 0},   {"+l", MMB_IN_LIST, 4},       {"+L", MMB_IN_LIST, 8},
        {"+m", MMB_IN_LIST, 4},    {"+vl", MMB_IN_LIST_VIEW, 4}, {"+vL", MMB_IN_LIST_VIEW, 8},
        {"+s", MMB_IN_STRUCT, 0},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(format, known[i].format) == 0) {
            return set(b, known[i].layout, known[i].width);
        }
    }
    if (strncmp(format, "w:", 2) == 0) {
        return set_fixed(b, MMB_IN_FIXED_BYTES, format + 2);
    }
    if (strncmp(format, "+w:", 3) == 0) {
        return set_fixed(b, MMB_IN_FIXED_LIST, format + 3);
    }
    if (strncmp(format, "+ud:", 4) == 0 || strncmp(format, "+us:", 4) == 0) {
        return set(b, format[2] == 'd' ? MMB_IN_DENSE_UNION : MMB_IN_SPARSE_UNION, 0);
    }
    if (strncmp(format, "d:", 2) == 0) {
        return read_decimal(b, format);
    }
    return format[0] == 't' && read_time(b, format);
}

const char *mmb__format_hint(const char *format)
{
    if (strncmp(format, "ti", 2) == 0) {
        return "intervals are not supported: give months, days and nanoseconds a field each";
    }
    if (strcmp(format, "+r") == 0) {
        return "runs are not supported here: decode them first";
    }
    return "this type of Arrow is not supported";
}

int mmb__union_code(const char *format, int64_t index)
{
    const char *at = format + 4;
    for (; index > 0 && at != NULL; index--) {
        at = strchr(at, ',');
        at = at != NULL ? at + 1 : NULL;
    }
    if (at == NULL || *at < '0' || *at > '9') {
        return -1;
    }
    unsigned long code = strtoul(at, NULL, 10);
    return code < 128 ? (int)code : -1;
}

/* ---- what they can become ------------------------------------------------------------------ */

static bool is_number(mmb_in_layout layout)
{
    return layout == MMB_IN_SIGNED || layout == MMB_IN_UNSIGNED;
}

/* Return whether values of an array can become values of a type. What they mean does not matter
 * here. */
static bool converts(mmb_in_layout layout, const mmb_plan_type *type)
{
    bool decimal = type->meaning.what == MMB_DECIMAL;
    /* Bools and numbers convert into each other. What counts something is no Bool. */
    bool number =
        is_number(layout) || (layout == MMB_IN_BITS && type->meaning.what == MMB_MEANS_NUMBER);
    if (layout == MMB_IN_NULL) {
        return true;
    }
    switch (type->kind) {
    case MMB_VOID:
        return true;
    case MMB_BOOL:
        return number;
    case MMB_FLOAT32:
    case MMB_FLOAT64:
        return number || layout == MMB_IN_FLOAT;
    case MMB_ENUM:
        return is_number(layout) || mmb__is_bytes(layout);
    case MMB_TEXT:
        return mmb__is_bytes(layout);
    case MMB_DATA:
        return decimal ? is_number(layout) || layout == MMB_IN_DECIMAL : mmb__is_bytes(layout);
    case MMB_LIST:
        return layout == MMB_IN_LIST || layout == MMB_IN_LIST_VIEW || layout == MMB_IN_FIXED_LIST;
    case MMB_STRUCT:
        return layout == MMB_IN_STRUCT;
    case MMB_GROUP:
        return layout == MMB_IN_STRUCT || layout == MMB_IN_DENSE_UNION ||
               layout == MMB_IN_SPARSE_UNION;
    default:
        return number || (decimal && layout == MMB_IN_DECIMAL);
    }
}

const char *const mmb__kind_names[MMB_TYPE_KINDS] = {
    "Void",   "Bool",    "Int8",     "Int16",        "Int32",      "Int64",   "UInt8",
    "UInt16", "UInt32",  "UInt64",   "Float32",      "Float64",    "Text",    "Data",
    "a list", "an enum", "a struct", "an interface", "AnyPointer", "a group",
};

static const char *const annotations[] = {
    [MMB_TIMESTAMP] = "timestamps: the field needs $Arrow.timestamp(unit = \"ns\"), with a unit",
    [MMB_DATE32] = "dates: the field needs $Arrow.date32",
    [MMB_DATE64] = "dates: the field needs $Arrow.date64, or $Arrow.date32",
    [MMB_TIME] = "times: the field needs $Arrow.time(unit = \"us\"), with a unit",
    [MMB_DURATION] = "durations: the field needs $Arrow.duration(unit = \"ns\"), with a unit",
    [MMB_DECIMAL] = "decimals: the field needs $Arrow.decimal(scale = 2), with a scale",
};

/* Return the nanoseconds of one unit of a count. */
static uint64_t ticks(const mmb_meaning *meaning)
{
    static const uint64_t units[10] = {[0] = 1000000000, [3] = 1000000, [6] = 1000, [9] = 1};
    switch (meaning->what) {
    case MMB_DATE32:
        return 86400ull * 1000000000;
    case MMB_DATE64:
        return 1000000;
    default:
        return units[meaning->unit % 10];
    }
}

static bool is_date(mmb_meaning_kind what)
{
    return what == MMB_DATE32 || what == MMB_DATE64;
}

static bool check_meaning(mmb_binding *b, const mmb_meaning *given, const mmb_meaning *wanted,
                          mmb_refusal *refusal)
{
    b->multiply = b->divide = 1;
    if (given->what == MMB_MEANS_NUMBER || given->what == MMB_DECIMAL) {
        return true; /* a plain number is a count; decimals were checked above */
    }
    if (given->what != wanted->what && !(is_date(given->what) && is_date(wanted->what))) {
        return mmb__bind_fail(refusal, MMB_REFUSED_TYPE, b,
                              "the column has %s (an annotation of /mmapbuilder/arrow.capnp)",
                              annotations[given->what]);
    }
    if (given->what == MMB_TIMESTAMP && given->zoned != wanted->zoned) {
        return mmb__bind_fail(refusal, MMB_REFUSED_TYPE, b,
                              given->zoned ? "the column has a time zone, and the field has none"
                                           : "the field has a time zone, and the column has none");
    }
    uint64_t from = ticks(given), to = ticks(wanted);
    b->multiply = from > to ? from / to : 1;
    b->divide = from < to ? to / from : 1;
    return true;
}

bool mmb__check_type(mmb_binding *b, const mmb_binding *values, const mmb_plan_type *type,
                     const char *format, mmb_refusal *refusal)
{
    if (values->layout == MMB_IN_DECIMAL && type->meaning.what != MMB_DECIMAL) {
        return mmb__bind_fail(refusal, MMB_REFUSED_TYPE, b,
                              "the column has %s (an annotation of /mmapbuilder/arrow.capnp)",
                              annotations[MMB_DECIMAL]);
    }
    if (!converts(values->layout, type)) {
        return mmb__bind_fail(refusal, MMB_REFUSED_TYPE, b,
                              "%s cannot be made of Arrow's type \"%s\"",
                              mmb__kind_names[type->kind], format);
    }
    return check_meaning(b, &values->meaning, &type->meaning, refusal);
}
