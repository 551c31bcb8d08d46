"""The file that a builder fills, from its opening to each of its endings.

The floors, from the top: `endings` and `output`; `opening`; `temporary`; `lock` and
`attributes`; `names`.
"""

from .endings import Endings
from .lock import lock_to_change
from .names import descriptor_of, is_descriptor, open_regular, require_regular
from .output import Output

__all__ = [
    "Endings",
    "Output",
    "descriptor_of",
    "is_descriptor",
    "lock_to_change",
    "open_regular",
    "require_regular",
]
