"""Every decoder of bytes or text that come from a store, a server, a person or the station's own files.

Here: `targets`. Not here: how they are fed (fuzzing.py).

Rules: what a decoder finds behind a signature or a seal is made anew from mutated plaintext with the keys of the
golden vectors, so that what is inside is reached. Text is fed as UTF-8 with surrogates for what is none, as Python
hands it on.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from fuzzing import Target

from snapstore.codec import RAW, ZSTD, compress, decompress
from snapstore.crypto import hybrid
from snapstore.crypto.blob import unseal_child_list
from snapstore.crypto.derivation import keyed
from snapstore.crypto.keys import DossierKeys, EpochKeys
from snapstore.crypto.sealing import seal, unseal
from snapstore.crypto.secrets import normalise_recovery_code, normalise_secret, secret_from_bytes
from snapstore.crypto.signing import SigningKey
from snapstore.errors import InputError, StoreError
from snapstore.format.config import decode_config
from snapstore.format.entry_decoding import decode_xattrs
from snapstore.format.envelope import Envelope, Kind
from snapstore.format.index import decode_index
from snapstore.format.keyset import Keyset, decode_keyset
from snapstore.format.manifest import decode_manifest
from snapstore.format.names import name_matches, unb32, valid_element, valid_name
from snapstore.format.notes import decode_condemn, decode_session
from snapstore.format.pack import decode_entries, decode_header, entry_ids, header_object_size
from snapstore.format.packing import decode, encode
from snapstore.format.parity import block_check, decode_head, decode_last_head, decode_sidecar, make_sidecar
from snapstore.format.record import decode_record
from snapstore.format.sealed import seal_object, unseal_object
from snapstore.format.signed import decode_signed, encode_signed
from snapstore.format.slot import PrivateHalves, decode_slot, unwrap_slot
from snapstore.format.tree import decode_node
from snapstore.station.addresses import KnownAddresses
from snapstore.station.caches import MediumCache, copied_pair
from snapstore.station.identity import load_station
from snapstore.station.index_cache import IndexCache
from snapstore.station.keyring import load_keys
from snapstore.station.places import MediumPlace
from snapstore.stores.address import RemoteAddress
from snapstore.stores.ftp import listing
from snapstore.stores.ftp.replies import words_of
from snapstore.stores.sftp import wire
from snapstore.stores.url import redact_url, remote_address
from snapstore.types import BlobId, DossierId, RepositoryId

VECTOR_FILE: Final = Path(__file__).parents[1] / "vectors" / "format.json"
VECTORS: Final = {name: bytes.fromhex(text) for name, text in json.loads(VECTOR_FILE.read_text("utf-8")).items()}
REPOSITORY: Final = RepositoryId(VECTORS["key/repository id"])
DOSSIER: Final = DossierId(VECTORS["key/dossier id"])
KEYS: Final = DossierKeys.of(
    EpochKeys(epoch=2, **{part: VECTORS[f"key/{part} 2"] for part in ("maintenance", "content", "chunker", "dossier")})
)
M: Final = KEYS.maintenance_keys
PRIVATE: Final = PrivateHalves.from_bytes(VECTORS["key/private halves"])
STATION: Final = SigningKey.from_seed(VECTORS["key/station seed"])
_RAW_SIZE: Final = 1 << 16
_HEAD_CHECK: Final = 16


def targets(folder: Path) -> list[Target]:
    """All of them; those of files use a folder."""
    return [*objects(), *plaintexts(), *sections(), *nodes(), *others(), *wires(), *texts(), *station_files(folder)]


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def whole_manifest(data: bytes) -> object:
    sealed = decode_manifest(data)
    return sealed.open_maintenance(M), sealed.open_text(KEYS), sealed.open_root(PRIVATE.hybrid)


def whole_keyset(data: bytes) -> object:
    keyset = decode_keyset(data)
    for slot in keyset.slots:
        if not slot.damaged:
            keyset.open_slot(slot, VECTORS["key/master"])
    return keyset.open_keys(PRIVATE), keyset.stations(M, KEYS), keyset.name(KEYS)


def objects() -> Iterator[Target]:
    """Whole objects, as they lie on a store."""
    decoders: dict[str, Callable[[bytes], object]] = {
        "config": lambda data: decode_config(data).verify(M.config),
        "keyset": whole_keyset,
        "manifest": whole_manifest,
        "record": lambda data: decode_record(data).open(M),
        "pack header": lambda data: (header_object_size(data[-4:]), decode_header(M, REPOSITORY, data[:-4])),
        "index": lambda data: decode_index(M, REPOSITORY, data),
        "condemn": lambda data: decode_condemn(M, REPOSITORY, data),
        "session": lambda data: decode_session(M, REPOSITORY, data),
    }
    for name, decoder in decoders.items():
        yield Target(name=name, decode=decoder, seeds=(VECTORS[f"object/{name}"],))
    yield Target(name="envelope", decode=Envelope.decode, seeds=tuple(VECTORS[f"object/{name}"] for name in decoders))


def plaintexts() -> Iterator[Target]:
    """What is inside of sealed and signed objects, sealed and signed anew."""
    for name, kind, key, decoder in (
        ("pack header", Kind.PACK_HEADER, M.pack_header, decode_header),
        ("index", Kind.INDEX, M.index, decode_index),
        ("condemn", Kind.CONDEMN, M.condemn, decode_condemn),
        ("session", Kind.SESSION, M.session, decode_session),
    ):
        whole = VECTORS[f"object/{name}"]
        seed = unseal_object(kind, key, REPOSITORY, whole[:-4] if kind is Kind.PACK_HEADER else whole)

        def reseal(
            data: bytes, kind: Kind = kind, key: bytes = key, decoder: Callable[..., object] = decoder
        ) -> object:
            return decoder(M, REPOSITORY, seal_object(kind, key, REPOSITORY, M.epoch, data))

        is_msgpack = kind in (Kind.CONDEMN, Kind.SESSION)
        yield Target(name=f"{name} inside", decode=reseal, seeds=(seed,), is_msgpack=is_msgpack)
    signed: tuple[tuple[str, Kind, SigningKey, Callable[[bytes], object]], ...] = (
        ("keyset", Kind.KEYSET, PRIVATE.signing, whole_keyset),
        ("manifest", Kind.MANIFEST, STATION, whole_manifest),
        ("record", Kind.RECORD, STATION, lambda data: decode_record(data).open(M)),
    )
    for name, kind, signing, opener in signed:
        envelope = Envelope.of(kind, 2)

        def resign(
            data: bytes,
            envelope: Envelope = envelope,
            signing: SigningKey = signing,
            opener: Callable[[bytes], object] = opener,
        ) -> object:
            return opener(encode_signed(envelope, data, signing))

        seed = decode_signed(kind, VECTORS[f"object/{name}"]).body
        yield Target(name=f"{name} inside", decode=resign, seeds=(seed,), is_msgpack=True)
    body = VECTORS["object/config"][12:-32]
    head = VECTORS["object/config"][:8]
    yield Target(
        name="config inside",
        decode=lambda data: decode_config(head + struct.pack("<I", len(data)) + data + bytes(32)),
        seeds=(body,),
        is_msgpack=True,
    )


def sections() -> Iterator[Target]:
    """Sealed sections of signed objects."""
    manifest = decode_manifest(VECTORS["object/manifest"])
    record = decode_record(VECTORS["object/record"])
    keyset = decode_keyset(VECTORS["object/keyset"])
    manifest_head = REPOSITORY + manifest.envelope.encode() + manifest.dossier_id + manifest.snapshot_id
    for number, key in ((4, M.manifest), (5, KEYS.text)):
        associated = manifest_head + struct.pack("<I", number)
        section = manifest.facts_section if number == 4 else manifest.text_section

        def remade(data: bytes, number: int = number, key: bytes = key, associated: bytes = associated) -> object:
            body: Any = decode(manifest.signed.body, what="manifest")
            body[number] = seal(key, data, associated)
            sealed = decode_manifest(encode_signed(manifest.envelope, encode(body), STATION))
            return sealed.open_maintenance(M) if number == 4 else sealed.open_text(KEYS)

        seed = unseal(key, section, associated)
        yield Target(name=f"manifest section {number}", decode=remade, seeds=(seed,), is_msgpack=True)
    for record_type in (*range(1, 11), 4_000_000):
        head = REPOSITORY + record.envelope.encode() + record.dossier_id + record.record_id
        associated = head + struct.pack("<I", record_type)

        def reopened(data: bytes, record_type: int = record_type, associated: bytes = associated) -> object:
            body: Any = decode(record.signed.body, what="record")
            body[3], body[4] = record_type, record_type in (1, 2, 3, 7, 9)
            body[5] = seal(M.record, data, associated)
            return decode_record(encode_signed(record.envelope, encode(body), STATION)).open(M)

        payloads: tuple[object, ...] = (
            {0: bytes(32)},
            {0: 5, 1: True},
            {0: bytes(16), 1: bytes(16)},
            {0: ["a" * 32]},
            {},
        )
        seeds = tuple(encode({0: bytes(16), 1: 5, 2: 60, 3: payload}) for payload in payloads)
        yield Target(name=f"record section {record_type}", decode=reopened, seeds=seeds, is_msgpack=True)
    yield from keyset_sections(keyset)


def keyset_sections(keyset: Keyset) -> Iterator[Target]:
    binding = keyset._binding
    body: Any = decode(decode_signed(Kind.KEYSET, VECTORS["object/keyset"]).body, what="keyset")
    envelope = Envelope.of(Kind.KEYSET, 2)

    def remade(number: int, value: bytes) -> Keyset:
        return decode_keyset(encode_signed(envelope, encode({**body, number: value}), PRIVATE.signing))

    yield Target(
        name="keyset keys",
        decode=lambda data: remade(6, hybrid.encrypt(PRIVATE.hybrid.public_bytes, data, binding.keys_info())).open_keys(
            PRIVATE
        ),
        seeds=(PRIVATE.hybrid.decrypt(keyset.sealed_keys, binding.keys_info()),),
        is_msgpack=True,
    )
    yield Target(
        name="keyset stations",
        decode=lambda data: remade(7, seal(M.keyset, data, binding.stations_data())).stations(M, KEYS),
        seeds=(unseal(M.keyset, keyset.station_section, binding.stations_data()),),
        is_msgpack=True,
    )
    slots = [encode(item) for item in body[5]]
    yield Target(
        name="slot",
        decode=lambda data: unwrap_slot(
            decode_slot(decode(data, what="slot"), "slot"), VECTORS["key/master"], REPOSITORY, DOSSIER
        ),
        seeds=tuple(slots),
        is_msgpack=True,
    )


def nodes() -> Iterator[Target]:
    """Nodes of trees, and what they hold."""
    seeds = tuple(value for name, value in VECTORS.items() if name.startswith("node/"))
    yield Target(name="tree node", decode=decode_node, seeds=seeds, is_msgpack=True)
    yield Target(
        name="xattrs", decode=decode_xattrs, seeds=(encode([[b"user.a", b"b"], [b"user.c", b""]]),), is_msgpack=True
    )
    yield Target(
        name="msgpack",
        decode=lambda data: decode(data, what="value"),
        seeds=(*seeds, b"\x91" * 40, b"\xdd\xff\xff\xff\xff", b"\x90" * 50, b"\xdc\x00\x40" + b"\x80" * 64),
        is_msgpack=True,
    )


def others() -> Iterator[Target]:
    """Entries of packs, blobs, parity."""
    header = unseal_object(Kind.PACK_HEADER, M.pack_header, REPOSITORY, VECTORS["object/pack header"][:-4])
    rows = header[: 4 + 84 * struct.unpack("<I", header[:4])[0]]
    yield Target(
        name="pack entries",
        decode=lambda data: (decode_entries(data, blob_area=None), entry_ids(data)),
        seeds=(rows,),
    )
    yield Target(name="header trailer", decode=header_object_size, seeds=(VECTORS["object/pack header"][-4:],))
    plain = VECTORS["key/plaintext"]
    frames = (compress(plain)[1], compress(bytes(_RAW_SIZE))[1], bytes.fromhex("28b52ffd"))
    for tag, raw_size in ((ZSTD, len(plain)), (ZSTD, _RAW_SIZE), (RAW, 20), (7, 20)):
        yield Target(
            name=f"decompress {tag} {raw_size}",
            decode=lambda data, tag=tag, raw_size=raw_size: decompress(tag, data, raw_size=raw_size),
            seeds=(*frames, bytes(20)),
            extra_memory=2 * raw_size,
        )
    child = BlobId(VECTORS["key/master"])
    yield Target(
        name="child list",
        decode=lambda data: unseal_child_list(M.child_list, REPOSITORY, child, data),
        seeds=(VECTORS["blob/child list"],),
    )
    associated = REPOSITORY + child + b"child list"
    yield Target(
        name="child list inside",
        decode=lambda data: unseal_child_list(
            M.child_list, REPOSITORY, child, seal(keyed(M.child_list, child), data, associated)
        ),
        seeds=(bytes(range(64)), b""),
    )
    sidecar = make_sidecar("0" * 32, (VECTORS["object/keyset"],))
    large = make_sidecar("v" * 32, (bytes(1 << 20), b"end"))[: 9 * 1024]
    for name, decoder in (("head", decode_head), ("last head", decode_last_head), ("sidecar", decode_sidecar)):
        yield Target(name=f"parity {name}", decode=decoder, seeds=(sidecar, large))
    yield Target(
        name="parity head inside",
        decode=lambda data: decode_head(data + block_check(data)),
        seeds=(decode_head(sidecar).encode()[:-_HEAD_CHECK], decode_head(large).encode()[:-_HEAD_CHECK]),
    )


def wires() -> Iterator[Target]:
    """What servers send."""

    def message(kind: int, *parts: bytes) -> bytes:
        return struct.pack(">BI", kind, 7) + b"".join(parts)

    def text(data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + data

    attributes = struct.pack(">IQIIIII", 0x1 | 0x2 | 0x4 | 0x8, 5, 0, 0, 0o100644, 1, 2)
    extended = struct.pack(">II", 0x80000000, 1) + text(b"a") + text(b"b")
    entry = text(b"name") + text(b"-rw-r--r-- name")
    replies = (
        message(101, struct.pack(">I", 4), text(b"Failure"), text(b"")),
        message(102, text(b"handle")),
        message(103, text(b"data" * 20)),
        message(104, struct.pack(">I", 2), entry, attributes, entry, extended),
        message(104, struct.pack(">I", 0xFFFFFFFF)),
        message(105, attributes),
        message(105, struct.pack(">II", 0x80000000, 0xFFFFFFFF)),
        message(201, bytes(88)),
    )
    declared = (wire.WireError,)
    yield Target(name="sftp reply", decode=wire.decode_reply, seeds=replies, declared=declared)
    version = struct.pack(">BI", 2, 3) + text(b"posix-rename@openssh.com") + text(b"1")
    yield Target(name="sftp version", decode=wire.decode_version, seeds=(version,), declared=declared)
    yield Target(name="sftp statvfs", decode=wire.decode_file_system, seeds=(bytes(range(88)),), declared=declared)
    yield Target(name="sftp limits", decode=wire.decode_limits, seeds=(bytes(range(32)),), declared=declared)

    def stream(data: bytes) -> object:
        messages = wire.Messages()
        cut = len(data) // 3
        return [len(part) for piece in (data[:cut], data[cut:]) for part in messages.feed(piece)]

    yield Target(name="sftp stream", decode=stream, seeds=(b"".join(map(text, replies)),), declared=declared)
    client: Any = SimpleNamespace(url="ftp://server/")
    lines = (
        b"type=file;size=4096;modify=20261122130000;UNIX.mode=0644; 0123456789",
        b"Type=cdir;Perm=el; .",
        b"type=dir;sizd=4096; folder",
        b"type=file;size=" + b"9" * 5000 + b"; long",
        b" name",
        b"; name",
    )
    yield Target(
        name="ftp listing",
        decode=lambda data: [listing._parsed(client, line) for line in text_of(data).split("\n")],
        seeds=(*lines, b"\n".join(lines[:3])),
        declared=(StoreError,),
    )
    yield Target(
        name="ftp names", decode=lambda data: listing._bare(text_of(data).split("\n")), seeds=(b"a/b\n.\n..\nc",)
    )
    yield Target(
        name="ftp words", decode=lambda data: words_of(text_of(data), "secret"), seeds=(b"550 No secret.\r\n226 ok",)
    )


def texts() -> Iterator[Target]:
    """What people type."""
    addresses = (
        b"sftp://user:pa%40ss@host:22/path/to?key=value",
        b"ftps://[fe80::1%25eth0]:990/~/x",
        b"s3://bucket/prefix?region=eu&endpoint=http://localhost:9000",
        b"usb:LABEL/folder",
        b"file:///a%20b",
        b"C:\\folder",
        b"sftp://user:p/a@ss@host/",
    )
    declared = (InputError,)
    for name, decoder in (
        ("address", RemoteAddress.parse),
        ("address or none", remote_address),
        ("redacted address", redact_url),
        ("name", lambda given: (valid_name(given), valid_element(given), name_matches(given, bytes(32)), unb32(given))),
        ("secret", normalise_secret),
        ("recovery code", normalise_recovery_code),
    ):
        yield Target(
            name=name,
            decode=lambda data, decoder=decoder: decoder(text_of(data)),
            seeds=(*addresses, b"0123456789abcdefghijklmnopqrstuv", b"0000-1111-2222-3333-4444-5555-6666-7777"),
            declared=declared,
        )
    yield Target(name="secret file", decode=secret_from_bytes, seeds=(b"\xef\xbb\xbfsecret\r\n",), declared=declared)


def station_files(folder: Path) -> Iterator[Target]:
    """The station's own files. All but its keys read as nothing where they are damaged."""

    def at(name: str, decoder: Callable[[Path], object]) -> Callable[[bytes], object]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)

        def decode_file(data: bytes) -> object:
            path.write_bytes(data)
            return decoder(path)

        return decode_file

    plain = _plain_head(folder)
    station = plain + encode({0: "name", 1: bytes(32)})
    keys = plain + encode(
        {
            0: [[1, bytes(32), None, bytes(32)]],
            1: [[bytes(16), "name", [[1, bytes(32), None, bytes(32), bytes(32)]], bytes(50), bytes(32), 3]],
        }
    )
    seen = (
        plain
        + json.dumps(
            [
                {
                    "address": "usb:A",
                    "repository": "00",
                    "medium": "11",
                    "label": "A",
                    "seen": "2026-11-22T10:00:00+01:00",
                }
            ]
        ).encode()
    )
    yield Target(name="station file", decode=at("station", lambda path: load_station(path, "x")), seeds=(station,))
    yield Target(name="keys file", decode=at("keys", load_keys), seeds=(keys,))
    for name, loader, seed in (("station", lambda path: load_station(path, "x"), station), ("keys", load_keys, keys)):
        decoder = at(name, loader)
        yield Target(
            name=f"{name} inside",
            decode=lambda data, decoder=decoder: decoder(plain + data),
            seeds=(seed[1:],),
            is_msgpack=True,
        )
    quiet: dict[str, tuple[str, Callable[[Path], object], tuple[bytes, ...]]] = {
        "addresses file": (
            "addresses",
            lambda path: (KnownAddresses(path).at("usb:A"), KnownAddresses(path).last_seen("11")),
            (seen,),
        ),
        "place file": ("place", lambda path: MediumPlace(path).read(), (plain + b"place",)),
        "last file": ("a/b/last", lambda path: MediumCache(path.parent).last(), (plain + bytes(40),)),
        "copied file": ("a/b/copied", lambda path: copied_pair(MediumCache(path.parent)), (plain + bytes(40),)),
        "checked file": ("a/b/checked", lambda path: MediumCache(path.parent).checked_copies(), (plain + bytes(64),)),
        "index file": ("c/index", lambda path: IndexCache(path.parent, b"o" * 32).read(bytes(32)), (bytes(60),)),
    }
    for name, (file, decoder, seeds) in quiet.items():
        yield Target(name=name, decode=at(file, decoder), seeds=seeds, declared=())
    cache = MediumCache(folder / "a/b")

    def checked(decoder: Callable[[Path], object]) -> Callable[[Path], object]:
        def decode_checked(path: Path) -> object:
            record = path.read_bytes()
            path.write_bytes(plain + cache._check(record) + record)
            return decoder(path)

        return decode_checked

    last = encode({0: bytes(16), 1: 5, 2: bytes(32), 3: [["0" * 32, 4096]], 4: [[b"/home", 7]]})
    pair = encode({0: bytes(16), 1: bytes(16), 2: bytes(32), 3: [["0" * 32, 4096]]})
    for name, decoder, seed in (
        ("last inside", lambda path: MediumCache(path.parent).last(), last),
        ("copied inside", lambda path: copied_pair(MediumCache(path.parent)), pair),
    ):
        file = "a/b/last" if name.startswith("last") else "a/b/copied"
        yield Target(name=name, decode=at(file, checked(decoder)), seeds=(seed,), declared=(), is_msgpack=True)


def _plain_head(folder: Path) -> bytes:
    """What the station's files begin with on this system."""
    load_station(folder / "probe" / "station", "probe")
    return (folder / "probe" / "station").read_bytes()[:1]
