"""The one part of the build that pyproject.toml cannot say: the optional modules in C.

They are compiled against the stable ABI of CPython 3.11, so one wheel a platform serves every later CPython. Where
one cannot be compiled the installation goes on without it, and its twin in Python does the same work slowly: for the
kernel it is in `snapstore.chunking`, for `_entries` in `snapstore.format` and `snapstore.operations.snapshot`, for
`_parity` in `snapstore.parity`, for `_posix` in `snapstore.sources`, for `_writing` in `snapstore.targets`, for
`_sealing` in `snapstore.blobs`.
Free-threaded builds and other interpreters have no stable ABI and compile the same source against their own.
"""

from __future__ import annotations

import platform
import sysconfig
from glob import glob
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

STABLE_ABI = platform.python_implementation() == "CPython" and not sysconfig.get_config_var("Py_GIL_DISABLED")

LINUX = platform.system() == "Linux"
MODULES = ["_kernel", "_entries", "_parity", *(["_posix", "_writing", "_sealing"] if LINUX else [])]
BLAKE3 = "snapstore/_blake3"
NO_ASSEMBLER = [(f"BLAKE3_NO_{name}", "1") for name in ("SSE2", "SSE41", "AVX2", "AVX512")]
OLD_LIBC = ["dl", "pthread"]  # before glibc 2.34 these are libraries of their own


def sealing() -> dict[str, Any]:
    """Return what `_sealing` needs besides its source: BLAKE3 as its authors ship it, for this processor."""
    sources = ["snapstore/_sealing_tools.c"]
    sources += [f"{BLAKE3}/{name}.c" for name in ("blake3", "blake3_dispatch", "blake3_portable")]
    macros: list[tuple[str, str | None]] = []
    processor = sysconfig.get_platform().rpartition("-")[2]
    if processor == "x86_64":
        sources += sorted(glob(f"{BLAKE3}/*_x86-64_unix.S"))
    elif processor == "aarch64":
        sources.append(f"{BLAKE3}/blake3_neon.c")
    else:
        macros += [*NO_ASSEMBLER, ("BLAKE3_USE_NEON", "0")]
    # A BLAKE3 of another version may be in the process, and is not to be taken for this one.
    return {
        "sources": sources,
        "macros": macros,
        "libraries": OLD_LIBC,
        "extra_link_args": ["-Wl,-Bsymbolic"],
        "depends": ["snapstore/_sealing_tools.h", *glob(f"{BLAKE3}/*.h")],
    }


class BuildExtension(build_ext):
    """As setuptools builds, and assembler sources too."""

    def build_extensions(self) -> None:
        """Build all."""
        self.compiler.src_extensions = [*self.compiler.src_extensions, ".S"]
        super().build_extensions()


def extension(name: str) -> Extension:
    """Return one module in C, which may be absent."""
    more = sealing() if name == "_sealing" else {}
    return Extension(
        f"snapstore.{name}",
        sources=[f"snapstore/{name}.c", *more.pop("sources", [])],
        define_macros=[*([("Py_LIMITED_API", "0x030B0000")] if STABLE_ABI else []), *more.pop("macros", [])],
        py_limited_api=STABLE_ABI,
        extra_compile_args=[] if platform.system() == "Windows" else ["-std=c99", "-O3", "-fvisibility=hidden"],
        optional=True,
        **more,
    )


setup(
    cmdclass={"build_ext": BuildExtension},
    ext_modules=[extension(name) for name in MODULES],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if STABLE_ABI else {},
)
