"""No test waits for another process without a limit, or the whole run would hang with it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import processes

TESTS = Path(__file__).parent
PIPES = ("stdin", "stdout", "stderr")
OF_OS = ("read", "wait", "waitpid", "wait4")


def test_a_process_that_says_nothing_is_killed() -> None:
    process = processes.start("import time, sys; print('why', file=sys.stderr); time.sleep(600)")
    with pytest.raises(AssertionError, match=r"nothing came for 0.5 s(?s:.*)why"):
        processes.line(process, timeout=0.5)
    assert process.wait(60) < 0


def test_a_child_that_holds_the_pipe_is_killed_as_well() -> None:
    code = """
        import os, time
        if os.fork() > 0:
            os._exit(0)
        time.sleep(600)
    """
    process = processes.start(code)
    with pytest.raises(AssertionError, match="nothing came"):
        processes.line(process, timeout=0.5)
    assert process.wait(60) == 0


def test_what_a_process_says_comes_line_by_line() -> None:
    process = processes.start("import sys; print(1); print(sys.stdin.readline() * 2, end='')")
    assert processes.line(process) == "1\n"
    processes.tell(process, "a", 2)
    assert [processes.line(process) for _ in range(3)] == ["a 2\n", "a 2\n", ""]
    processes.end(process).ok()


def waits(node: ast.AST, limited: bool = False) -> Iterator[int]:
    """The lines of calls that may wait for another process for ever."""
    if isinstance(node, ast.With):
        limited = limited or any("limit(" in ast.unparse(item) for item in node.items)
    if isinstance(node, ast.FunctionDef):
        limited = "select.select(" in ast.unparse(node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not limited:
        of, name = ast.unparse(node.func.value), node.func.attr
        given = {keyword.arg for keyword in node.keywords}
        if (
            (of.split(".")[-1] in PIPES and name.startswith("read") and of.count(".") > 0
             and not of.startswith("sys."))
            or (of == "os" and name in OF_OS)
            or (name == "communicate" and "timeout" not in given)
            or (name == "wait" and "process" in of and not node.args and not given)
        ):  # fmt: skip
            yield node.lineno
    for child in ast.iter_child_nodes(node):
        yield from waits(child, limited)


def test_whoever_waits_for_a_process_sets_a_limit() -> None:
    found = [
        f"{path.relative_to(TESTS)}:{line}"
        for path in sorted(TESTS.rglob("*.py"))
        if path != Path(processes.__file__)  # which sets the limits
        for line in waits(ast.parse(path.read_text()))
    ]
    assert not found
