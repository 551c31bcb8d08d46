"""Apache Arrow, which is imported when a table needs it."""

from typing import Any


def library(values: Any) -> str:
    """Return the name of the package that the type of `values` is from."""
    return type(values).__module__.partition(".")[0]


def load(purpose: str) -> Any:
    """Import pyarrow.

    Raises:
        ImportError: it is not installed; the error says that `purpose` needs it.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs pyarrow: pip install pyarrow", name="pyarrow"
        ) from error
    return pyarrow


def load_if_there() -> Any:
    """Import pyarrow, or return None."""
    try:
        import pyarrow
    except ImportError:
        return None
    return pyarrow
