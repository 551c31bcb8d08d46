"""Many threads in one process: not a byte lost, nothing crashed, nothing hung.

Each test runs in a process of its own, with a time limit.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mmapbuilder import Builder
from support import processes

HEADER = """
    import os, random, sys, threading
    from mmapbuilder import Builder

    MIB = 1 << 20
    path = sys.argv[1]
    start = threading.Barrier(8)
    failures = []

    def run(work, count=8):
        def guarded(number):
            start.wait()
            try:
                work(number)
            except BaseException as error:
                failures.append(repr(error))
        threads = [threading.Thread(target=guarded, args=(n,)) for n in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures
"""


def run(code: str, path: Path, timeout: float = 120) -> str:
    return processes.python(HEADER + code, path, timeout=timeout).ok().out


def test_threads_that_grow_one_map_in_random_order(target: Path) -> None:
    run(
        """
    BLOCK = 64 << 10
    COUNT = 200
    with Builder(path) as b:
        def work(number):
            view = memoryview(b)
            order = list(range(number, 8 * COUNT, 8))
            random.Random(number).shuffle(order)
            for block in order:
                # One byte at each end, and the block's number between.
                at = block * BLOCK
                view[at] = view[at + BLOCK - 1] = number + 1
                view[at + 8 : at + 16] = block.to_bytes(8, "little")
            view.release()
        run(work)
    with open(path, "rb") as file:
        for block in range(8 * COUNT):
            data = file.read(BLOCK)
            assert data[0] == data[-1] == block % 8 + 1, block
            assert int.from_bytes(data[8:16], "little") == block
        assert file.read() == b""
        """,
        target,
    )


def test_threads_that_write_at_one_cursor(target: Path) -> None:
    run(
        """
    with Builder(path) as b:
        def work(number):
            line = bytes([65 + number]) * 99 + b"\\n"
            for _ in range(3000):
                assert b.write(line) == 100
        run(work)
        assert b.tell() == b.size == 8 * 3000 * 100
    with open(path, "rb") as file:
        lines = file.read().splitlines()
    assert len(lines) == 8 * 3000
    assert all(len(set(line)) == 1 and len(line) == 99 for line in lines)
    assert all(lines.count(bytes([65 + n]) * 99) == 3000 for n in range(8))
        """,
        target,
    )


def test_threads_that_allocate_at_one_cursor(target: Path) -> None:
    run(
        """
    with Builder(path) as b:
        def work(number):
            for i in range(1500):
                with b.allocate(16) as room:
                    assert room == bytes(16)  # nobody else has it
                    room[:] = number.to_bytes(8, "little") + i.to_bytes(8, "little")
        run(work)
        assert b.size == 8 * 1500 * 16
    with open(path, "rb") as file:
        content = file.read()
    found = {content[i : i + 16] for i in range(0, len(content), 16)}
    assert len(found) == 8 * 1500
        """,
        target,
    )


def test_threads_that_call_everything(target: Path) -> None:
    run(
        """
    with Builder(path, capacity=64 * MIB) as b:
        def work(number):
            source = random.Random(number)
            view = memoryview(b)
            for _ in range(400):
                at = source.randrange(60 * MIB)
                source.choice([
                    lambda: view.__setitem__(at, 1),
                    lambda: b.__setitem__(slice(at, at + 5), b"12345"),
                    lambda: b.reserve(at),
                    lambda: b.size,
                    lambda: b.stats,
                    lambda: b.flush(),
                    lambda: b.seek(at),
                    lambda: b.write(b"x" * 1000),
                    lambda: b.allocate(100).release(),
                    lambda: b.truncate(at),
                ])()
            view.release()
        run(work)
        size = b.size
    assert os.path.getsize(path) == size
        """,
        target,
    )


def test_many_maps_opened_grown_and_closed_at_once(target: Path) -> None:
    run(
        """
    def work(number):
        source = random.Random(number)
        for i in range(25):
            name = f"{path}-{number}-{i}"
            places = sorted({source.randrange(40 * MIB) for _ in range(10)})
            with Builder(name) as b:
                for place in places:
                    b[place] = number + 1
            assert os.path.getsize(name) == places[-1] + 1
            with open(name, "rb") as file:
                for place in places:
                    file.seek(place)
                    assert file.read(1)[0] == number + 1
            os.unlink(name)
    run(work)
        """,
        target,
    )


def test_close_while_others_use_the_builder(target: Path) -> None:
    run(
        """
    for _ in range(40):
        b = Builder(path)
        def work(number):
            try:
                if number == 0:
                    b.close()
                else:
                    while True:
                        b.write(b"0123456789" * 100)
                        b.flush() if number == 1 else b.tell()
            except ValueError as error:
                assert "closed" in str(error), error
        run(work)
        assert b.closed
        size = os.path.getsize(path)
        assert size % 1000 == 0
        with open(path, "rb") as file:
            assert file.read() == b"0123456789" * (size // 10)
        """,
        target,
    )


def test_only_one_of_many_closes(target: Path) -> None:
    run(
        """
    for turn in range(100):
        b = Builder(path)
        b.write(b"content")
        run(lambda number: b.discard() if number == turn % 9 else b.close())
        assert b.closed
        if os.path.exists(path):
            with open(path, "rb") as file:
                assert file.read() == b"content"
        """,
        target,
    )


def test_one_of_many_gets_the_file(target: Path) -> None:
    run(
        """
    first = path
    for turn in range(150):
        won = []
        holding = threading.Barrier(8, timeout=60)
        if turn % 3 == 0:  # a name at which nothing is yet
            path = f"{first}-{turn}"
        def work(number):
            try:
                b = Builder(path, "w", atomic=turn % 2 == 0)
            except BlockingIOError:
                holding.wait()
                return
            won.append(number)
            holding.wait()
            b.write(str(number).encode())
            b.close()
        run(work)
        assert len(won) == 1, won
        with open(path, "rb") as file:
            assert file.read() == str(won[0]).encode()
        assert not any(name.startswith(".") for name in os.listdir(os.path.dirname(path)))
        """,
        target,
    )


@pytest.mark.slow
def test_one_of_many_gets_a_descriptor(target: Path) -> None:
    """Builders on one descriptor share its lock: only the table of the process tells them apart."""
    run(
        """
    with open(path, "w+b") as file:
        for turn in range(300):
            won = []
            holding = threading.Barrier(8, timeout=60)
            def work(number):
                try:
                    b = Builder(file.fileno())
                except BlockingIOError:
                    holding.wait()
                    return
                won.append(number)
                holding.wait()
                b.close()
            run(work)
            assert len(won) == 1, won
        """,
        target,
    )


def test_messages_built_at_once(target: Path) -> None:
    pytest.importorskip("capnp")
    run(
        """
    from mmapbuilder import MessageBuilder, open_message
    from support.readers import BLOCKS
    def work(number):
        for i in range(15):
            name = f"{path}-{number}"
            with MessageBuilder(name, capacity=MIB, segment_words=4096) as b:
                root = b.init_root(BLOCKS.schema, label=f"{number} {i}")
                for block in root.init("blocks", 50):
                    block.values = [number] * 100
            with open_message(name, BLOCKS.schema) as m:
                assert m.root.label == f"{number} {i}"
                assert all(list(block.values) == [number] * 100 for block in m.root.blocks)
            root.label = "snapshot"
    run(work)
        """,
        target,
    )


def test_a_store_lets_other_threads_run(target: Path) -> None:
    """Copies through calls are made without the interpreter's lock: two can meet."""
    code = """
    with Builder(path) as b:
        data = bytes(64 * MIB)
        seen = []
        done = threading.Event()
        def watch():
            while not done.is_set():
                seen.append(b.tell())
        watcher = threading.Thread(target=watch)
        watcher.start()
        for _ in range(8):
            b.write(data)
        done.set()
        watcher.join()
        assert seen
    """
    run(code, target)


def test_a_view_may_be_used_by_threads_started_before_it(target: Path) -> None:
    import queue
    import threading

    views: queue.Queue[memoryview | None] = queue.Queue()

    def fill() -> None:
        while (view := views.get()) is not None:
            view[:] = b"\7" * len(view)
            view.release()

    thread = threading.Thread(target=fill)
    thread.start()
    with Builder(target) as b:
        for i in range(20):
            views.put(b[i << 20 : (i + 1) << 20])
        views.put(None)
        thread.join()
    assert target.read_bytes() == b"\7" * (20 << 20)


def test_a_thread_that_writes_for_ever_does_not_hold_up_the_end(target: Path) -> None:
    # Threads that are in the middle of a call when the interpreter ends never come back.
    out = run(
        """
    class Log:
        def __init__(self):
            self.builder = Builder(path)
        def __del__(self):
            self.builder.close()
            print("closed", flush=True)
    log = Log()
    worker = {"data": bytes(64 * MIB)}    # a frame of this module would keep log alive
    exec("def work(b):\\n while True:\\n  b.seek(0)\\n  b.write(data)", worker)
    threading.Thread(target=worker["work"], args=(log.builder,), daemon=True).start()
    threading.Event().wait(0.3)
    """,
        target,
        timeout=30,
    )
    assert out == "closed\n"
