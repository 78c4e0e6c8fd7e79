"""Sharing between dossiers: what is stored once, what is not, and whose stored copies are relied on."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

import snapstore
from snapstore.blobs.sealer import BlobSealer, SealedBlob
from snapstore.crypto.blob import stored_hash
from snapstore.crypto.derivation import digest
from snapstore.crypto.keys import BlobDomain
from snapstore.format.index import decode_index
from snapstore.format.names import new_name, pack_path
from snapstore.format.pack import BlobKind, PackEntry, encode_header, padding_needed
from snapstore.limits import SHARED_MIN_FILE_BYTES
from snapstore.operations.browse import open_view
from snapstore.operations.context import DossierContext
from snapstore.operations.listing import find_manifest
from snapstore.stores.protocol import Store
from snapstore.testing import Recorder
from snapstore.types import PlainHash

ContextOf = Callable[[snapstore.Dossier], DossierContext]
OTHER_SECRET = "quite another secret"


@pytest.fixture
def letters(shared_lab: Any) -> snapstore.Dossier:
    """A second dossier in the same repository, with a secret of its own."""
    shared_lab.open().create_dossier("letters", secret=OTHER_SECRET)
    dossier: snapstore.Dossier = shared_lab.dossier(name="letters")
    return dossier


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def stored_bytes(store: Store) -> int:
    return sum(item.size for item in store.list("packs"))


def content_of(dossier: snapstore.Dossier, snapshot: snapstore.Snapshot, secret: str) -> bytes:
    with dossier.open_file(snapshot, "file", secret=secret) as file:
        return file.read()


@pytest.mark.parametrize(
    ("size", "once"), [(SHARED_MIN_FILE_BYTES, True), (700_000, True), (SHARED_MIN_FILE_BYTES - 1, False), (700, False)]
)
def test_large_files_are_stored_once_and_smaller_ones_are_not(
    shared_lab: Any, letters: snapstore.Dossier, size: int, once: bool
) -> None:
    shared_lab.write("file", content(size))
    first = shared_lab.dossier().snapshot(shared_lab.source)
    before = stored_bytes(shared_lab.store)
    second = letters.snapshot(shared_lab.source)
    grown = stored_bytes(shared_lab.store) - before
    # A data pack is the file's bytes and at least 4 KiB of header; a tree pack is 8 KiB or so.
    assert (grown < 20_000) == (once or size < 1000)
    assert (second.blobs_reused > 0) == once
    assert content_of(shared_lab.dossier(), first.snapshot, shared_lab.secret) == content(size)
    assert content_of(letters, second.snapshot, OTHER_SECRET) == content(size)


def test_without_sharing_nothing_is_stored_once_between_dossiers(lab: Any) -> None:
    lab.open().create_dossier("letters", secret=OTHER_SECRET)
    lab.write("file", content(700_000))
    first = lab.dossier().snapshot(lab.source)
    second = lab.dossier(name="letters").snapshot(lab.source)
    assert (first.blobs_reused, second.blobs_reused) == (0, 0)
    assert stored_bytes(lab.store) > 1_400_000


def test_neither_secret_opens_the_other_dossier(shared_lab: Any, letters: snapstore.Dossier) -> None:
    shared_lab.write("file", content(300_000))
    snapshot = letters.snapshot(shared_lab.source).snapshot
    with pytest.raises(snapstore.WrongSecretError):
        letters.open_file(snapshot, "file", secret=shared_lab.secret)
    assert shared_lab.unlocked("elsewhere").name == "books"
    with pytest.raises(snapstore.SnapshotNotFoundError):
        shared_lab.dossier().find(snapshot.name)


def plant(store: Store, context: DossierContext, blobs: list[SealedBlob]) -> str:
    """What any member can do: store a pack with a right header and any blobs."""
    entries: list[PackEntry] = []
    offset = 0
    for blob in blobs:
        entries.append(blob.entry._replace(offset=offset))
        offset += len(blob.stored)
    keys = context.repository.newest_maintenance()
    data = b"".join(blob.stored for blob in blobs) + bytes(padding_needed(offset, len(entries)))
    data += encode_header(keys, context.repository.config.repository_id, entries)
    name = new_name(digest(data))
    store.put(pack_path(name), data)
    return name


def sealer_of(context: DossierContext) -> BlobSealer:
    keys = context.epoch_keys()
    return BlobSealer(keys, keys[0].maintenance_keys, context.repository.config.repository_id)


def chunk_ids(context: DossierContext) -> dict[bytes, PackEntry]:
    """Every data blob of the store, by id."""
    repository, maintenance = context.repository, context.epoch_keys()[0].maintenance_keys
    return {
        entry.blob_id: entry
        for item in repository.store.list("index")
        for pack in decode_index(maintenance, repository.config.repository_id, repository.store.get(item.name))
        for entry in pack.entries()
        if entry.kind == BlobKind.DATA
    }


def test_garbage_under_a_shared_id_is_not_relied_on(
    shared_lab: Any, letters: snapstore.Dossier, context: ContextOf
) -> None:
    """A member who knows the file's h may be the first to store something under its id."""
    shared_lab.write("file", content(300_000))
    fork = shared_lab.fork("foretold")
    fork.dossier(name="letters").snapshot(shared_lab.source)
    foretold = chunk_ids(context(fork.dossier(name="letters")))
    member = sealer_of(context(letters))
    garbage = []
    of_member = member.seal_data(b"x", PlainHash(bytes(32)), shared=False).entry.voucher
    for entry in foretold.values():
        stored = bytes(entry.stored_size)
        garbage.append(SealedBlob(entry._replace(voucher=of_member, stored_hash=stored_hash(stored)), stored))
    plant(shared_lab.store, context(letters), garbage)

    report = shared_lab.dossier().snapshot(shared_lab.source)
    assert report.blobs_added > len(garbage)
    with shared_lab.dossier().open_file(report.snapshot, "file", secret=shared_lab.secret) as file:
        assert file.read() == content(300_000)


def test_a_whole_copy_of_another_dossier_is_fetched_once_and_then_relied_on(
    shared_lab: Any, letters: snapstore.Dossier, context: ContextOf
) -> None:
    shared_lab.write("file", content(300_000))
    letters.snapshot(shared_lab.source)

    def packs_read() -> int:
        store = Recorder(shared_lab.store)
        dossier = shared_lab.dossier(store=store)
        dossier._context.repository.index(refresh=True)
        before = len(store.calls)
        shared_lab.write("file", content(300_000))  # as it was, but with another time: it is read again
        report = dossier.snapshot(shared_lab.source)
        assert report.problems == ()
        return sum(call.operation == "get" and call.name.startswith("packs/") for call in store.calls[before:])

    assert packs_read() > 0
    assert packs_read() == 0


def test_a_voucher_is_for_one_id_and_these_bytes(
    shared_lab: Any, letters: snapstore.Dossier, context: ContextOf
) -> None:
    books = sealer_of(context(shared_lab.dossier()))
    foreign = sealer_of(context(letters))
    domain: BlobDomain = books.domain(shared=True)
    plain_hash = domain.hash(b"content")
    sealed = books.seal_data(b"content", plain_hash, shared=True)
    assert books.is_vouched(sealed.entry)
    assert not foreign.is_vouched(sealed.entry)
    assert foreign.seal_data(b"content", plain_hash, shared=True).entry.blob_id == sealed.entry.blob_id
    assert not books.is_vouched(sealed.entry._replace(stored_hash=bytes(16)))
    assert not books.is_vouched(sealed.entry._replace(blob_id=sealed.entry.blob_id[::-1]))


def test_a_file_that_is_a_tree_node_byte_for_byte_is_kept_apart_from_it(lab: Any, context: ContextOf) -> None:
    """One id in both kinds: a tree needs a copy with a child list, which a data blob has not."""
    lab.write("folder/a", b"a" * 5000)
    dossier = lab.dossier()
    first = dossier.snapshot(lab.source)
    dossier.unlock(lab.secret)
    view = open_view(context(dossier), find_manifest(context(dossier), first.snapshot), dossier._private)
    folder = view.find("folder")
    assert folder.subtree is not None
    node = view.reader.load(folder.subtree[1])
    fresh = lab.fork("fresh")
    for name in [*fresh.names("packs"), *fresh.names("index"), *fresh.names("snapshots"), *fresh.names("ok")]:
        fresh.store.delete(name)
    own = fresh.dossier()
    sealer = sealer_of(context(own))
    blob_id = sealer.domain(shared=False).address(folder.subtree[1])[0]
    plant(fresh.store, context(own), [sealer.seal_data(node, folder.subtree[1], shared=False)])

    report = own.snapshot(lab.source)
    copies = list(context(own).repository.index(refresh=True).index.copies(blob_id))
    assert sorted(copy.entry.kind for copy in copies) == [int(BlobKind.DATA), int(BlobKind.TREE)]
    assert [copy.entry.child_size > 0 for copy in copies if copy.entry.kind == BlobKind.TREE] == [True]
    # A reader of content may use either.
    for copy in copies:
        fork = fresh.fork(copy.pack)
        if copy.entry.kind == BlobKind.DATA:
            fork.store.delete(pack_path(copy.pack))
        fork.assert_restores(fork.unlocked("reader"), lab.facts(), report.snapshot)
