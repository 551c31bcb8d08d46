"""The command from its arguments to its exit code."""

import os
import sys
import traceback
import warnings

from .ends import complain, explain, printable
from .runner import Reported
from .screen import Screen


def main(arguments: "list[str] | None" = None) -> int:
    """Run the command, and return its exit code.

    The only exception is SystemExit, which argparse raises for help and for wrong arguments.
    """
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    try:
        code = _run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
    except Reported as told:
        code = told.code
    except SystemExit:
        _close_output()
        raise
    except BaseException as error:
        if os.environ.get("MMAPBUILDER_TRACEBACK"):
            traceback.print_exc()
        code = complain(explain(error))
    _close_output()
    return code


def _run(arguments: "list[str] | None") -> int:
    from .parser import make_parser

    parsed = make_parser().parse_args(arguments)
    screen = Screen(getattr(parsed, "json", False), parsed.color)
    code: int = parsed.run(parsed, screen)
    return code


def _show_warning(message: object, *about: object) -> None:
    """Print a warning in one line, as errors are."""
    try:
        print(f"mmapbuilder: warning: {' '.join(printable(str(message)).split())}", file=sys.stderr)
    except (OSError, ValueError):
        pass


def _close_output() -> None:
    """Write out the rest of the output. Drop it if its reader is gone: Python would complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            try:
                nothing = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nothing, stream.fileno())
                os.close(nothing)
            except (OSError, ValueError):
                pass
