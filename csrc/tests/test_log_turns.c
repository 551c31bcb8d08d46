/* test_log_turns.c - how often a writer looks for the lock follows from what it and the others do
 * between two appends. */
#include "check.h"

#include "log_turns.h"

enum { CLOSE = 100, FIRST = 1000, FAR = 10000, MANY = 20 };

/* A cold append of `cold` ns, then `warm` more, and what the writer does in `elsewhere` ns before
 * it finds the lock taken. */
static void meet(mmb__log_turns *turns, uint64_t cold, uint64_t warm, uint64_t elsewhere)
{
    uint64_t now = 1000000;
    turns->got = now;
    mmb__log_turns_let_go(turns, now + cold);
    turns->tries = warm + 1;
    mmb__log_turns_wait(turns, now + cold + elsewhere);
}

static uint64_t first_pause(const mmb__log_turns *turns)
{
    return mmb__log_turns_pause(turns, 0, 0);
}

static void who_knows_nothing_looks_closely(void)
{
    mmb__log_turns turns = {0};
    mmb__log_turns_wait(&turns, 5); /* it has not appended yet */
    CHECK_EQ(first_pause(&turns), CLOSE);
}

static void who_is_busy_elsewhere_looks_closely(void)
{
    mmb__log_turns turns = {.votes = -8};
    for (int i = 0; i < MANY; i++) {
        meet(&turns, 200, 0, 400);
    }
    CHECK_EQ(first_pause(&turns), CLOSE);
}

static void who_only_appends_looks_seldom(void)
{
    mmb__log_turns turns = {0};
    for (int i = 0; i < MANY; i++) {
        meet(&turns, 200, 99, 100 * 130);
    }
    CHECK_EQ(first_pause(&turns), FIRST);
    CHECK_EQ(mmb__log_turns_pause(&turns, FIRST, 8), FAR); /* so does the owner */
}

/* Where a line of the cache is long on its way, taking turns does not pay. */
static void a_slow_machine_needs_more_work_elsewhere(void)
{
    mmb__log_turns turns = {0};
    for (int i = 0; i < MANY; i++) {
        meet(&turns, 900, 0, 400);
    }
    CHECK_EQ(first_pause(&turns), FIRST);
    for (int i = 0; i < MANY; i++) {
        meet(&turns, 900, 0, 1000);
    }
    CHECK_EQ(first_pause(&turns), CLOSE);
}

static void a_few_waits_decide_nothing(void)
{
    mmb__log_turns turns = {0};
    for (int i = 0; i < MANY; i++) {
        meet(&turns, 200, 0, 400);
    }
    for (int i = 0; i < 3; i++) {
        meet(&turns, 50000, 0, 400); /* the kernel had stopped it */
    }
    CHECK_EQ(first_pause(&turns), CLOSE);
}

static void a_writer_may_append_for_ever_before_it_waits_again(void)
{
    mmb__log_turns turns = {0};
    meet(&turns, 200, UINT32_MAX, (uint64_t)130 << 32);
    CHECK_EQ(first_pause(&turns), FIRST);
}

static void a_clock_that_stands_still_or_goes_back_does_no_harm(void)
{
    mmb__log_turns turns = {0};
    meet(&turns, 0, 0, 0);
    CHECK_EQ(mmb__log_turns_pause(&turns, 0, UINT64_MAX), CLOSE);
    meet(&turns, 0, 0, UINT64_MAX);
    CHECK_EQ(mmb__log_turns_pause(&turns, 0, UINT64_MAX), CLOSE);
}

static void an_owner_that_is_busy_elsewhere_lets_it_in(void)
{
    mmb__log_turns turns = {.votes = -8, .cold = 200};
    CHECK_EQ(first_pause(&turns), FIRST);
    CHECK_EQ(mmb__log_turns_pause(&turns, FIRST, 1), CLOSE);
    CHECK_EQ(mmb__log_turns_pause(&turns, FIRST, 8), FAR);
}

/* An owner that the kernel has stopped must not be watched closely for ever. */
static void nobody_looks_closely_for_long(void)
{
    mmb__log_turns turns = {.votes = 8, .cold = 200};
    CHECK_EQ(mmb__log_turns_pause(&turns, FAR - 1, 0), CLOSE);
    CHECK_EQ(mmb__log_turns_pause(&turns, FAR, 0), FAR);
}

int main(void)
{
    RUN(who_knows_nothing_looks_closely);
    RUN(who_is_busy_elsewhere_looks_closely);
    RUN(who_only_appends_looks_seldom);
    RUN(a_slow_machine_needs_more_work_elsewhere);
    RUN(a_few_waits_decide_nothing);
    RUN(a_writer_may_append_for_ever_before_it_waits_again);
    RUN(a_clock_that_stands_still_or_goes_back_does_no_harm);
    RUN(an_owner_that_is_busy_elsewhere_lets_it_in);
    RUN(nobody_looks_closely_for_long);
    return 0;
}
