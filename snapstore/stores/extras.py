"""Packages that only some stores take, and that a plain installation has not.

Here: `extra_package`. Not here: which store takes which, and when it is loaded.

Rule: what is missing is named together with the command that installs it. A package that is there and does not load is
another matter, and its error goes through.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ..errors import InputError


def extra_package(package: str, *, extra: str, wanted_by: str) -> ModuleType:
    """The package, loaded. Raises InputError with the code "extra_missing" where it is not installed."""
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
    raise InputError(
        f'{wanted_by} takes the package {package}, which is not installed: pip install "snapstore[{extra}]"',
        code="extra_missing",
    )
