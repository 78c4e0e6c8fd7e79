"""The one part of the build that pyproject.toml cannot say: the optional modules in C.

They are compiled against the stable ABI of CPython 3.11, so one wheel a platform serves every later CPython. Where
one cannot be compiled the installation goes on without it, and its twin in Python does the same work slowly: for the
kernel it is in `snapstore.chunking`, for `_posix` in `snapstore.sources`, for `_writing` in `snapstore.targets`, for
`_sealing` in `snapstore.blobs`, for `_entries` in `snapstore.operations.snapshot`. Free-threaded builds and other
interpreters have no stable ABI and compile the same source against their own.
"""

from __future__ import annotations

import platform
import sysconfig
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

STABLE_ABI = platform.python_implementation() == "CPython" and not sysconfig.get_config_var("Py_GIL_DISABLED")

MODULES = ["_kernel", "_entries"]
if platform.system() == "Linux":
    MODULES += ["_posix", "_writing", "_sealing"]


def blake3_sources() -> list[str]:
    """Return what this machine needs of BLAKE3 as its authors ship it, in snapstore/_blake3."""
    sources = [f"snapstore/_blake3/{name}.c" for name in ("blake3", "blake3_dispatch", "blake3_portable")]
    if platform.machine() == "aarch64":
        return [*sources, "snapstore/_blake3/blake3_neon.c"]
    if platform.machine() == "x86_64":
        return sources + sorted(glob("snapstore/_blake3/*_x86-64_unix.S"))
    return sources


class BuildExtension(build_ext):
    """As setuptools builds, and assembler sources too."""

    def build_extensions(self) -> None:
        """Build all."""
        self.compiler.src_extensions.append(".S")
        super().build_extensions()


def extension(name: str) -> Extension:
    """Return one module in C, which may be absent."""
    return Extension(
        f"snapstore.{name}",
        sources=[f"snapstore/{name}.c"] + (blake3_sources() if name == "_sealing" else []),
        define_macros=[("Py_LIMITED_API", "0x030B0000")] if STABLE_ABI else [],
        py_limited_api=STABLE_ABI,
        # a BLAKE3 of another version may be in the process, and is not to be taken for this one
        extra_link_args=["-Wl,-Bsymbolic"] if name == "_sealing" else [],
        extra_compile_args=[] if platform.system() == "Windows" else ["-std=c99", "-O3", "-fvisibility=hidden"],
        optional=True,
    )


setup(
    cmdclass={"build_ext": BuildExtension},
    ext_modules=[extension(name) for name in MODULES],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if STABLE_ABI else {},
)
