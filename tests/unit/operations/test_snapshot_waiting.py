"""What waits for hashes while a snapshot is taken: content only where no chunk has it, and all of it weighed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import snapstore
from snapstore.operations.snapshot.files import Content
from snapstore.operations.snapshot.pipeline import Pipeline

SIZES = (0, 10, 400, 2_000, 20_000, 200_000, 3_000_000)
EACH = 5


def contents_in(value: object) -> Iterator[Content]:
    if isinstance(value, Content):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from contents_in(item)


def held_by(action: Callable[[], None]) -> list[Content]:
    cells = getattr(action, "__closure__", None) or ()
    return [content for cell in cells for content in contents_in(cell.cell_contents)]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[Content], int]]:
    """What actions hold, and their weight, for each call of `then`."""
    calls: list[tuple[list[Content], int]] = []
    then = Pipeline.then

    def noted(self: Pipeline, action: Callable[[], None], needs: Sequence[Any] = (), **more: int) -> None:
        calls.append((held_by(action), more.get("weight", 0)))
        then(self, action, needs, **more)

    monkeypatch.setattr(Pipeline, "then", noted)
    return calls


def test_only_inline_content_waits_and_is_weighed(tmp_path: Path, given: list[tuple[list[Content], int]]) -> None:
    for size in SIZES:
        for number in range(EACH):
            (tmp_path / "source").mkdir(exist_ok=True)
            (tmp_path / "source" / f"{size} {number}").write_bytes(bytes([number + 1]) * size)
    with snapstore.init(tmp_path / "repository", state_dir=tmp_path / "state", kdf_seconds=0) as repository:
        dossier = repository.create_dossier("books", secret="a secret that is long enough")
        report = dossier.snapshot(tmp_path / "source")
        target = tmp_path / "target"
        dossier.restore(report.snapshot, to=target)
    contents = [content for held, _ in given for content in held]
    assert len(contents) == len(SIZES) * EACH
    assert sorted(len(content.data) for content in contents if content.data) == [10] * EACH + [400] * EACH
    assert {content.size for content in contents} >= set(SIZES[:5])
    for held, weight in given:
        if len(held) > 1:
            assert weight > sum(500 + len(content.data) for content in held)
    for path in (tmp_path / "source").iterdir():
        assert any(found.read_bytes() == path.read_bytes() for found in target.rglob(path.name))
