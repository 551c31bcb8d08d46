/* utf8.h - is this UTF-8? Private to csrc/capnp and csrc/schema. */
#ifndef MMB_UTF8_H
#define MMB_UTF8_H

#include <stdbool.h>
#include <stdint.h>

/* True if the bytes are UTF-8 as readers demand it: no overlong forms, no
 * surrogates, nothing beyond U+10FFFF. */
bool mmb__is_utf8(const unsigned char *bytes, uint64_t length);

#endif
