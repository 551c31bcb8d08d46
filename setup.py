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
                *sorted(glob("csrc/core/*.c")),
                *sorted(glob("csrc/capnp/*.c")),
                *sorted(glob("csrc/schema/*.c")),
                *sorted(glob("csrc/py/*.c")),
            ],
            depends=sorted(glob("csrc/*/*.h")),
            include_dirs=["csrc/core", "csrc/capnp", "csrc/schema", "csrc/py"],
            define_macros=[] if free_threaded else [("Py_LIMITED_API", "0x030B0000")],
            extra_compile_args=["-std=c11", "-pthread", "-fvisibility=hidden"],
            extra_link_args=["-pthread"],
            py_limited_api=not free_threaded,
        )
    ],
    options={} if free_threaded else {"bdist_wheel": {"py_limited_api": "cp311"}},
)
