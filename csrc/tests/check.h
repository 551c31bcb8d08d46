/* check.h - the little that the C tests share. A test is a program: it prints
 * what went wrong, with its place, and exits with 1 at the first failure. */
#ifndef MMB_TESTS_CHECK_H
#define MMB_TESTS_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define CHECK_EQ(got, wanted)                                                                      \
    do {                                                                                           \
        long long got_ = (long long)(got), wanted_ = (long long)(wanted);                          \
        if (got_ != wanted_) {                                                                     \
            fprintf(stderr, "%s:%d: failed: %s is %lld, not %lld\n", __FILE__, __LINE__, #got,     \
                    got_, wanted_);                                                                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* Names the part that runs, so that a crash says where it happened. */
#define RUN(test)                                                                                  \
    do {                                                                                           \
        fprintf(stderr, "  %s\n", #test);                                                          \
        test();                                                                                    \
    } while (0)

#endif
