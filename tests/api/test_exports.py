"""The public names: sorted, importable, complete, and nothing beside them; and the mark that says the package is typed.

Applications import from `snapstore` alone. What is public here must stay; what is not public may change at any time.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import pkgutil
import subprocess
import sys
from importlib import resources
from types import ModuleType

import pytest

import snapstore

CALLS_AND_FACADES = {
    "Dossier", "Repository", "RestoreOptions", "SnapshotOptions", "StoreOptions", "__version__", "init", "media",
    "open", "test_medium",
}  # fmt: skip
NOT_NAMES_OF_OURS = {"TYPE_CHECKING", "annotations"}  # what the module needs to be written at all


def test_all_is_sorted_and_without_repeats() -> None:
    assert list(snapstore.__all__) == sorted(set(snapstore.__all__))


def test_every_name_in_all_is_there() -> None:
    missing = [name for name in snapstore.__all__ if not hasattr(snapstore, name)]
    assert missing == []


def test_nothing_else_is_public() -> None:
    for name in snapstore.__all__:
        getattr(snapstore, name)
    stray = {
        name
        for name, value in vars(snapstore).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name not in NOT_NAMES_OF_OURS
    }
    assert stray <= set(snapstore.__all__)


def test_dir_shows_the_public_names() -> None:
    assert set(snapstore.__all__) <= set(dir(snapstore))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = snapstore.no_such_name  # type: ignore[attr-defined]


@pytest.mark.parametrize("module_name", ["snapstore.errors", "snapstore.types", "snapstore.upkeep_types"])
def test_every_class_of_the_public_modules_is_exported(module_name: str) -> None:
    module = importlib.import_module(module_name)
    classes = {
        name
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module_name and not name.startswith("_")
    }
    assert classes - set(snapstore.__all__) == set()


def test_the_calls_and_facades_are_exported() -> None:
    assert set(snapstore.__all__) >= CALLS_AND_FACADES
    assert {"Cancel", "Progress", "ProgressStatus"} <= set(snapstore.__all__)


def test_exported_classes_say_what_they_are() -> None:
    silent = [
        name
        for name in snapstore.__all__
        if inspect.isclass(value := getattr(snapstore, name)) and not issubclass(value, enum.Enum) and not value.__doc__
    ]
    assert silent == []


def test_star_import_gives_exactly_all() -> None:
    code = "from snapstore import *; print(' '.join(sorted(n for n in dir() if n[:2] != '__' or n == '__version__')))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == sorted(snapstore.__all__)


def test_the_package_is_marked_as_typed() -> None:
    assert resources.files("snapstore").joinpath("py.typed").is_file()


def test_every_module_can_be_imported() -> None:
    failed = []
    for module in pkgutil.walk_packages(snapstore.__path__, "snapstore."):
        if module.name.endswith("__main__"):  # importing it runs the command
            continue
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            if "win" not in module.name and "kernel" not in module.name:
                failed.append(f"{module.name}: {error}")
    assert failed == []
