"""The one part of the build that pyproject.toml cannot say: the optional modules in C.

They are compiled against the stable ABI of CPython 3.11, so one wheel a platform serves every later CPython. Where
one cannot be compiled the installation goes on without it, and its twins in Python (in `snapstore.chunking` those of
the kernel, in `snapstore.sources` those of `_posix`, in `snapstore.targets` those of `_writing`) do the same work
slowly. Free-threaded builds and other interpreters have no stable ABI and compile the same source against their own.
"""

from __future__ import annotations

import platform
import sysconfig

from setuptools import Extension, setup

STABLE_ABI = platform.python_implementation() == "CPython" and not sysconfig.get_config_var("Py_GIL_DISABLED")

MODULES = ["_kernel"]
if platform.system() == "Linux":
    MODULES += ["_posix", "_writing"]


def extension(name: str) -> Extension:
    """Return one module in C, which may be absent."""
    return Extension(
        f"snapstore.{name}",
        sources=[f"snapstore/{name}.c"],
        define_macros=[("Py_LIMITED_API", "0x030B0000")] if STABLE_ABI else [],
        py_limited_api=STABLE_ABI,
        extra_compile_args=[] if platform.system() == "Windows" else ["-std=c99", "-O3"],
        optional=True,
    )


setup(
    ext_modules=[extension(name) for name in MODULES],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if STABLE_ABI else {},
)
