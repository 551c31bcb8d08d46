"""Columns and lists of a message as NumPy arrays. Imported when one is asked for."""

from .columns import column
from .fill import fill
from .path import PathError, Space
from .tables import table
from .views import array

__all__ = ["PathError", "Space", "array", "column", "fill", "table"]
