/* utf8.c - is this UTF-8? See utf8.h. */
#include "utf8.h"

#include <string.h>

/* Bytes that follow the lead byte `lead`, at least 1, and which values the first of
 * them may have: that is where overlong forms, surrogates and numbers that are too
 * large show. 0 for a byte that leads nothing. */
static unsigned trailing(unsigned lead, unsigned *low, unsigned *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (lead < 0xC2) {
        return 0;
    }
    if (lead < 0xE0) {
        return 1;
    }
    if (lead < 0xF0) {
        *low = lead == 0xE0 ? 0xA0 : 0x80;
        *high = lead == 0xED ? 0x9F : 0xBF;
        return 2;
    }
    if (lead < 0xF5) {
        *low = lead == 0xF0 ? 0x90 : 0x80;
        *high = lead == 0xF4 ? 0x8F : 0xBF;
        return 3;
    }
    return 0;
}

bool mmb__is_utf8(const unsigned char *bytes, uint64_t length)
{
    uint64_t i = 0;
    while (i < length) {
        uint64_t eight;
        /* Most text is ASCII, and most of the time goes into finding that out. */
        while (length - i >= sizeof eight) {
            memcpy(&eight, bytes + i, sizeof eight);
            if ((eight & 0x8080808080808080u) != 0) {
                break;
            }
            i += sizeof eight;
        }
        if (i == length) {
            break;
        }
        if (bytes[i] < 0x80) {
            i++;
            continue;
        }
        unsigned low, high;
        unsigned more = trailing(bytes[i], &low, &high);
        if (more == 0 || more >= length - i || bytes[i + 1] < low || bytes[i + 1] > high) {
            return false;
        }
        for (unsigned k = 2; k <= more; k++) {
            if ((bytes[i + k] & 0xC0) != 0x80) {
                return false;
            }
        }
        i += more + 1;
    }
    return true;
}
