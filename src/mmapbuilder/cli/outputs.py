"""The files that a command writes: each appears whole or not at all."""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def whole(name: str) -> Iterator[str]:
    """Give the name of a temporary file, which takes the place of the file at the end."""
    temporary = f"{name}.{os.getpid()}.tmp"
    try:
        yield temporary
        os.replace(temporary, name)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
