"""Commands that do the same with several files. After an error they go on with the next file."""

from collections.abc import Callable

from .ends import INTERRUPTED, NO_READER, OK, complain, explain
from .inputs import Input, inputs
from .screen import Screen


class Reported(Exception):  # noqa: N818
    """Errors that were told already. `code` is that of the worst of them."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def each_file(
    names: list[str], deal: Callable[[Input], object], screen: Screen, *, rows_only: bool = False
) -> int:
    """Call a function with each file, and report what it raises; return `OK`.

    Errors are objects of the JSON as well, unless that is for `rows_only`.

    Raises:
        Reported: at the end, if something was.
    """
    worst = 0
    with inputs(names) as files:
        for file in files:
            try:
                deal(file)
            except Exception as error:
                end = explain(error, file.path, file.shown)
                if end.code in (INTERRUPTED, NO_READER):
                    raise
                screen.flush()  # so that the order is right where both go to one place
                if screen.as_json and not rows_only:
                    screen.json({"file": file.shown, "ok": False, "error": end.text})
                worst = max(worst, complain(end))
    if worst:
        raise Reported(worst)
    return OK
