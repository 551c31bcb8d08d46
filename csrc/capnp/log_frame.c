/* log_frame.c - finds the size of a frame, and the places of the frames of a log. See mmb_log.h. */
#include "mmb_log.h"

#include "log_index.h"
#include "wire.h"

#include <errno.h>
#include <stdlib.h>

static int refuse(const char **reason, const char *text)
{
    *reason = text;
    return MMB_EMESSAGE;
}

/* Measure a frame whose table has more than one entry. Such frames are rare. */
static int measure_table(const unsigned char *table, uint64_t have, uint32_t last, uint64_t *bytes,
                         const char **reason)
{
    if (last >= MMB_MAX_SEGMENTS) {
        return refuse(reason, last == UINT32_MAX
                                  ? "the message is unfinished: its builder did not close it"
                                  : "the table has more segments than readers accept");
    }
    uint64_t sum = mmb_table_bytes(last + 1);
    if (have < sum) {
        *bytes = sum;
        return MMB_EHEAD;
    }
    for (uint32_t i = 0; i <= last; i++) {
        uint32_t words = mmb__load32(table + 4 + (size_t)i * 4);
        if (words > MMB_MAX_SEGMENT_WORDS) {
            return refuse(reason, "a segment is larger than segments can be");
        }
        sum += (uint64_t)words * MMB_WORD;
    }
    *bytes = sum;
    return 0;
}

int mmb_frame_measure(const void *head, uint64_t have, uint64_t *bytes, const char **reason)
{
    const unsigned char *table = head;
    if (have < MMB_WORD) {
        *bytes = MMB_WORD;
        return MMB_EHEAD;
    }
    uint64_t header = mmb__load64(table);
    uint32_t words = (uint32_t)(header >> 32);
    if (words == 0 && (uint32_t)header < MMB_MAX_SEGMENTS) {
        return refuse(reason, "the message has no root");
    }
    if ((uint32_t)header != 0) {
        return measure_table(table, have, (uint32_t)header, bytes, reason);
    }
    if (words > MMB_MAX_SEGMENT_WORDS) {
        return refuse(reason, "a segment is larger than segments can be");
    }
    *bytes = MMB_WORD + (uint64_t)words * MMB_WORD;
    return 0;
}

/* ---- places ------------------------------------------------------------------------ */

void mmb_places_clear(mmb_places *places)
{
    free(places->anchors);
    *places = (mmb_places){0};
}

/* Make room for one more anchor: double the memory, or drop every second anchor. */
static int make_room(mmb_places *places)
{
    if (places->room == MMB_MAX_ANCHORS) {
        for (uint32_t i = 0; i < MMB_MAX_ANCHORS / 2; i++) {
            places->anchors[i] = places->anchors[2 * i];
        }
        places->shift++;
        return 0;
    }
    uint32_t room = places->room == 0 ? 64 : 2 * places->room;
    uint64_t *anchors = realloc(places->anchors, room * sizeof *anchors);
    if (anchors == NULL) {
        return ENOMEM;
    }
    places->anchors = anchors;
    places->room = room;
    return 0;
}

int mmb_places_add(mmb_places *places, uint64_t bytes)
{
    uint64_t number = places->count - places->indexed;
    if (number >> places->shift == places->room && make_room(places) != 0) {
        return ENOMEM;
    }
    if ((number & (((uint64_t)1 << places->shift) - 1)) == 0) {
        places->anchors[number >> places->shift] = places->end;
    }
    places->end += bytes;
    places->count++;
    return 0;
}

/* Return the place of the message at or before `number` that an anchor has, and in `*left` how
 * many messages lie between the two. */
static uint64_t nearest(const mmb_places *places, uint64_t number, uint64_t *left)
{
    if (number < places->indexed) {
        return mmb__index_nearest(places->index, number, left);
    }
    uint64_t beyond = number - places->indexed;
    *left = beyond & (((uint64_t)1 << places->shift) - 1);
    return places->anchors[beyond >> places->shift];
}

/* Return the bytes of the frame at `start`; 0 if no frame there ends by places->end. */
static uint64_t frame_at(const mmb_places *places, const unsigned char *data, uint64_t start)
{
    const char *reason;
    uint64_t bytes, have = start < places->end ? places->end - start : 0;
    if (have == 0 || start % MMB_WORD != 0 ||
        mmb_frame_measure(data + start, have, &bytes, &reason) != 0) {
        return 0;
    }
    return bytes <= have ? bytes : 0;
}

/* Return whether the index says, too, that message `number` ends at `end`. Each place of an index
 * that is damaged leads to some message, perhaps; but hardly do two of them agree with a frame. */
static bool ends_at(const mmb_places *places, uint64_t number, uint64_t end)
{
    uint64_t left;
    return number >= places->indexed ||
           mmb__index_nearest(places->index, number + 1, &left) == end || left != 0;
}

int mmb_places_find(const mmb_places *places, const unsigned char *data, uint64_t number,
                    uint64_t *start, uint64_t *bytes)
{
    uint64_t left;
    uint64_t at = nearest(places, number, &left);
    uint64_t size = frame_at(places, data, at);
    for (; left > 0 && size != 0; left--) {
        at += size;
        size = frame_at(places, data, at);
    }
    *start = at;
    *bytes = size;
    return size != 0 && ends_at(places, number, at + size) ? 0 : MMB_EMESSAGE;
}

int mmb_places_list(const mmb_places *places, const unsigned char *data, uint64_t first,
                    uint64_t count, uint64_t *starts)
{
    uint64_t start, bytes;
    if (count == 0) {
        return 0;
    }
    int error = mmb_places_find(places, data, first, &start, &bytes);
    for (uint64_t i = 0; error == 0 && i < count; i++) {
        starts[i] = start;
        start += bytes;
        if (i + 1 < count && (bytes = frame_at(places, data, start)) == 0) {
            error = MMB_EMESSAGE;
        }
    }
    return error;
}
