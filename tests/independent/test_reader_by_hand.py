"""The reader against objects put together by hand from `snapstore.format`, for what the library itself seldom writes.

Two key epochs in one history, an open slot where none may be, a keyset that somebody else made up, and a data blob with
the id of a tree. Nothing here goes through operations: what is tested is that the chapters and the encoders agree.
"""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from snapstore.codec import compress
from snapstore.crypto.blob import seal_blob, seal_child_list, stored_hash, voucher
from snapstore.crypto.derivation import digest
from snapstore.crypto.entropy import random_bytes
from snapstore.crypto.kdf import KdfParameters, derive_master
from snapstore.crypto.keys import DossierKeys, EpochKeys, MaintenanceKeys
from snapstore.crypto.secrets import normalise_secret
from snapstore.crypto.signing import SigningKey
from snapstore.crypto.slots import open_master
from snapstore.format.config import Config, encode_config
from snapstore.format.entry import Chunk, Hole, TreeEntry
from snapstore.format.keyset import PrivateHalves, SlotKind, StationRecord, build_keyset, make_slot, station_id
from snapstore.format.manifest import Manifest, ManifestFacts, ManifestText, encode_manifest
from snapstore.format.names import dossier_path, new_name, object_path, pack_path
from snapstore.format.pack import BlobKind, PackEntry, encode_header, padding_needed, vouched_facts
from snapstore.format.tree import ChunkChild, ChunkLeaf, ChunkNode, DirectoryLeaf, Node, encode_node
from snapstore.types import (
    DossierId,
    EntryType,
    MediumId,
    PlainHash,
    RepositoryId,
    SnapshotId,
    SnapshotKind,
)

SECRET = "eight code points"


@dataclass
class HandMade:
    """A repository whose every object is made here. `keys` is the current epoch."""

    folder: Path
    repository_id: RepositoryId = field(default_factory=lambda: RepositoryId(random_bytes(16)))
    dossier_id: DossierId = field(default_factory=lambda: DossierId(random_bytes(16)))
    private: PrivateHalves = field(default_factory=PrivateHalves.generate)
    station: SigningKey = field(default_factory=SigningKey.generate)
    epochs: list[EpochKeys] = field(default_factory=list)
    blobs: dict[BlobKind, list[tuple[PackEntry, bytes]]] = field(default_factory=dict)
    snapshots: list[SnapshotId] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.new_epoch()
        config = Config(
            repository_id=self.repository_id,
            medium_id=MediumId(random_bytes(16)),
            generation=1,
            created_ns=time.time_ns(),
            protected=True,
            sharing=False,
            kdf=(KdfParameters(generation=1, salt=random_bytes(16)),),
        )
        self.kdf = config.kdf[0]
        data = encode_config(config, self.maintenance.config)
        self.put(object_path("config", new_name(digest(data))), data)

    @property
    def keys(self) -> DossierKeys:
        return DossierKeys.of(self.epochs[-1])

    @property
    def maintenance(self) -> MaintenanceKeys:
        return self.keys.maintenance_keys

    def new_epoch(self) -> None:
        fresh = [random_bytes(32) for _ in range(3)]
        number = len(self.epochs) + 1
        self.epochs.append(
            EpochKeys(epoch=number, maintenance=fresh[0], content=None, chunker=fresh[1], dossier=fresh[2])
        )

    def put(self, name: str, data: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def save(self, kind: BlobKind, plaintext: bytes) -> PlainHash:
        plain_hash = self.keys.own.hash(plaintext)
        blob_id, content_key = self.keys.own.address(plain_hash)
        codec, packed = compress(plaintext)
        children = (
            seal_child_list(self.maintenance.child_list, self.repository_id, blob_id, [])
            if kind is BlobKind.TREE
            else b""
        )
        stored = children + seal_blob(content_key, blob_id, codec, packed)
        blobs = self.blobs.setdefault(kind, [])
        entry = PackEntry(
            blob_id=blob_id,
            kind=kind,
            codec=codec,
            epoch=self.keys.epoch,
            offset=sum(len(data) for _, data in blobs),
            stored_size=len(stored),
            raw_size=len(plaintext),
            child_size=len(children),
            stored_hash=stored_hash(stored),
            voucher=voucher(
                self.keys.voucher,
                blob_id,
                stored_hash(stored),
                vouched_facts(kind, codec, self.keys.epoch, len(plaintext), len(children)),
            ),
        )
        blobs.append((entry, stored))
        return plain_hash

    def tree(self, node: Node) -> PlainHash:
        return self.save(BlobKind.TREE, encode_node(node))

    def put_packs(self) -> None:
        """Every kind to one pack, and no index: the reader looks at headers."""
        for blobs in self.blobs.values():
            entries = [entry for entry, _ in blobs]
            body = b"".join(data for _, data in blobs)
            padding = random_bytes(padding_needed(len(body), len(entries)))
            data = body + padding + encode_header(self.maintenance, self.repository_id, entries)
            self.put(pack_path(new_name(digest(data))), data)
        self.blobs.clear()

    def put_keyset(self, generation: int, *, kind: SlotKind = SlotKind.SECRET) -> None:
        ids = (self.repository_id, self.dossier_id)
        if kind is SlotKind.OPEN:
            slot = make_slot(kind, 0, open_master(self.repository_id), self.private, *ids)
        else:
            slot = make_slot(kind, 1, derive_master(normalise_secret(SECRET), self.kdf), self.private, *ids)
        station = StationRecord(public_key=self.station.public_bytes, enrolled_ns=1, name="till 1")
        data = build_keyset(
            repository_id=self.repository_id,
            dossier_id=self.dossier_id,
            generation=generation,
            keys=self.epochs,
            private=self.private,
            slots=(slot,),
            stations=(station,),
            name="shop",
            created_ns=1,
        )
        self.put(dossier_path("dossiers", self.dossier_id, new_name(digest(data))), data)

    def put_snapshot(self, entries: tuple[TreeEntry, ...]) -> SnapshotId:
        below = self.tree(DirectoryLeaf(entries=entries))
        top = TreeEntry(name=b"", type=EntryType.DIRECTORY, mode=0o755, subtree=(0, below), totals=(len(entries), 0))
        root = self.tree(DirectoryLeaf(entries=(top,)))
        self.put_packs()
        snapshot_id = SnapshotId(random_bytes(16))
        self.snapshots.append(snapshot_id)
        facts = ManifestFacts(
            number=len(self.snapshots),
            time_ns=time.time_ns(),
            zone_minutes=60,
            root_id=self.keys.own.address(root)[0],
            files=len(entries),
            directories=1,
            others=0,
            total_bytes=0,
            added_bytes=0,
            kind=SnapshotKind.MANUAL,
            medium_id=MediumId(bytes(16)),
            station_id=station_id(self.station.public_bytes),
            roster=tuple(sorted(self.snapshots)),
            duration_ms=1,
            problem_count=0,
        )
        text = ManifestText(label=None, host="h", user="u", sources=(), problems=(), version="1", excludes=())
        manifest = Manifest(
            repository_id=self.repository_id,
            dossier_id=self.dossier_id,
            snapshot_id=snapshot_id,
            keyset_generation=1,
            facts=facts,
            text=text,
        )
        data = encode_manifest(
            manifest,
            keys=self.keys,
            maintenance=self.maintenance,
            hpke_public=self.private.hybrid.public_bytes,
            root_hash=root,
            station_key=self.station,
        )
        for place in ("snapshots", "ok"):
            self.put(dossier_path(place, self.dossier_id, new_name(digest(data))), data)
        return snapshot_id


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("reader")


@pytest.fixture
def repository(tmp_path: Path) -> HandMade:
    return HandMade(tmp_path / "repository")


def restore(reader: ModuleType, repository: HandMade, target: Path, *prefix: str) -> None:
    secret_file = repository.folder.with_name("secret")
    secret_file.write_text(SECRET, encoding="utf-8")
    reader.main([str(repository.folder), str(secret_file), str(target), *prefix])


def small_file(name: bytes, content: bytes) -> TreeEntry:
    return TreeEntry(name=name, type=EntryType.FILE, mode=0o644, size=len(content), inline=content)


def test_snapshots_of_two_epochs_open(reader: ModuleType, repository: HandMade, tmp_path: Path) -> None:
    old = repository.put_snapshot((small_file(b"old", b"epoch one"),))
    repository.new_epoch()
    repository.put_keyset(1)
    repository.put_snapshot((small_file(b"new", b"epoch two"),))
    restore(reader, repository, tmp_path / "new")
    restore(reader, repository, tmp_path / "old", old.hex())
    assert (tmp_path / "new" / "new").read_bytes() == b"epoch two"
    assert (tmp_path / "old" / "old").read_bytes() == b"epoch one"


def test_a_deep_chunk_list_with_repeats_and_holes(reader: ModuleType, repository: HandMade, tmp_path: Path) -> None:
    chunk, zeros = random_bytes(5000), bytes(4096)
    first = repository.tree(ChunkLeaf(items=(Chunk(repository.save(BlobKind.DATA, chunk), 5000), Hole(70_000))))
    second = repository.tree(ChunkLeaf(items=(Chunk(repository.save(BlobKind.DATA, zeros), 4096, 3),)))
    size = 5000 + 70_000 + 3 * 4096
    root = repository.tree(ChunkNode(level=1, children=(ChunkChild(first, 75_000), ChunkChild(second, size - 75_000))))
    repository.put_keyset(1)
    repository.put_snapshot((TreeEntry(name=b"file", type=EntryType.FILE, size=size, chunk_tree=(1, root)),))
    restore(reader, repository, tmp_path / "out")
    assert (tmp_path / "out" / "file").read_bytes() == chunk + bytes(70_000) + zeros * 3


def test_data_with_the_bytes_of_a_tree_has_its_id_and_reads_back(
    reader: ModuleType, repository: HandMade, tmp_path: Path
) -> None:
    inner = (small_file(b"inner", b"content"),)
    node = encode_node(DirectoryLeaf(entries=inner))
    plain_hash = repository.save(BlobKind.DATA, node)
    same_bytes = TreeEntry(name=b"node", type=EntryType.FILE, size=len(node), chunks=(Chunk(plain_hash, len(node)),))
    assert repository.tree(DirectoryLeaf(entries=inner)) == plain_hash
    folder = TreeEntry(name=b"z", type=EntryType.DIRECTORY, subtree=(0, plain_hash), totals=(1, 7))
    repository.put_keyset(1)
    repository.put_snapshot((same_bytes, folder))
    restore(reader, repository, tmp_path / "out")
    assert (tmp_path / "out" / "node").read_bytes() == node
    assert (tmp_path / "out" / "z" / "inner").read_bytes() == b"content"


def test_an_open_slot_opens_nothing_in_a_protected_repository(
    reader: ModuleType, repository: HandMade, tmp_path: Path
) -> None:
    repository.put_keyset(1, kind=SlotKind.OPEN)
    repository.put_snapshot((small_file(b"planted", b"by the server"),))
    with pytest.raises(reader.WrongSecret):
        restore(reader, repository, tmp_path / "out")


def test_a_keyset_that_somebody_made_up_hides_nothing(
    reader: ModuleType, repository: HandMade, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.put_keyset(1)
    repository.put_snapshot((small_file(b"file", b"content"),))
    unknown_master = random_bytes(32)
    forged = build_keyset(
        repository_id=repository.repository_id,
        dossier_id=repository.dossier_id,
        generation=9,
        keys=repository.epochs,
        private=(other := PrivateHalves.generate()),
        slots=(make_slot(SlotKind.SECRET, 1, unknown_master, other, repository.repository_id, repository.dossier_id),),
        stations=(),
        name="shop",
        created_ns=1,
    )
    repository.put(dossier_path("dossiers", repository.dossier_id, new_name(digest(forged))), forged)
    restore(reader, repository, tmp_path / "out")
    assert (tmp_path / "out" / "file").read_bytes() == b"content"
    assert "which is not the newest" in capsys.readouterr().err
