/* arrow_binding.c - makes refusals that name their column. See arrow_binding.h. */
#include "arrow_binding.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void spell(const mmb_binding *binding, char *to, size_t size)
{
    size_t used = 0;
    to[0] = 0;
    if (binding == NULL) {
        return;
    }
    spell(binding->up, to, size);
    used = strlen(to);
    if (binding->name != NULL && binding->name[0] != 0 && used + 2 < size) {
        snprintf(to + used, size - used, "%s%s", used != 0 ? "." : "", binding->name);
    }
}

bool mmb__bind_fail(mmb_refusal *refusal, mmb_refusal_kind kind, const mmb_binding *binding,
                    const char *format, ...)
{
    va_list args;
    refusal->kind = kind;
    spell(binding, refusal->column, sizeof refusal->column);
    va_start(args, format);
    vsnprintf(refusal->text, sizeof refusal->text, format, args);
    va_end(args);
    return false;
}
