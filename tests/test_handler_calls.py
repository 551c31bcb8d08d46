"""What the signal handler may call, found out by the compiler.

gcc writes down who calls whom. From there every function that the handler can reach is
known, and each that is not ours must be one that is safe there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.requirements import tool

CSRC = Path(__file__).resolve().parent.parent / "csrc"
FLOORS = ("os", "file", "map")

# Async-signal-safe by POSIX, or a bare system call without state in libc (see
# signal-safety(7), and csrc/os for those that it does not list).
SAFE = {
    "__errno_location",
    "fsetxattr",
    "fstat",
    "fstatfs",
    "ftruncate",
    "getpid",
    "kill",
    "memcpy",
    "memset",
    "sem_post",
    "sigaction",
    "sigaddset",
    "sigfillset",
    "sigismember",
    "pthread_sigmask",
    "raise",
    "madvise",
    "mmap",
    "sched_yield",
    "syscall",
}

# The deepest that the handler may go on a stack that others have sized, unoptimised.
# The smallest that systems promise for signals is 2 KiB and a frame of their own.
DEEPEST = 2048

FLAGS = [
    "-std=c11",
    "-O0",
    "-fcallgraph-info=su",
    "-D_DEFAULT_SOURCE",
    f"-I{CSRC}",
    *(f"-I{CSRC / floor}" for floor in FLOORS if floor != "os"),
]

# The handlers of others, which we call last and whose stack is their concern.
OTHERS = "__indirect_call"

ENTRY = re.compile(r"handler\.c:entry_\d+$")
NODE = re.compile(r'^node: \{ title: "([^"]+)" label: "([^"]*)"')
EDGE = re.compile(r'^edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')
COMMENT_OR_FUNCTION = re.compile(
    r"(?P<comment>/\*.*?\*/)"
    r"|\b(?P<name>mmb_\w+)\([^;{}]*\);(?P<remark>[ \t]*/\*[^\n]*)?"
    r"|(?P<gap>\n[ \t]*\n)",
    re.DOTALL,
)


@dataclass
class Calls:
    frames: dict[str, int] = field(default_factory=dict)
    callees: dict[str, set[str]] = field(default_factory=dict)

    def reached(self, start: str) -> set[str]:
        found: set[str] = set()
        todo = [start]
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo += self.callees.get(name, ())
        return found

    def depth(self, start: str, above: tuple[str, ...] = ()) -> int:
        assert start not in above, f"recursion in the handler: {' -> '.join((*above, start))}"
        deeper = [self.depth(name, (*above, start)) for name in self.callees.get(start, ())]
        return self.frames.get(start, 0) + max(deeper, default=0)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Calls:
    if sys.platform != "linux":
        pytest.skip("what is safe is listed for Linux")
    compiler = tool("gcc", "gcc")
    out = tmp_path_factory.mktemp("calls")
    result = Calls()
    for source in (path for floor in FLOORS for path in sorted((CSRC / floor).glob("*.c"))):
        subprocess.run(
            [compiler, *FLAGS, "-c", str(source), "-o", str(out / f"{source.stem}.o")],
            check=True,
            cwd=out,
            env={**os.environ, "CCACHE_DISABLE": "1"},  # it keeps no graph of the calls
        )
        for line in (out / f"{source.stem}.ci").read_text().splitlines():
            if node := NODE.match(line):
                if size := re.search(r"(\d+) bytes", node[2]):
                    result.frames[node[1]] = int(size[1])
            elif edge := EDGE.match(line):
                result.callees.setdefault(edge[1], set()).add(edge[2])
    return result


def entries(calls: Calls) -> list[str]:
    found = [name for name in calls.callees if ENTRY.search(name)]
    assert found, "the entry points of the handler have other names now"
    return found


def promised() -> set[str]:
    """Every function that a header of these floors offers to the handler.

    The comment before a group of declarations says so, or a remark behind one of them.
    """
    found = set()
    for header in (path for floor in FLOORS for path in (CSRC / floor).glob("*.h")):
        offered = False
        for part in COMMENT_OR_FUNCTION.finditer(header.read_text()):
            if part["comment"] or part["gap"]:
                offered = "Handler: yes" in part[0]
            elif offered or "Handler: yes" in (part["remark"] or ""):
                found.add(part["name"])
    assert len(found) > 10
    return found


def test_the_handler_calls_only_what_is_safe_there(calls: Calls) -> None:
    for entry in entries(calls):
        foreign = {name for name in calls.reached(entry) if name not in calls.frames}
        assert foreign - SAFE - {OTHERS} == set()


def test_what_is_promised_to_the_handler_is_safe_there(calls: Calls) -> None:
    for name in promised() & calls.frames.keys():
        foreign = {callee for callee in calls.reached(name) if callee not in calls.frames}
        assert foreign - SAFE == set(), name


def test_the_handler_calls_of_ours_only_what_says_that_it_may_be_called(calls: Calls) -> None:
    for entry in entries(calls):
        public = {name for name in calls.reached(entry) if name.startswith("mmb_")}
        assert public & calls.frames.keys() <= promised()


def test_the_handler_is_shallow(calls: Calls) -> None:
    for entry in entries(calls):
        assert calls.depth(entry) <= DEEPEST
