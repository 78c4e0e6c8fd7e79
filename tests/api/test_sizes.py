"""The sizes that keep modules, functions and classes readable.

    module            400 lines     function      60 lines
    parameters        6             public methods of a class     10, of the two facades 20

Properties are not counted as methods. An exception needs a line in the tables below (or, for parameters, a noqa in
place), with its reason. The command's functions are free in their parameters, since a command's options are its
parameters.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import snapstore

PACKAGE = Path(snapstore.__path__[0])
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 6
MAX_PUBLIC_METHODS = 10
MAX_FACADE_METHODS = 20

FACADES = {"repository.Repository", "repository.Dossier"}
ONE_A_CALL = "one method for each system call that a restore makes, in two ways of making it"
METHOD_EXCEPTIONS = {
    "stores.wrapper.StoreWrapper": "the ten of a store and of a builder, and settling",
    "stores.ftp.control.ControlConnection": "seven replace methods of the standard library's client",
    "sources.directory.SourceDirectory": "one method for each thing that is read, and two that read many at once",
    "targets.directory.TargetDirectory": "one method for each thing that can be put into a folder",
    "targets.folders.DescriptorFolder": ONE_A_CALL,
    "targets.folders.Folder": ONE_A_CALL,
    "targets.path_folder.PathFolder": ONE_A_CALL,
}
DICT_EXCEPTIONS = {"crypto.keys.DossierKeys": "derived subkeys are kept by cached_property, which needs a __dict__"}
PARAMETER_EXCEPTIONS = {
    "repository.Dossier.snapshot": "the main verb: what, why, how, and who watches",
    "repository.Dossier.restore": "the main verb: what, where, with which secret, and who watches",
}


def modules() -> Iterator[tuple[str, ast.Module, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(text), text


def named(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.AST]]:
    """Yield every class and function below `node` with its dotted name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{prefix}.{child.name}"
            yield name, child
            yield from named(child, name)
        else:
            yield from named(child, prefix)


def definitions() -> Iterator[tuple[str, str, ast.AST]]:
    for file, tree, _ in modules():
        prefix = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name, node in named(tree, prefix):
            yield file, name, node


def is_short_of_facade(name: str) -> str:
    """Return the name with the module's inner path left out: `repository.dossier.Dossier` is `repository.Dossier`."""
    parts = name.split(".")
    return ".".join([parts[0], *[part for part in parts[1:] if part[:1].isupper() or part == parts[-1]]])


def test_modules_are_not_too_long() -> None:
    long = [
        f"snapstore/{file}: {lines} lines"
        for file, _, text in modules()
        if (lines := text.count("\n")) > MAX_MODULE_LINES
    ]
    assert long == []


def test_functions_fit_a_screen() -> None:
    long = []
    for file, name, node in definitions():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                long.append(f"snapstore/{file}:{node.lineno}: {name} has {lines} lines")
    assert long == []


def test_functions_have_few_parameters() -> None:
    many = []
    lines = {file: text.splitlines() for file, _, text in modules()}
    for file, name, node in definitions():
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or file.startswith("cli/"):
            continue
        arguments = node.args
        names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        count = len([n for n in names if n not in {"self", "cls"}])
        reason_given = re.search(r"# noqa: PLR0913\b.* - \w", lines[file][node.lineno - 1])
        if count > MAX_PARAMETERS and is_short_of_facade(name) not in PARAMETER_EXCEPTIONS and not reason_given:
            many.append(f"snapstore/{file}:{node.lineno}: {name} takes {count}")
    assert many == []


def test_classes_have_few_public_methods() -> None:
    large = []
    for file, name, node in definitions():
        if not isinstance(node, ast.ClassDef):
            continue
        methods = {
            child.name
            for child in node.body
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            and not child.name.startswith("_")
            and not any("property" in ast.unparse(decorator) for decorator in child.decorator_list)
        }
        limit = MAX_FACADE_METHODS if is_short_of_facade(name) in FACADES else MAX_PUBLIC_METHODS
        if len(methods) > limit and name not in METHOD_EXCEPTIONS:
            large.append(f"snapstore/{file}:{node.lineno}: {name} has {len(methods)} public methods")
    assert large == []


def test_modules_say_what_they_are() -> None:
    silent = [f"snapstore/{file}" for file, tree, text in modules() if text.strip() and not ast.get_docstring(tree)]
    assert silent == []


def test_dataclasses_have_slots() -> None:
    loose = []
    for file, name, node in definitions():
        if not isinstance(node, ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            call = decorator if isinstance(decorator, ast.Call) else None
            target = call.func if call else decorator
            if not (isinstance(target, ast.Name) and target.id == "dataclass"):
                continue
            given = {keyword.arg for keyword in call.keywords} if call else set()
            if "slots" not in given and name not in DICT_EXCEPTIONS:
                loose.append(f"snapstore/{file}:{node.lineno}: {name}")
    assert loose == []


def test_exceptions_are_still_needed() -> None:
    names = {name for _, name, _ in definitions()}
    shortened = {is_short_of_facade(name) for name in names}
    assert {*METHOD_EXCEPTIONS, *DICT_EXCEPTIONS} - names == set()
    assert PARAMETER_EXCEPTIONS.keys() | FACADES <= shortened
