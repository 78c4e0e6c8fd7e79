"""Golden bytes: what version 1 wrote once decodes, means what it meant, and encodes to the same bytes.

A round trip cannot notice when encoder and decoder change together; these can. HPKE ciphertexts are random, so keyset
and manifest are only opened, and their bodies signed again.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snapstore.codec import decompress
from snapstore.crypto import blob
from snapstore.crypto.keys import DossierKeys, EpochKeys
from snapstore.crypto.signing import SigningKey
from snapstore.format.config import decode_config, encode_config
from snapstore.format.envelope import Kind
from snapstore.format.index import decode_index, encode_index
from snapstore.format.keyset import PrivateHalves, decode_keyset, make_slot, station_id
from snapstore.format.manifest import decode_manifest
from snapstore.format.notes import decode_condemn, decode_session, encode_condemn, encode_session
from snapstore.format.pack import decode_header, encode_entries, encode_header, header_object_size
from snapstore.format.record import RecordType, decode_record, encode_record
from snapstore.format.signed import decode_signed, encode_signed
from snapstore.format.slot import SlotKind
from snapstore.format.tree import DirectoryLeaf, decode_node, encode_node
from snapstore.types import BlobId, DossierId, Problem, RepositoryId, SnapshotKind

VECTORS = {
    name: bytes.fromhex(text)
    for name, text in json.loads(Path(__file__).with_name("format.json").read_text("utf-8")).items()
}
REPOSITORY = RepositoryId(VECTORS["key/repository id"])
DOSSIER = DossierId(VECTORS["key/dossier id"])
PRIVATE = PrivateHalves.from_bytes(VECTORS["key/private halves"])
STATION = SigningKey.from_seed(VECTORS["key/station seed"])


def epoch_keys(epoch: int) -> DossierKeys:
    parts = {part: VECTORS[f"key/{part} {epoch}"] for part in ("maintenance", "content", "chunker", "dossier")}
    return DossierKeys.of(EpochKeys(epoch=epoch, **parts))


KEYS = epoch_keys(2)
MAINTENANCE = KEYS.maintenance_keys


def drawn(data: bytes) -> dict[str, bytes]:
    """The object id and nonce of a sealed object."""
    return {"object_id": data[8:24], "nonce": data[24:36]}


@pytest.mark.parametrize("name", sorted(name for name in VECTORS if name.startswith("node/")))
def test_nodes(name: str) -> None:
    assert encode_node(decode_node(VECTORS[name])) == VECTORS[name]


def test_entries_of_every_type() -> None:
    node = decode_node(VECTORS["node/directory leaf"])
    assert isinstance(node, DirectoryLeaf)
    found = {entry.name[2:]: entry for entry in node.entries}
    assert found[b"empty"].mtime_ns == -1
    assert found[b"inline"].inline == b"hello"
    assert found[b"inline"].changed
    assert found[b"slice"].slice == (VECTORS["key/root hash"], 100, 1000)
    assert found[b"chunks"].chunks == ((VECTORS["key/root hash"], 16384, 3), (4096,), (bytes(32), 5, 1))
    assert found[b"chunks"].shared
    assert found[b"tree"].group == "büro"
    assert found[b"link"].link_target == b"../a\xff"
    assert found[b"device"].device == (8, 1)
    assert found[b"hard"].hard_link == b"folder/a"
    assert found[b"folder"].totals == (20, 3000)


def test_blobs() -> None:
    plaintext = VECTORS["key/plaintext"]
    blob_id, content_key = KEYS.own.address(KEYS.own.hash(plaintext))
    for tag, name in enumerate(("blob/raw", "blob/zstd")):
        sealed = VECTORS[name]
        compressed = blob.unseal_blob(content_key, blob_id, tag, sealed)
        assert decompress(tag, compressed, raw_size=len(plaintext)) == plaintext
        assert blob.seal_blob(content_key, blob_id, tag, compressed, nonce=sealed[:12]) == sealed
    sealed = VECTORS["blob/child list"]
    prefixes = blob.unseal_child_list(MAINTENANCE.child_list, REPOSITORY, blob_id, sealed)
    assert prefixes == (b"oneoneoneoneoneo", b"threethreethreet", b"twotwotwotwotwot")
    ids = [BlobId(item) for item in prefixes]
    assert blob.seal_child_list(MAINTENANCE.child_list, REPOSITORY, blob_id, ids, nonce=sealed[:12]) == sealed


def test_config() -> None:
    data, mac_key = VECTORS["object/config"], epoch_keys(1).maintenance_keys.config
    decoded = decode_config(data)
    assert decoded.verify(mac_key)
    assert decoded.config.repository_id == REPOSITORY
    assert decoded.config.kdf[0].memory_kib == 65536
    assert encode_config(decoded.config, mac_key) == data


def test_pack_header() -> None:
    data = VECTORS["object/pack header"]
    assert header_object_size(data[-4:]) == len(data) - 4
    entries = decode_header(MAINTENANCE, REPOSITORY, data[:-4], blob_area=3 * 1028)
    assert [entry.offset for entry in entries] == [0, 1028, 2056]
    for entry in entries:
        assert blob.voucher(KEYS.voucher, entry.blob_id, entry.stored_hash, entry.vouched_facts) == entry.voucher
    assert encode_header(MAINTENANCE, REPOSITORY, entries, **drawn(data)) == data


def test_index() -> None:
    data = VECTORS["object/index"]
    packs = decode_index(MAINTENANCE, REPOSITORY, data)
    header = decode_header(MAINTENANCE, REPOSITORY, VECTORS["object/pack header"][:-4])
    assert packs[0].entries_bytes == encode_entries(header)
    assert packs[0].entries() == header
    assert encode_index(MAINTENANCE, REPOSITORY, packs, **drawn(data)) == data


def test_notes() -> None:
    data = VECTORS["object/condemn"]
    condemn = decode_condemn(MAINTENANCE, REPOSITORY, data)
    assert condemn.packs == ("0" * 32, "v" * 32)
    assert encode_condemn(MAINTENANCE, REPOSITORY, condemn, **drawn(data)) == data
    data = VECTORS["object/session"]
    note = decode_session(MAINTENANCE, REPOSITORY, data)
    assert (note.dossier_id, note.station_id) == (DOSSIER, station_id(STATION.public_bytes))
    assert encode_session(MAINTENANCE, REPOSITORY, note, **drawn(data)) == data


def test_keyset() -> None:
    data, master = VECTORS["object/keyset"], VECTORS["key/master"]
    keyset = decode_keyset(data)
    (slot,) = keyset.slots
    private = keyset.open_slot(slot, master)
    assert private is not None
    assert private.to_bytes() == PRIVATE.to_bytes()
    assert keyset.open_keys(private) == (KEYS, epoch_keys(1))
    assert keyset.name(KEYS) == "Müller & Söhne"
    first, second = keyset.stations(MAINTENANCE, KEYS)
    assert (first.public_key, first.name, first.last_number) == (STATION.public_bytes, "shop PC", None)
    assert (second.name, second.last_number) == ("old", 7)
    nonce = slot.wrapped[:12]
    again = make_slot(SlotKind.SECRET, 1, master, PRIVATE, REPOSITORY, DOSSIER, slot.slot_id, nonce=nonce)
    assert again == slot
    signed = decode_signed(Kind.KEYSET, data)
    assert encode_signed(signed.envelope, signed.body, PRIVATE.signing) == data


def test_manifest() -> None:
    data = VECTORS["object/manifest"]
    sealed = decode_manifest(data)
    assert sealed.verify(STATION.public_bytes)
    assert (sealed.repository_id, sealed.dossier_id, sealed.keyset_generation) == (REPOSITORY, DOSSIER, 2)
    facts = sealed.open_maintenance(MAINTENANCE)
    assert (facts.number, facts.zone_minutes, facts.kind) == (8, 60, SnapshotKind.AUTOMATIC)
    assert facts.roster == (bytes(16), sealed.snapshot_id)
    text = sealed.open_text(KEYS)
    assert (text.label, text.sources) == ("before the move", ("/home/anna", "C:\\Data"))
    assert text.problems == (Problem(code="unreadable", path="folder/b\udcffd", message="No permission."),)
    assert sealed.open_root(PRIVATE.hybrid) == VECTORS["key/root hash"]
    signed = decode_signed(Kind.MANIFEST, data)
    assert encode_signed(signed.envelope, signed.body, STATION) == data


def test_record() -> None:
    data = VECTORS["object/record"]
    sealed = decode_record(data)
    assert sealed.verify(STATION.public_bytes)
    assert sealed.type == RecordType.FORGET
    assert sealed.known
    assert not sealed.blocks
    facts = sealed.open(MAINTENANCE)
    assert facts.snapshot_ids() == (b"snapshotsnapshot",)
    again = encode_record(
        repository_id=sealed.repository_id,
        dossier_id=sealed.dossier_id,
        type=sealed.type,
        mandatory=sealed.mandatory,
        facts=facts,
        maintenance=MAINTENANCE,
        station_key=STATION,
        record_id=sealed.record_id,
        nonce=sealed.section[:12],
    )
    assert again == data
