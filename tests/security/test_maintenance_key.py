"""What the holder of the maintenance key M alone can open: sizes, counts, times and structure; no content and no name.

The holder is played from docs/format with none of the package's own reading code, since a reader that politely
refuses would prove nothing. All that M opens is opened and searched; and everything else is tried with every key that
can be made of M, those that other keys' purposes would give included.
"""

from __future__ import annotations

import itertools
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgpack
import pytest
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import snapstore
from snapstore.station import StateFolder

SECRET = "a secret M does not know"
MARKERS = [
    f"Marker-{number}-{word}".encode() for number, word in enumerate(("name", "content", "label", "dossier", "PC"))
]
NAME, CONTENT, LABEL, DOSSIER, STATION = (marker.decode() for marker in MARKERS)
ENVELOPE, ENTRY = 8, struct.Struct("<32sBBHIIII16s16s")
SUBKEYS = {
    "maintenance": (
        "pack header",
        "index",
        "condemn",
        "session",
        "child list",
        "manifest",
        "record",
        "keyset",
        "config",
    ),
    "dossier": ("blob hash", "blob id", "voucher", "text"),
    "content": ("blob hash", "blob id"),
    "open": ("slot",),
}
PURPOSES = [f"{owner} {use}" for owner, uses in SUBKEYS.items() for use in uses]


def derive(key: bytes, purpose: str) -> bytes:
    return blake3(key, derive_key_context=f"snapstore 2026-11 v1 {purpose}").digest()


def unseal(key: bytes, sealed: bytes, data: bytes) -> bytes | None:
    try:
        return AESGCM(key).decrypt(sealed[:12], sealed[12:], data)
    except InvalidTag:
        return None


@dataclass(slots=True, kw_only=True)
class Holder:
    """Somebody with the medium and M."""

    medium: Path
    repository_id: bytes
    key: bytes
    opened: list[bytes] = field(default_factory=list)
    """Everything that M opened, to be searched."""

    def candidate_keys(self, blob_id: bytes = b"") -> Iterator[bytes]:
        for key in (self.key, *(derive(self.key, purpose) for purpose in PURPOSES)):
            yield key
            if blob_id:
                both = blake3(blob_id, key=key).digest(64)
                yield both[:32]
                yield both[32:]

    def objects(self, folder: str) -> Iterator[bytes]:
        for path in sorted((self.medium / folder).rglob("*")):
            if path.is_file():
                yield path.read_bytes()

    def open_object(self, data: bytes, purpose: str) -> bytes:
        envelope, object_id = data[:ENVELOPE], data[ENVELOPE : ENVELOPE + 16]
        key = derive(self.key, purpose)
        plaintext = unseal(key, data[ENVELOPE + 16 :], self.repository_id + envelope + object_id)
        assert plaintext is not None
        self.opened.append(plaintext)
        return plaintext

    def open_section(self, sealed: bytes, purpose: str, data: bytes) -> bytes:
        plaintext = unseal(derive(self.key, purpose), sealed, data)
        assert plaintext is not None
        self.opened.append(plaintext)
        return plaintext

    def blobs(self) -> Iterator[tuple[bytes, int, bytes, bytes]]:
        """Yield id, codec tag, child list and sealed content of every blob of every pack."""
        for pack in self.objects("packs"):
            (header_size,) = struct.unpack("<I", pack[-4:])
            header = self.open_object(pack[-4 - header_size : -4], "maintenance pack header")
            (count,) = struct.unpack_from("<I", header)
            for number in range(count):
                blob_id, _, codec, _, offset, stored, _, child, _, _ = ENTRY.unpack_from(
                    header, 4 + number * ENTRY.size
                )
                content = pack[offset : offset + stored]
                yield blob_id, codec, content[:child], content[child:]


def body_of(data: bytes) -> dict[int, object]:
    (size,) = struct.unpack_from("<I", data, ENVELOPE)
    body: dict[int, object] = msgpack.unpackb(data[12 : 12 + size], strict_map_key=False)
    return body


@pytest.fixture(scope="module")
def holder(tmp_path_factory: pytest.TempPathFactory) -> Holder:
    folder = tmp_path_factory.mktemp("maintenance")
    source = folder / "source" / NAME
    source.mkdir(parents=True)
    for number, size in enumerate((1, 100, 4000, 300_000)):
        (source / f"{NAME} {number}").write_bytes(CONTENT.encode() * (size // len(CONTENT) + 1) + os.urandom(size))
    state = folder / "state"
    url = folder / "repository"
    with snapstore.init(url, share=True, state_dir=state, station_name=STATION, kdf_seconds=0) as repository:
        dossier = repository.create_dossier(DOSSIER, secret=SECRET)
        dossier.snapshot(folder / "source", label=LABEL)
        (maintenance,) = {epoch.maintenance for epoch in StateFolder(state).keys(repository.id).epochs}
        return Holder(medium=url, repository_id=repository.id, key=maintenance)


def test_m_opens_headers_and_child_lists_and_no_blob(holder: Holder) -> None:
    child_list_key = derive(holder.key, "maintenance child list")
    blobs = list(holder.blobs())
    assert len(blobs) >= 5
    assert any(child for _, _, child, _ in blobs)
    for blob_id, codec, child, content in blobs:
        if child:
            key = blake3(blob_id, key=child_list_key).digest()
            children = unseal(key, child, holder.repository_id + blob_id + b"child list")
            assert children is not None
            holder.opened.append(children)
        for key in holder.candidate_keys(blob_id):
            assert unseal(key, content, blob_id + bytes([codec])) is None
    assert_nothing_told(holder)


def test_m_opens_facts_of_a_manifest_and_no_text(holder: Holder) -> None:
    manifests = list(itertools.chain(holder.objects("snapshots"), holder.objects("ok")))
    assert manifests
    for data in manifests:
        body = body_of(data)
        bound = holder.repository_id + data[:ENVELOPE] + body[1] + body[2]
        facts = msgpack.unpackb(
            holder.open_section(body[4], "maintenance manifest", bound + struct.pack("<I", 4)), strict_map_key=False
        )
        assert facts[4] == 4, "files are counted"
        for key in holder.candidate_keys():
            assert unseal(key, body[5], bound + struct.pack("<I", 5)) is None
        assert_no_hash_of_the_root(holder, facts[3], body)
    assert_nothing_told(holder)


def assert_no_hash_of_the_root(holder: Holder, root_id: bytes, body: dict[int, object]) -> None:
    """M knows the root's id; what opens it, h, is sealed to the dossier and is not made of the id."""
    (root,) = [(codec, content) for blob_id, codec, _, content in holder.blobs() if blob_id == root_id]
    assert unseal(root_id, root[1], root_id + bytes([root[0]])) is None
    for key in holder.candidate_keys(root_id):
        both = blake3(root_id, key=key).digest(64)
        assert unseal(both[32:], root[1], root_id + bytes([root[0]])) is None
    assert len(body[6]) == 1120 + 32 + 16


def test_m_opens_a_station_list_without_names_and_no_dossier_name(holder: Holder) -> None:
    keysets = list(holder.objects("dossiers"))
    assert keysets
    for data in keysets:
        body = body_of(data)
        bound = holder.repository_id + data[:ENVELOPE] + body[1]
        generation = struct.pack("<I", body[2])
        stations = msgpack.unpackb(holder.open_section(body[7], "maintenance keyset", bound + generation))
        for key in holder.candidate_keys():
            assert unseal(key, body[8], bound + b"dossier name" + generation) is None
            for public_key, _, name, *_ in stations:
                station_data = holder.repository_id + body[1] + b"station name" + public_key
                assert unseal(key, name, station_data) is None
    assert_nothing_told(holder)


def test_m_opens_indexes_that_tell_nothing(holder: Holder) -> None:
    assert [holder.open_object(data, "maintenance index") for data in holder.objects("index")]
    assert_nothing_told(holder)


def assert_nothing_told(holder: Holder) -> None:
    assert holder.opened
    for plaintext in holder.opened:
        for marker in MARKERS:
            assert marker not in plaintext
