"""What waits for hashes while a snapshot is taken: content only where no chunk has it, and all of it weighed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import snapstore
from snapstore.operations.snapshot.files import Content, FileTask
from snapstore.operations.snapshot.pipeline import Pipeline
from snapstore.sources.scanned import ScannedEntry

SIZES = (0, 10, 400, 2_000, 20_000, 200_000, 3_000_000)
EACH = 5


def contents_in(value: object) -> Iterator[bytes]:
    """What of a file's content is in `value`."""
    if isinstance(value, Content):
        yield value.data
    elif isinstance(value, bytes):
        yield value
    elif isinstance(value, list | tuple) and not isinstance(value, FileTask | ScannedEntry):
        for item in value:
            yield from contents_in(item)


def held_by(action: Callable[[], None]) -> tuple[int, int]:
    """For how many files, and how many bytes of their contents."""
    values = [cell.cell_contents for cell in getattr(action, "__closure__", None) or ()]
    lists = [value for value in values if isinstance(value, list | tuple)]
    files = sum(isinstance(item, Content | FileTask) for value in lists for item in value)
    return files, sum(len(content) for value in values for content in contents_in(value))


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """Of how many files actions hold how many bytes, and their weight, for each call of `then`."""
    calls: list[tuple[int, int, int]] = []
    then = Pipeline.then

    def noted(self: Pipeline, action: Callable[[], None], needs: Sequence[Any] = (), **more: int) -> None:
        calls.append((*held_by(action), more.get("weight", 0)))
        then(self, action, needs, **more)

    monkeypatch.setattr(Pipeline, "then", noted)
    return calls


@pytest.mark.usefixtures("way")
def test_only_inline_content_waits_and_is_weighed(tmp_path: Path, given: list[tuple[int, int, int]]) -> None:
    for size in SIZES:
        for number in range(EACH):
            (tmp_path / "source").mkdir(exist_ok=True)
            (tmp_path / "source" / f"{size} {number}").write_bytes(bytes([number + 1]) * size)
    with snapstore.init(tmp_path / "repository", state_dir=tmp_path / "state", kdf_seconds=0) as repository:
        dossier = repository.create_dossier("books", secret="a secret that is long enough")
        report = dossier.snapshot(tmp_path / "source")
        target = tmp_path / "target"
        dossier.restore(report.snapshot, to=target)
    assert sum(size for files, size, _ in given if files) == EACH * (10 + 400)
    assert sum(files for files, _, _ in given) >= EACH * len(SIZES[:5])
    for files, size, weight in given:
        if files > 1:
            assert weight > 500 * files + size
    for path in (tmp_path / "source").iterdir():
        assert any(found.read_bytes() == path.read_bytes() for found in target.rglob(path.name))
