/* utf8.h - checks whether bytes are UTF-8. Private to csrc/capnp and csrc/schema. */
#ifndef MMB_UTF8_H
#define MMB_UTF8_H

#include <stdbool.h>
#include <stdint.h>

/* Return true if the bytes are UTF-8 as readers require it: without overlong forms, surrogates,
 * and numbers above U+10FFFF. */
bool mmb__is_utf8(const unsigned char *bytes, uint64_t length);

#endif
