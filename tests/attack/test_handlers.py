"""SIGBUS is shared: faulthandler, signal.signal, handlers of other extensions.

Whatever the order in which they were installed, a growth fault is served without a
word, and a bus error that is not ours ends the process as it would without us.
"""

from __future__ import annotations

import itertools
import subprocess
import sysconfig
from pathlib import Path

import pytest

from support.processes import Ended, python
from support.requirements import tool

# A store past EOF of an ordinary mmap: the program's own bug.
OWN_BUG = """
    import mmap, os, tempfile
    def own_bug():
        with tempfile.TemporaryFile() as f:
            f.truncate(1 << 16)
            m = mmap.mmap(f.fileno(), 1 << 16)
            f.truncate(0)
            m[1 << 15] = 1
"""

GROW = """
    import faulthandler, os, signal, sys
    from mmapbuilder import Builder
    path = sys.argv[1]
    b = Builder(path, capacity=1 << 30)
    def grow(at, byte=7):
        view[at] = byte
    view = memoryview(b)
    grow(0)
"""

FINISH = """
    view.release()
    size = b.size
    b.close()
    assert os.path.getsize(path) == size, (os.path.getsize(path), size)
    print("done", size)
"""


def died_of_the_bus_error(ended: Ended, tracebacks: int) -> None:
    """Check for SIGBUS and for as many tracebacks of faulthandler."""
    assert ended.signal == "SIGBUS", str(ended)
    assert ended.err.count("Fatal Python error: Bus error") == tracebacks, str(ended)


# ---- faulthandler ----


def test_faulthandler_enabled_before_stays_silent(target: Path) -> None:
    code = "import faulthandler; faulthandler.enable()\n" + dedented(GROW)
    code += dedented("grow(1 << 28)\n") + dedented(FINISH)
    assert python(code, target).ok().out == f"done {(1 << 28) + 16}\n"


def test_faulthandler_enabled_after_kills_nobody(target: Path) -> None:
    """Its handler takes one growth fault for a crash, says so, and gives way."""
    code = dedented(GROW) + dedented(
        """
        faulthandler.enable()
        grow(1 << 28)
        grow(1 << 29)
        """
    )
    ended = python(code + dedented(FINISH), target)
    assert ended.code == 0, str(ended)
    assert ended.out == f"done {(1 << 29) + 16}\n"
    assert ended.err.count("Fatal Python error") == 1, str(ended)


def test_faulthandler_enabled_after_is_noticed_by_the_next_call(target: Path) -> None:
    code = dedented(GROW) + dedented(
        """
        faulthandler.enable()
        b.tell()
        grow(1 << 28)
        """
    )
    python(code + dedented(FINISH), target).ok()


def test_faulthandler_enabled_after_while_threads_grow(target: Path) -> None:
    code = dedented(GROW) + dedented(
        """
        import threading
        faulthandler.enable()
        def fill(first):
            for at in range(first, 1 << 28, 8 << 20):
                grow(at, 1)
        threads = [threading.Thread(target=fill, args=(n << 20,)) for n in range(8)]
        for t in threads: t.start()
        for t in threads: t.join()
        assert sum(view[at] for at in range(1 << 20, 1 << 28, 1 << 20)) == 255
        """
    )
    ended = python(code + dedented(FINISH), target)
    assert ended.code == 0, str(ended)


def test_faulthandler_disabled_between_is_noticed_by_the_next_call(target: Path) -> None:
    code = "import faulthandler; faulthandler.enable()\n" + dedented(GROW)
    code += dedented(
        """
        faulthandler.disable()   # puts back what it had found, which is not us
        b.tell()
        grow(1 << 28)
        """
    )
    python(code + dedented(FINISH), target).ok()


def test_faulthandler_switched_again_and_again(target: Path) -> None:
    code = dedented(GROW) + dedented(
        """
        for n in range(100):
            faulthandler.enable() if n % 2 == 0 else faulthandler.disable()
            b.tell()
            grow((n + 1) << 21)
        """
    )
    python(code + dedented(FINISH), target).ok()


@pytest.mark.parametrize(
    ("before", "between", "again"), list(itertools.product([False, True], repeat=3))
)
def test_own_bug_dies_with_the_same_traceback(
    target: Path, before: bool, between: bool, again: bool
) -> None:
    """With faulthandler enabled before or after ours, armed on top of it again or not."""
    code = ["import faulthandler", dedented(OWN_BUG)]
    if before:
        code.append("faulthandler.enable()")
    code.append(dedented(GROW))
    if between:
        code.append("faulthandler.enable()")
    if again:
        code.append("b.tell(); grow(1 << 28)")
    code.append("own_bug()")
    ended = python("\n".join(code), target)
    died_of_the_bus_error(ended, int(before or between))
    if before or between:
        assert "in own_bug" in ended.err


@pytest.mark.parametrize("thread", [False, True])
@pytest.mark.parametrize("faults", [False, True])
def test_raise_signal_dies(target: Path, thread: bool, faults: bool) -> None:
    """A program that sends itself SIGBUS means it, after served faults as well."""
    code = dedented(GROW) + dedented(
        f"""
        import threading
        def end():
            if {faults}:
                grow(1 << 28)
            signal.raise_signal(signal.SIGBUS)
            print("survived", flush=True)
        if {thread}:
            t = threading.Thread(target=end); t.start(); t.join()
        else:
            end()
        """
    )
    died_of_the_bus_error(python(code, target), 0)


def test_kill_from_outside_dies(target: Path) -> None:
    code = dedented(GROW) + dedented(
        """
        import subprocess
        subprocess.run(["kill", "-BUS", str(os.getpid())])
        import time; time.sleep(5)
        """
    )
    died_of_the_bus_error(python(code, target), 0)


# ---- signal.signal ----


def test_python_handler_set_before_gets_what_is_not_ours(target: Path) -> None:
    code = dedented(
        """
        import signal
        seen = []
        signal.signal(signal.SIGBUS, lambda *a: seen.append(a[0]))
        """
    )
    code += dedented(GROW) + dedented(
        """
        grow(1 << 28)
        assert seen == []
        signal.raise_signal(signal.SIGBUS)
        assert seen == [signal.SIGBUS], seen
        grow(1 << 29)
        """
    )
    python(code + dedented(FINISH), target).ok()


@pytest.mark.parametrize("handler", ["signal.SIG_DFL", "signal.SIG_IGN", "lambda *a: None"])
def test_signal_signal_later_is_noticed_by_the_next_call(target: Path, handler: str) -> None:
    code = dedented(GROW) + dedented(
        f"""
        signal.signal(signal.SIGBUS, {handler})
        b.tell()
        grow(1 << 28)
        """
    )
    python(code + dedented(FINISH), target).ok()


@pytest.mark.parametrize("ignored", [False, True])
def test_own_bug_dies_although_ignored(target: Path, ignored: bool) -> None:
    """The kernel ends a process that ignores a fault; so it does with us between."""
    code = dedented(OWN_BUG)
    if ignored:
        code += "import signal; signal.signal(signal.SIGBUS, signal.SIG_IGN)\n"
    died_of_the_bus_error(python(code + dedented(GROW) + "own_bug()", target), 0)


def test_ignored_signal_that_is_sent_stays_ignored(target: Path) -> None:
    code = "import signal; signal.signal(signal.SIGBUS, signal.SIG_IGN)\n" + dedented(GROW)
    code += dedented("signal.raise_signal(signal.SIGBUS); grow(1 << 28)\n")
    python(code + dedented(FINISH), target).ok()


def test_thousand_python_signals_a_second(target: Path) -> None:
    code = dedented(GROW) + dedented(
        """
        import time
        ticks = 0
        def tick(*_):
            global ticks
            ticks += 1
            grow(ticks << 12, 3)     # grows from within a Python handler as well
        signal.signal(signal.SIGALRM, tick)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        block, end = b"x" * 4096, time.monotonic() + 2
        at = 1 << 24
        while time.monotonic() < end or at < 1 << 27:
            view[at : at + 4096] = block
            at += 4096
            if at > (1 << 30) - 4096:
                break
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert ticks > 100, ticks
        assert bytes(view[1 << 24 : (1 << 24) + (1 << 20)]) == b"x" * (1 << 20)
        """
    )
    python(code + dedented(FINISH), target).ok()


# ---- handlers of other extensions ----

FOREIGN = r"""
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

static struct sigaction below;
static volatile int calls;
static volatile uintptr_t address;

static void chain(int number, siginfo_t *info, void *context)
{
    calls++;
    address = (uintptr_t)info->si_addr;
    if (below.sa_flags & SA_SIGINFO) {
        below.sa_sigaction(number, info, context);
    } else if (below.sa_handler == SIG_DFL) {
        sigaction(SIGBUS, &below, NULL);
    } else if (below.sa_handler != SIG_IGN) {
        below.sa_handler(number);
    }
}

static void give_way(int number)
{
    static const char text[] = "gave way\n";
    calls++;
    if (write(2, text, sizeof text - 1) < 0) {
        _exit(9);
    }
    sigaction(SIGBUS, &below, NULL);
    raise(number);
}

int take_bus(int chaining)
{
    struct sigaction mine;
    memset(&mine, 0, sizeof mine);
    if (chaining) {
        mine.sa_sigaction = chain;
        mine.sa_flags = SA_SIGINFO | SA_ONSTACK;
    } else {
        mine.sa_handler = give_way;
        mine.sa_flags = SA_NODEFER | SA_ONSTACK;
    }
    return sigaction(SIGBUS, &mine, &below);
}

int bus_calls(void) { return calls; }
uintptr_t bus_address(void) { return address; }
"""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shared library with SIGBUS handlers of its own."""
    compiler = tool("cc", "gcc")
    directory = tmp_path_factory.mktemp("foreign")
    source = directory / "foreign.c"
    source.write_text(FOREIGN)
    library = directory / ("foreign" + (sysconfig.get_config_var("SHLIB_SUFFIX") or ".so"))
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", str(library), str(source)],
        check=True,
        timeout=60,
    )
    return library


LOAD = "import ctypes, sys; foreign = ctypes.CDLL(sys.argv[2])\n"


def test_handler_below_ours_gets_the_original_fault(target: Path, foreign: Path) -> None:
    code = LOAD + "foreign.take_bus(1)\n" + dedented(OWN_BUG) + dedented(GROW)
    code += dedented(
        """
        grow(1 << 28)
        assert foreign.bus_calls() == 0
        own_bug()
        """
    )
    died_of_the_bus_error(python(code, target, foreign), 0)


@pytest.mark.parametrize("armed_again", [False, True])
def test_chaining_handler_above_ours(target: Path, foreign: Path, armed_again: bool) -> None:
    """It calls us for what it does not know; on top of it again, we never call it in vain."""
    code = LOAD + dedented(GROW) + "foreign.take_bus(1)\n"
    if armed_again:
        code += "b.tell()\n"
    code += dedented(
        f"""
        grow(1 << 28)
        assert foreign.bus_calls() == {0 if armed_again else 1}, foreign.bus_calls()
        """
    )
    python(code + dedented(FINISH), target, foreign).ok()


@pytest.mark.parametrize("armed_again", [False, True])
def test_own_bug_under_a_chaining_handler(target: Path, foreign: Path, armed_again: bool) -> None:
    """Ours above theirs above ours: no endless ring."""
    code = LOAD + dedented(OWN_BUG) + dedented(GROW) + "foreign.take_bus(1)\n"
    if armed_again:
        code += "b.tell()\n"
    died_of_the_bus_error(python(code + "own_bug()", target, foreign), 0)


def test_handler_that_gives_way_and_raises(target: Path, foreign: Path) -> None:
    code = (
        LOAD
        + dedented(GROW)
        + dedented(
            """
        foreign.take_bus(0)
        grow(1 << 28)
        assert foreign.bus_calls() == 1
        grow(1 << 29)
        """
        )
    )
    ended = python(code + dedented(FINISH), target, foreign)
    assert ended.code == 0, str(ended)
    assert ended.err == "gave way\n"


# ---- as people run Python ----


@pytest.mark.parametrize("options", [("-X", "dev"), ("-X", "faulthandler")])
def test_development_mode(target: Path, options: tuple[str, ...]) -> None:
    code = dedented(GROW) + "grow(1 << 28)\n" + dedented(FINISH)
    python(code, target, options=options).ok()


def test_under_pytest(target: Path) -> None:
    """This process has pytest's faulthandler; a growth fault in it is silent."""
    from mmapbuilder import Builder

    with Builder(target) as b:
        b[1 << 28] = 1
        assert b.stats.faults >= 1


def dedented(code: str) -> str:
    """Like textwrap.dedent, so that pieces can be put together."""
    import textwrap

    return textwrap.dedent(code).strip("\n") + "\n"
