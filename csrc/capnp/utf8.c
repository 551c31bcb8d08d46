/* utf8.c - checks whether bytes are UTF-8. See utf8.h. */
#include "utf8.h"

#include <string.h>

/* Return how many bytes follow the lead byte `lead`, and set the limits of the first of them.
 * These limits refuse overlong forms, surrogates, and numbers that are too large. Return 0 if
 * `lead` is no lead byte. */
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

/* Skip ASCII. Most text is ASCII, and most of the time is spent here. */
static uint64_t skip_ascii(const unsigned char *bytes, uint64_t length)
{
    uint64_t i = 0;
    uint64_t words[4];
    for (; length - i >= sizeof words; i += sizeof words) {
        memcpy(words, bytes + i, sizeof words);
        if (((words[0] | words[1] | words[2] | words[3]) & 0x8080808080808080u) != 0) {
            break;
        }
    }
    while (i < length && bytes[i] < 0x80) {
        i++;
    }
    return i;
}

bool mmb__is_utf8(const unsigned char *bytes, uint64_t length)
{
    uint64_t i = skip_ascii(bytes, length);
    while (i < length) {
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
        if (i < length && bytes[i] < 0x80) {
            i += skip_ascii(bytes + i, length - i);
        }
    }
    return true;
}
