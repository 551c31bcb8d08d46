"""Apache Arrow: who offers its columns, and pyarrow, which is imported where it is needed."""

from typing import Any


def library(values: Any) -> str:
    """Return the name of the package that the type of `values` is from."""
    return type(values).__module__.partition(".")[0]


def is_arrow(values: Any) -> bool:
    """Whether values are offered by the Arrow PyCapsule interface.

    A data frame of pandas needs pyarrow for that, and adds its index: it does not count.
    """
    if library(values) == "pandas":
        return False
    return hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__")


def unwrapped(values: Any) -> Any:
    """Return a column of Arrow that another one is, or is made of; else the column itself.

    A column of pandas may be one of Arrow, and an extension type has values of another type.
    """
    if library(values) == "pandas" and hasattr(getattr(values, "dtype", None), "pyarrow_dtype"):
        return unwrapped(load("this column").array(values))
    if library(values) == "pyarrow" and hasattr(getattr(values, "type", None), "storage_type"):
        chunked = hasattr(values, "chunks")
        return values.cast(values.type.storage_type) if chunked else values.storage
    return values


def capsule(values: Any) -> Any:
    """Return what the interface gives: a stream, or a schema with an array."""
    if hasattr(values, "__arrow_c_stream__"):
        return values.__arrow_c_stream__()
    return values.__arrow_c_array__()


def check(values: Any, label: str) -> None:
    """Check an array or a column of pyarrow, whose own functions trust where its parts lead.

    Raises:
        ValueError: it is damaged.
    """
    import pyarrow

    try:
        values.validate(full=True)
    except pyarrow.ArrowException as error:
        raise ValueError(f"{label}: the Arrow array is damaged: {error}") from None


def decoded(values: Any, label: str) -> Any:
    """Replace the indices of a dictionary of pyarrow, or runs, by their values.

    In them missing values do not count as such.
    """
    kind = str(getattr(values, "type", None)) if library(values) == "pyarrow" else ""
    if kind.startswith("dictionary"):
        if str(values.type.value_type) == "string_view":  # there is no kernel for these
            import pyarrow

            check(values, label)
            values = values.cast(pyarrow.dictionary(values.type.index_type, pyarrow.string()))
        return values.cast(values.type.value_type)
    if kind.startswith("run_end_encoded"):
        import pyarrow.compute

        check(values, label)
        return pyarrow.compute.run_end_decode(values)
    return values


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
