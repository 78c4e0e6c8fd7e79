"""The documents are tried: Python blocks run, links lead somewhere, commands exist.

Every ```python block of README.md and docs/guide/*.md runs, in order, one namespace for each file, in an empty folder
that holds only what a reader would have (a folder "accounts" with a few files) and with the user's data folder
redirected. A ```console block is not run, but its commands and options must exist. Every relative link in any
document must resolve.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
EXECUTED = [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")


def blocks(document: Path, language: str) -> list[tuple[int, str]]:
    """Return line number and text of every block in that language."""
    text = document.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, match.start()) + 2, match[2]) for match in BLOCK.finditer(text) if match[1] == language
    ]


def relative(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


@pytest.fixture
def reader_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with something to save, and nothing of the real user's."""
    for variable in ("HOME", "USERPROFILE", "LOCALAPPDATA", "APPDATA"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    for variable in ("DATA", "CONFIG", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{variable}_HOME", str(tmp_path / "home" / variable.lower()))
    for variable in [name for name in os.environ if name.startswith("SNAPSTORE_")]:
        monkeypatch.delenv(variable)
    (tmp_path / "home").mkdir()
    accounts = tmp_path / "work" / "accounts"
    accounts.mkdir(parents=True)
    (accounts / "2026.csv").write_text("date,amount\n2026-01-01,10\n", encoding="utf-8")
    (accounts / "notes.txt").write_text("pay the rent\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.mark.parametrize("document", EXECUTED, ids=relative)
def test_python_blocks_run(document: Path, reader_folder: Path) -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    for line, code in blocks(document, "python"):
        # Blank lines before the code give a traceback the document's own line numbers.
        exec(compile("\n" * (line - 1) + code, str(document), "exec"), namespace)
    assert (reader_folder / "accounts" / "notes.txt").exists()


def test_the_readme_has_a_program() -> None:
    assert blocks(ROOT / "README.md", "python")


def test_the_readme_example_restores_what_was_saved(reader_folder: Path) -> None:
    namespace: dict[str, object] = {}
    for _, code in blocks(ROOT / "README.md", "python"):
        exec(code, namespace)
    assert (reader_folder / "restored" / "notes.txt").read_text(encoding="utf-8") == "pay the rent\n"


def commands(document: Path) -> list[tuple[int, list[str]]]:
    """Return line number and words of every `snapstore` command in the console blocks."""
    found = []
    for start, text in blocks(document, "console"):
        joined = text.replace("\\\n", " ")
        for offset, line in enumerate(joined.splitlines()):
            if line.startswith("$ snapstore "):
                found.append((start + offset, shlex.split(line.removeprefix("$ snapstore "), comments=True)))
    return found


@pytest.mark.parametrize("document", EXECUTED, ids=relative)
def test_console_blocks_name_commands_and_options_that_exist(document: Path) -> None:
    click = pytest.importorskip("click")
    from snapstore.cli.group import snapstore as group

    wrong = []
    for line, words in commands(document):
        current = group
        options = {name for parameter in current.params for name in (*parameter.opts, *parameter.secondary_opts)}
        options |= {"--help", "-h"}
        context = click.Context(group)
        for word in words:
            if word.startswith("-") and word != "-":
                name = word.split("=", maxsplit=1)[0]
                if not (name in options or name in {"-v", "-vv"}):
                    wrong.append(f"{relative(document)}:{line}: no option {name}")
            elif isinstance(current, click.Group) and current.get_command(context, word) is not None:
                current = current.get_command(context, word)
                options |= {
                    name for parameter in current.params for name in (*parameter.opts, *parameter.secondary_opts)
                }
        if isinstance(current, click.Group) and not options & set(words):
            wrong.append(f"{relative(document)}:{line}: no such command: snapstore {' '.join(words)}")
    assert wrong == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_relative_links_resolve(document: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    broken = [
        target
        for target in LINK.findall(text)
        if not target.startswith(("http:", "https:", "mailto:", "#"))
        and not (document.parent / target.split("#", maxsplit=1)[0]).exists()
    ]
    assert broken == []
