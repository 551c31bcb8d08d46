"""The extension module; everything else about the package stands in pyproject.toml."""

import sysconfig
from glob import glob

from setuptools import Extension, setup

# A free-threaded interpreter has no limited API (before 3.15): it gets a build of its own.
free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

setup(
    ext_modules=[
        Extension(
            "mmapbuilder._core",
            sources=[
                source
                for floor in ("os", "file", "map", "capnp", "schema", "py")
                for source in sorted(glob(f"csrc/{floor}/*.c"))
            ],
            depends=sorted(glob("csrc/*/*.h")),
            include_dirs=["csrc", "csrc/file", "csrc/map", "csrc/capnp", "csrc/schema"],
            define_macros=[
                ("_DEFAULT_SOURCE", None),  # POSIX, which plain C11 hides
                ("_FILE_OFFSET_BITS", "64"),
                *([] if free_threaded else [("Py_LIMITED_API", "0x030B0000")]),
            ],
            extra_compile_args=[
                "-std=c11",
                "-pthread",
                "-fvisibility=hidden",
                "-Werror=implicit-function-declaration",  # as of what is not in the limited API
            ],
            extra_link_args=["-pthread"],
            py_limited_api=not free_threaded,
        )
    ],
    options={} if free_threaded else {"bdist_wheel": {"py_limited_api": "cp311"}},
)
