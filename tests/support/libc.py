"""The C library that this interpreter was built against."""

from __future__ import annotations

import sysconfig

MUSL = "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "")
