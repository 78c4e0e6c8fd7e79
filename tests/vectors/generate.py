"""Makes `format.json`: one whole object of each kind, under fixed keys, ids and nonces.

Run once, when a kind is added: `PYTHONPATH=. python tests/vectors/generate.py`. What is in the file stays as it is
for ever, since a released version may have written its like; only names that are missing are added. `format.json`
holds the keys as well, so that a reader in any language can use it.
"""

from __future__ import annotations

import json
from pathlib import Path

from snapstore.codec import compress
from snapstore.crypto.blob import seal_blob, seal_child_list, stored_hash, voucher
from snapstore.crypto.hybrid import HybridPrivateKey
from snapstore.crypto.kdf import KdfParameters
from snapstore.crypto.keys import DossierKeys, EpochKeys
from snapstore.crypto.signing import SigningKey
from snapstore.format.config import Config, encode_config
from snapstore.format.index import IndexedPack, encode_index
from snapstore.format.keyset import PrivateHalves, SlotKind, StationRecord, build_keyset, make_slot, station_id
from snapstore.format.manifest import Manifest, ManifestFacts, ManifestText, encode_manifest
from snapstore.format.names import padme
from snapstore.format.notes import Condemn, SessionNote, encode_condemn, encode_session
from snapstore.format.pack import (
    BlobKind,
    PackEntry,
    encode_entries,
    encode_header,
    header_size,
    vouched_facts,
)
from snapstore.format.record import RecordFacts, RecordType, encode_record, ids_payload
from snapstore.format.tree import (
    BlobReference,
    BundleSlice,
    Chunk,
    ChunkChild,
    ChunkLeaf,
    ChunkNode,
    DirectoryChild,
    DirectoryLeaf,
    DirectoryNode,
    Hole,
    NodeReference,
    Totals,
    TreeEntry,
    encode_node,
)
from snapstore.types import (
    BlobId,
    DossierId,
    EntryType,
    MediumId,
    PlainHash,
    Problem,
    RecordId,
    RepositoryId,
    SnapshotId,
    SnapshotKind,
)

FILE = Path(__file__).with_name("format.json")


def fixed(name: str, size: int) -> bytes:
    """Bytes that anybody can make again: the name, repeated."""
    return (name.encode() * size)[:size]


REPOSITORY = RepositoryId(fixed("repository", 16))
DOSSIER = DossierId(fixed("dossier", 16))
MEDIUM = MediumId(fixed("medium", 16))
SNAPSHOT = SnapshotId(fixed("snapshot", 16))
OBJECT_ID, NONCE = fixed("object", 16), fixed("nonce", 12)
MASTER, SLOT_ID = fixed("master", 32), fixed("slot", 16)
FIRST, SECOND = (
    EpochKeys(
        epoch=epoch,
        maintenance=fixed(f"maintenance {epoch}", 32),
        content=fixed(f"content {epoch}", 32),
        chunker=fixed(f"chunker {epoch}", 32),
        dossier=fixed(f"dossier key {epoch}", 32),
    )
    for epoch in (1, 2)
)
KEYS = DossierKeys.of(SECOND)
STATION = SigningKey.from_seed(fixed("station", 32))
PRIVATE = PrivateHalves(
    signing=SigningKey.from_seed(fixed("signing", 32)), hybrid=HybridPrivateKey.from_bytes(fixed("hybrid", 96))
)
H = PlainHash(fixed("hash", 32))
PLAINTEXT = b"A blob of a golden vector, long enough to be worth a compressor's while. " * 40
TIME_NS = 1_795_305_600_000_000_000  # 2026-11-22


def nodes() -> dict[str, bytes]:
    """One plaintext of each shape of node, every field of an entry somewhere."""
    file = EntryType.FILE
    entries = (
        TreeEntry(name=b"a empty", type=file, size=0, mode=0o644, mtime_ns=-1),
        TreeEntry(name=b"b inline", type=file, size=5, inline=b"hello", changed=True, birth_ns=TIME_NS),
        TreeEntry(name=b"c slice", type=file, size=900, slice=BundleSlice(H, 100, 1000), uid=1000, gid=100),
        TreeEntry(
            name=b"d chunks",
            type=file,
            size=16384 * 3 + 5 + 4096,
            chunks=(Chunk(H, 16384, 3), Hole(4096), Chunk(PlainHash(bytes(32)), 5)),
            shared=True,
        ),
        TreeEntry(name=b"e tree", type=file, size=1 << 40, chunk_tree=NodeReference(2, H), user="anna", group="büro"),
        TreeEntry(name=b"f link", type=EntryType.SYMLINK, link_target=b"../a\xff", xattrs=((b"user.a", b""),)),
        TreeEntry(name=b"g fifo", type=EntryType.FIFO, xattrs_blob=BlobReference(H, 5000), windows_attributes=0x2020),
        TreeEntry(name=b"h device", type=EntryType.BLOCK_DEVICE, device=(8, 1)),
        TreeEntry(name=b"i hard", type=EntryType.HARD_LINK, hard_link=b"folder/a"),
        TreeEntry(name=b"j folder", type=EntryType.DIRECTORY, subtree=NodeReference(0, H), totals=Totals(20, 3000)),
    )
    root = TreeEntry(name=b"", type=EntryType.DIRECTORY, subtree=NodeReference(1, H), totals=Totals(30, 4000))
    return {
        "node/directory leaf": encode_node(DirectoryLeaf(entries)),
        "node/root": encode_node(DirectoryLeaf((root,))),
        "node/empty directory": encode_node(DirectoryLeaf(())),
        "node/directory node": encode_node(
            DirectoryNode(1, (DirectoryChild(b"m", H, 10, 100), DirectoryChild(b"z", H, 1, 0)))
        ),
        "node/chunk leaf": encode_node(ChunkLeaf((Hole(1), Chunk(H, 16384, 200), Hole(1 << 33)))),
        "node/chunk node": encode_node(ChunkNode(3, tuple(ChunkChild(H, size) for size in range(1, 21)))),
    }


def blobs() -> dict[str, bytes]:
    """A sealed blob and a child list."""
    blob_id, content_key = KEYS.own.address(KEYS.own.hash(PLAINTEXT))
    raw = seal_blob(content_key, blob_id, 0, PLAINTEXT, nonce=NONCE)
    tag, compressed = compress(PLAINTEXT)
    ids = [BlobId(fixed(name, 32)) for name in ("two", "one", "three")]
    child_list = seal_child_list(KEYS.maintenance_keys.child_list, REPOSITORY, blob_id, ids, nonce=NONCE)
    return {
        "blob/raw": raw,
        "blob/zstd": seal_blob(content_key, blob_id, tag, compressed, nonce=NONCE),
        "blob/child list": child_list,
    }


def entries() -> list[PackEntry]:
    """The entries of the packs below."""
    offset, found = 0, []
    for number in range(3):
        blob_id = BlobId(fixed(f"blob {number}", 32))
        stored = stored_hash(fixed("stored", 1028))
        mark = voucher(KEYS.voucher, blob_id, stored, vouched_facts(BlobKind.DATA, 0, 2, 1000, 0))
        found.append(PackEntry(blob_id, BlobKind.DATA, 0, 2, offset, 1028, 1000, 0, stored, mark))
        offset += 1028
    return found


def sealed() -> dict[str, bytes]:
    """Objects of the sealed shape, and config."""
    keys, rows = KEYS.maintenance_keys, entries()
    size = padme(3 * 1028 + header_size(3))
    pack = IndexedPack(name=fixed("name", 32).decode().replace("m", "0"), pack_size=size, entries_bytes=b"")
    packs = [IndexedPack(name=pack.name, pack_size=size, entries_bytes=encode_entries(rows))]
    station = station_id(STATION.public_bytes)
    condemn = Condemn(station_id=station, time_ns=TIME_NS, packs=("0" * 32, "v" * 32))
    note = SessionNote(station_id=station, dossier_id=DOSSIER, start_ns=TIME_NS)
    config = Config(
        repository_id=REPOSITORY,
        medium_id=MEDIUM,
        generation=1,
        created_ns=TIME_NS,
        protected=True,
        sharing=True,
        kdf=(KdfParameters(generation=1, salt=fixed("salt", 16)),),
    )
    fix = {"object_id": OBJECT_ID, "nonce": NONCE}
    return {
        "object/config": encode_config(config, DossierKeys.of(FIRST).maintenance_keys.config),
        "object/pack header": encode_header(keys, REPOSITORY, rows, **fix),
        "object/index": encode_index(keys, REPOSITORY, packs, **fix),
        "object/condemn": encode_condemn(keys, REPOSITORY, condemn, **fix),
        "object/session": encode_session(keys, REPOSITORY, note, **fix),
    }


def signed() -> dict[str, bytes]:
    """Objects of the signed shape; keyset and manifest hold HPKE ciphertexts and differ each time."""
    station = station_id(STATION.public_bytes)
    slot = make_slot(SlotKind.SECRET, 1, MASTER, PRIVATE, REPOSITORY, DOSSIER, SLOT_ID, nonce=NONCE)
    stations = [
        StationRecord(public_key=STATION.public_bytes, enrolled_ns=TIME_NS, name="shop PC"),
        StationRecord(
            public_key=fixed("old", 32), enrolled_ns=TIME_NS, name="old", last_number=7, revoked_ns=TIME_NS + 1
        ),
    ]
    keyset = build_keyset(
        repository_id=REPOSITORY,
        dossier_id=DOSSIER,
        generation=2,
        keys=[FIRST, SECOND],
        private=PRIVATE,
        slots=[slot],
        stations=stations,
        name="Müller & Söhne",
        created_ns=TIME_NS,
    )
    facts = ManifestFacts(
        number=8,
        time_ns=TIME_NS,
        zone_minutes=60,
        root_id=BlobId(fixed("root id", 32)),
        files=10,
        directories=3,
        others=1,
        total_bytes=1 << 35,
        added_bytes=4096,
        kind=SnapshotKind.AUTOMATIC,
        medium_id=MEDIUM,
        station_id=station,
        roster=(SnapshotId(bytes(16)), SNAPSHOT),
        duration_ms=1500,
        problem_count=1,
    )
    text = ManifestText(
        label="before the move",
        host="shop",
        user="anna",
        sources=("/home/anna", "C:\\Data"),
        problems=(Problem(code="unreadable", path="folder/b\udcffd", message="No permission."),),
        version="0.1.0",
        excludes=("*.tmp",),
    )
    manifest = Manifest(
        repository_id=REPOSITORY, dossier_id=DOSSIER, snapshot_id=SNAPSHOT, keyset_generation=2, facts=facts, text=text
    )
    record = encode_record(
        repository_id=REPOSITORY,
        dossier_id=DOSSIER,
        type=RecordType.FORGET,
        mandatory=True,
        facts=RecordFacts(station_id=station, time_ns=TIME_NS, zone_minutes=-300, payload=ids_payload([SNAPSHOT])),
        maintenance=KEYS.maintenance_keys,
        station_key=STATION,
        record_id=RecordId(fixed("record", 16)),
        nonce=NONCE,
    )
    return {
        "object/keyset": keyset,
        "object/manifest": encode_manifest(
            manifest,
            keys=KEYS,
            maintenance=KEYS.maintenance_keys,
            hpke_public=PRIVATE.hybrid.public_bytes,
            root_hash=H,
            station_key=STATION,
        ),
        "object/record": record,
    }


def keys() -> dict[str, bytes]:
    """What opens the objects."""
    found = {"repository id": REPOSITORY, "dossier id": DOSSIER, "master": MASTER, "plaintext": PLAINTEXT}
    for epoch in (FIRST, SECOND):
        assert epoch.content is not None
        found |= {
            f"maintenance {epoch.epoch}": epoch.maintenance,
            f"content {epoch.epoch}": epoch.content,
            f"chunker {epoch.epoch}": epoch.chunker,
            f"dossier {epoch.epoch}": epoch.dossier,
        }
    return found | {"private halves": PRIVATE.to_bytes(), "station seed": STATION.seed, "root hash": H}


def main() -> None:
    """Add what the file does not have yet."""
    kept: dict[str, str] = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    made = {f"key/{name}": value for name, value in keys().items()} | nodes() | blobs() | sealed() | signed()
    for name, value in made.items():
        kept.setdefault(name, value.hex())
    FILE.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    main()
