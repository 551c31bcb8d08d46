"""The extension module; everything else about the package stands in pyproject.toml."""

import os
import sysconfig
from glob import glob
from tempfile import TemporaryDirectory

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

# Flags that make the module faster, where the compiler and its linker know them. Of each group, the
# first that works is used. An append to a log goes through several of the small files that the
# layers consist of, and takes a quarter less time if they are compiled as one program (LTO). Rows
# take some hundredths less time if calls into Python need no stub (no PLT), and then no symbol is
# looked up at its first call, which could be in a signal handler.
FASTER = [["-flto=auto", "-flto"], ["-fno-plt"]]


class BuildFaster(build_ext):
    """Builds with the flags of FASTER that work here."""

    def build_extension(self, extension: Extension) -> None:
        finds_faults = "-fsanitize" in os.environ.get("CFLAGS", "")  # and need not be fast
        if not finds_faults:
            for group in FASTER:
                chosen = next(([flag] for flag in group if self._works(flag)), [])
                extension.extra_compile_args += chosen
                extension.extra_link_args += chosen
        super().build_extension(extension)

    def _works(self, flag: str) -> bool:
        """Return whether a small module can be made with a flag, and without a warning."""
        with TemporaryDirectory() as folder:
            source = os.path.join(folder, "probe.c")
            with open(source, "w") as file:
                file.write('#include <stdlib.h>\nint probe(void) { return atoi("1"); }\n')
            try:
                made = self.compiler.compile(
                    [source], output_dir=folder, extra_postargs=[flag, "-fPIC", "-Werror"]
                )
                self.compiler.link_shared_object(
                    made, os.path.join(folder, "probe.so"), extra_postargs=[flag]
                )
            except (CompileError, LinkError):
                return False
        return True


# A free-threaded interpreter has no limited API (before 3.15): it gets a build of its own.
free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

setup(
    cmdclass={"build_ext": BuildFaster},
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
