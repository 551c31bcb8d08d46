"""NumPy, for the modules of this package, which is imported when arrays are wanted."""

try:
    import numpy as np
except ImportError as error:
    raise ImportError("arrays need NumPy: pip install mmapbuilder[numpy]", name="numpy") from error

__all__ = ["np"]
