"""The layers, as a test over the imports of every module.

    cli, testing                        7   the command; the tools for testers of stores
    entrance, removable                 6.5 the two ways to a repository; media that are plugged in
    repository                          6   thin facades
    operations                          5   one module per verb
    blobs, station                      4   ids to plaintext; the keys and caches of this installation
    stores, sources, targets, format    3   bytes by name; file trees in and out; records to bytes
    crypto, chunking, codec, parity     2   pure
    upkeep_types                        1.5
    progress, types                     1
    errors, limits                      0

An import goes to a lower number or stays in its own package. The front door (`snapstore/__init__.py`) stands outside:
it only re-exports. A line that breaks a rule is reported with its file, number and the rule.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import snapstore

PACKAGE = Path(snapstore.__path__[0])
RANKS = {
    "errors": 0, "limits": 0, "compiled": 0, "_version": 0,
    "progress": 1, "types": 1, "upkeep_types": 1.5,
    "crypto": 2, "chunking": 2, "codec": 2, "_kernel": 2, "_posix": 2, "_writing": 2,
    "_sealing": 2, "_entries": 2, "_parity": 2, "parity": 2,
    "stores": 3, "sources": 3, "targets": 3, "format": 3,
    "blobs": 4, "station": 4,
    "operations": 5,
    "repository": 6,
    "entrance": 6.5, "removable": 6.5,
    "cli": 7, "testing": 7, "__main__": 8,
}  # fmt: skip
PURE = {"chunking", "codec", "crypto", "format", "parity"}
IMPURE_MODULES = {"io", "os", "pathlib", "random", "secrets", "threading", "time"}
RANDOMNESS = "crypto/entropy.py"  # the one place where a pure package draws
ENVIRONMENT_READERS = {
    "stores/objects/settings.py": "AWS_* variables are the provider's, and shared by all programs for its storage",
}
CLI_MAY_IMPORT = {"cli", "errors", "progress", "types", "upkeep_types", "_version"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One imported module, by its absolute name, and where that stands."""

    file: str
    line: int
    module: str
    name: str | None
    """What `from module import name` names, if it was of that form."""

    @property
    def where(self) -> str:
        return f"snapstore/{self.file}:{self.line}"


def imports_of(path: Path) -> Iterator[Import]:
    """Yield every import of a file, at any depth and under TYPE_CHECKING too."""
    file = path.relative_to(PACKAGE).as_posix()
    package = ["snapstore", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file=file, line=node.lineno, module=alias.name, name=None)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(file=file, line=node.lineno, module=module, name=alias.name)


def all_imports() -> list[Import]:
    return [found for path in sorted(PACKAGE.rglob("*.py")) for found in imports_of(path)]


def part_of(file: str) -> str:
    """Return the layer's member that a file belongs to: its top-level package or module."""
    return file.split("/", maxsplit=1)[0].removesuffix(".py")


def imported_part(found: Import) -> str | None:
    """Return which member of the package an import takes from; "" is the front door, None is somebody else's module."""
    names = found.module.split(".")
    if names[0] != "snapstore":
        return None
    if len(names) > 1:
        return names[1]
    # `from . import errors` at the top names a module; `from snapstore import Repository` the front door.
    return found.name if found.name in RANKS else ""


def breaches_of_order(found: Import) -> str | None:
    here, there = part_of(found.file), imported_part(found)
    if here == "__init__" or there is None or here == there:
        return None
    if there == "":
        # `__version__` and the public names, for those who stand above everything.
        if RANKS[here] >= RANKS["cli"]:
            return None
        return f"{found.where}: {here} imports the front door; only cli and testing may"
    if here == "stores" and there not in {"errors", "limits"}:
        return f"{found.where}: stores imports {there}; it may import nothing but errors and limits"
    if RANKS[there] >= RANKS[here]:
        return f"{found.where}: {here} (layer {RANKS[here]}) imports {there} (layer {RANKS[there]}); imports go down"
    return None


def test_every_module_belongs_to_a_layer() -> None:
    parts = {part_of(path.relative_to(PACKAGE).as_posix()) for path in PACKAGE.rglob("*.py")}
    assert parts - RANKS.keys() - {"__init__"} == set(), "say in RANKS which layer these belong to"


def test_imports_go_down() -> None:
    assert [breach for found in all_imports() if (breach := breaches_of_order(found))] == []


def test_pure_packages_import_nothing_impure() -> None:
    breaches = [
        f"{found.where}: {part_of(found.file)} is pure and imports {found.module}"
        for found in all_imports()
        if part_of(found.file) in PURE
        and found.module.split(".")[0] in IMPURE_MODULES
        and not (found.file == RANDOMNESS and found.module in {"os", "secrets"})
    ]
    assert breaches == []


def test_only_public_names_reach_the_command() -> None:
    breaches = []
    for found in all_imports():
        if part_of(found.file) not in {"cli", "__main__"}:
            continue
        there = imported_part(found)
        if there == "" and found.name is not None and found.name not in snapstore.__all__:
            breaches.append(f"{found.where}: the command imports snapstore.{found.name}, which is not public")
        elif there and there not in CLI_MAY_IMPORT:
            breaches.append(f"{found.where}: the command imports snapstore.{there}; it may use public names only")
    assert breaches == []


def test_only_the_command_reads_the_environment() -> None:
    breaches = []
    for path in sorted(PACKAGE.rglob("*.py")):
        file = path.relative_to(PACKAGE).as_posix()
        if part_of(file) in {"cli", "__main__"} or file in ENVIRONMENT_READERS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv", "getenvb"}:
                breaches.append(f"snapstore/{file}:{node.lineno}: reads the environment; only the command does")
    assert breaches == []


@pytest.mark.parametrize(
    ("file", "module", "name", "expected"),
    [
        ("crypto/sealing.py", "snapstore.blobs.packer", "Packer", "imports go down"),
        ("blobs/packer.py", "snapstore.station", "Station", "imports go down"),
        ("stores/local.py", "snapstore.types", "ObjectName", "nothing but errors and limits"),
        ("operations/snapshot.py", "snapstore", "repository", "imports go down"),
        ("operations/snapshot.py", "snapstore", "Repository", "the front door"),
        ("operations/snapshot.py", "snapstore", "errors", None),
        ("repository/dossier.py", "snapstore.operations.snapshot", "take", None),
        ("cli/main.py", "snapstore", "Repository", None),
    ],
)
def test_the_rules_catch_what_they_should(file: str, module: str, name: str, expected: str | None) -> None:
    breach = breaches_of_order(Import(file=file, line=1, module=module, name=name))
    if expected is None:
        assert breach is None
    else:
        assert breach is not None
        assert expected in breach
