"""Modules in C that may be missing.

Here: `optional_module`. Not here: what each of them offers, and its twin: that is said where it is used.

Rules: a build goes on without a module that cannot be compiled, and a module refuses to load where the system lacks
what it needs; either way the twin does the work. No environment variable is read.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def optional_module(name: str) -> Any:  # noqa: ANN401 - whoever asks says what it offers
    """Return the compiled module `snapstore.NAME`, or None where it is not there."""
    try:
        return import_module(f"snapstore.{name}")
    except ImportError:
        return None
