/* trace.h - a child process looked at after each of its system calls (Linux, ptrace).
 *
 * What a file holds between two system calls is what SIGKILL leaves of it, at least
 * as long as nobody stores through a mapping: finishing does not. */
#ifndef MMB_TESTS_TRACE_H
#define MMB_TESTS_TRACE_H

#include "check.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What ptrace says about a system call; the C libraries differ in its name. */
typedef struct {
    unsigned char op; /* 1 at entry, 2 at exit */
    unsigned char pad[3];
    unsigned arch;
    unsigned long long instruction, stack;
    unsigned long long number; /* at entry */
    unsigned long long arguments[6];
} trace_call;

enum { TRACE_GET_CALL = 0x420e, TRACE_GOOD = 1, TRACE_EXIT_KILL = 1 << 20 };

/* Called by the child: be traced from here on. Exits with 77 where that is refused. */
static inline void trace_me(void)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
        _exit(77);
    }
    raise(SIGSTOP);
}

/* The number of the system call that the child enters, -1 if it leaves one. */
static inline long trace_entered(pid_t child)
{
    trace_call call = {0};
    /* Not by ptrace(): not every C library has a name for this request. */
    if (syscall(SYS_ptrace, (long)TRACE_GET_CALL, (long)child, sizeof call, &call) <= 0) {
        perror("PTRACE_GET_SYSCALL_INFO");
        exit(1);
    }
    return call.op == 1 ? (long)call.number : -1;
}

/* Run `job` in a child, which calls trace_me at some time and then runs to its end,
 * and `visit` after each system call from there on; `synced` if it was one that waits
 * for the device. Returns the child's exit code. */
static inline int trace(int (*job)(void *), void *argument,
                        void (*visit)(void *context, bool synced), void *context)
{
    pid_t child = fork();
    if (child == 0) {
        _exit(job(argument));
    }
    int status = 0, deliver = 0;
    long entered = -1;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFSTOPPED(status)) {
        CHECK(ptrace(PTRACE_SETOPTIONS, child, NULL,
                     (void *)(long)(TRACE_GOOD | TRACE_EXIT_KILL)) == 0);
    }
    while (WIFSTOPPED(status)) {
        CHECK(ptrace(PTRACE_SYSCALL, child, NULL, (void *)(long)deliver) == 0);
        CHECK(waitpid(child, &status, 0) == child);
        deliver = 0;
        if (WIFSTOPPED(status) && WSTOPSIG(status) != (SIGTRAP | 0x80)) {
            deliver = WSTOPSIG(status);
        } else if (WIFSTOPPED(status)) {
            long number = trace_entered(child);
            if (number == -1) {
                visit(context, entered == SYS_fsync || entered == SYS_fdatasync);
            }
            entered = number;
        }
    }
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#endif
