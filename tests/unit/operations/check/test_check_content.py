"""What only the dossier's keys show: trees and child lists that were never right, though every stored hash is."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest

import snapstore
from snapstore.blobs import native as blobs_native
from snapstore.blobs import sealer, trees
from snapstore.crypto import blob as crypto_blob
from snapstore.operations.check import content
from snapstore.operations.snapshot import ordinary
from snapstore.sources import native

Report = snapstore.CheckReport
Check = Callable[..., Report]
Damage = Callable[[Report], set[tuple[str, str]]]


def codes(report: Report) -> set[str]:
    return {item.code for item in report.findings if item.is_damage}


@pytest.fixture
def in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ways in Python, where a mistake can be made on purpose."""
    monkeypatch.setattr(native, "POSIX", None)
    monkeypatch.setattr(blobs_native, "SEALING", None)
    monkeypatch.setattr(ordinary, "_native", None)


def big_tree(lab: Any) -> None:
    generator = random.Random(8)
    for number in range(400):
        lab.write(f"many/file {number:03}", generator.randbytes(generator.choice((10, 700, 3000))))
    lab.write("long", generator.randbytes(3_000_000))
    lab.write("page.db", b"SQLite format 3\0" + generator.randbytes(900_000))


def test_sums_that_are_wrong_are_found(
    lab: Any, check: Check, in_python: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = trees.DirectoryBuilder._parent_item

    def wrong(self: Any, plain_hash: Any, items: Any) -> Any:
        item = right(self, plain_hash, items)
        child = trees.DirectoryChild(item.name, plain_hash, item.entries, item.size + 1)
        return item._replace(encoded=trees.encode_child(child))

    big_tree(lab)
    with monkeypatch.context() as patch:
        patch.setattr(trees.DirectoryBuilder, "_parent_item", wrong)
        lab.dossier().snapshot(lab.source)
    assert check(lab, content=False).whole
    report = check(lab)
    assert codes(report) == {"tree_sums_differ"}
    assert not report.whole
    assert report.hurt == ()  # every file comes back


def test_a_child_list_that_leaves_something_out_is_found(
    lab: Any, check: Check, in_python: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = crypto_blob.child_prefixes

    def fewer(ids: Iterable[Any]) -> bytes:
        joined = right(ids)
        return joined[:-16]

    big_tree(lab)
    with monkeypatch.context() as patch:
        patch.setattr(crypto_blob, "child_prefixes", fewer)
        lab.dossier().snapshot(lab.source)
    assert check(lab, content=False).whole
    report = check(lab)
    assert codes(report) == {"child_list_differs"}
    assert not report.whole


def test_content_is_opened_where_packs_were_read(lab: Any, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    big_tree(lab)
    lab.dossier().snapshot(lab.source)
    opened: list[int] = []
    right = content.ContentCheck._open

    def counted(self: Any, some: Any, *, shared: bool) -> Any:
        opened.extend(item.size for item in some)
        return right(self, some, shared=shared)

    monkeypatch.setattr(content.ContentCheck, "_open", counted)
    assert check(lab, options=snapstore.CheckOptions()).whole
    assert opened == []
    assert check(lab).whole
    total = sum(path.stat().st_size for path in lab.source.rglob("*") if path.is_file())
    assert 0.95 * total < sum(opened) <= total


def test_wrong_content_under_a_right_stored_hash_is_found(
    lab: Any, check: Check, in_python: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A computer whose memory failed between hashing and sealing, with verification of writes turned off."""
    right = sealer.seal_blob
    lab.write("file", random.Random(2).randbytes(30_000))

    def wrong(key: bytes, blob_id: Any, tag: int, compressed: Any, **more: Any) -> bytes:
        data = bytes(compressed)
        if tag == 0 and len(data) > 10_000:
            data = data[:-1] + bytes([data[-1] ^ 1])
        return right(key, blob_id, tag, data, **more)

    with monkeypatch.context() as patch:
        patch.setattr(sealer, "seal_blob", wrong)
        lab.dossier().snapshot(lab.source, options=snapstore.SnapshotOptions(verify_writes=False))
    assert check(lab, content=False).whole
    report = check(lab)
    assert not report.whole
    assert [item.files for item in report.hurt] == [("file",)]


def test_several_dossiers_with_one_secret_are_all_opened(lab: Any, check: Check) -> None:
    big_tree(lab)
    with lab.open() as repository:
        repository.dossier("books").snapshot(lab.source)
        repository.create_dossier("more books", secret=lab.secret).snapshot(lab.source)
        report = repository.check(snapstore.CheckOptions(read_data=True), secret=lab.secret, record=False)
        assert report.whole
        assert (report.snapshots, report.content) == (2, True)
        with pytest.raises(snapstore.WrongSecretError):
            repository.check(secret="not this one at all")
        with pytest.raises(snapstore.WrongSecretError):
            repository.check(secret=lab.secret, dossier="no such dossier")
