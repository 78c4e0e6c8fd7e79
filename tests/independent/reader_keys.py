"""Chapters 01 to 04 of docs/format for the independent reader: bytes, envelopes, secrets, configs and keysets.

Written from docs/format alone; imports nothing of snapstore. `reader.py`, beside this file, has the chapters
on packs, blobs, manifests and trees, and is what one runs.

The rule for errors: `Damage` says that bytes are not what the format says, `Unsupported` that they were written by
a newer version, `WrongSecret` that no slot fits. Where another copy or an older object can be tried, it warns and
goes on.
"""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
from blake3 import blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id


class Damage(Exception):
    """Bytes are not what the format says they must be."""


class Unsupported(Exception):
    """Written by a newer version; nothing is wrong with it."""


class WrongSecret(Exception):
    """The secret opens no dossier here."""


def warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)


# ---- 01 conventions: bytes, msgpack, envelopes, the three shapes

PREFIX = "snapstore 2026-11 v1 "
CONFIG, KEYSET, RECORD, PACK_HEADER, INDEX, MANIFEST = 1, 2, 3, 4, 5, 6
CIPHERS = {CONFIG: 0, KEYSET: 2, RECORD: 1, PACK_HEADER: 1, INDEX: 1, MANIFEST: 2}
MAXIMUM_OBJECT = 64 << 20


def u32(number: int) -> bytes:
    return number.to_bytes(4, "little")


def derive(key: bytes, purpose: str) -> bytes:
    return blake3(key, derive_key_context=PREFIX + purpose).digest()


def keyed(key: bytes, data: bytes, size: int = 32) -> bytes:
    return blake3(data, key=key).digest(length=size)


def b32(data: bytes) -> str:
    """Base32hex, lower case, no padding; the last digit is filled up with zero bits."""
    digits = -(-len(data) * 8 // 5)
    number = int.from_bytes(data, "big") << (digits * 5 - len(data) * 8)
    return "".join("0123456789abcdefghijklmnopqrstuv"[number >> (5 * i) & 31] for i in reversed(range(digits)))


def unpack(raw: bytes, understood: range | None = None) -> Any:
    """Decode canonical msgpack. With `understood`, the value is a map and its keys below 64 must lie in that range."""
    try:
        value = msgpack.unpackb(raw, raw=False, strict_map_key=False)
        canonical = _plain(value, 16) and msgpack.packb(value, use_bin_type=True) == raw
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise Damage(f"not msgpack: {error}") from error
    if not canonical:
        raise Damage("msgpack that is not in its canonical form")
    if understood is not None:
        if not isinstance(value, dict):
            raise Damage("a map is expected")
        if any(key not in understood for key in value if key < 64):
            raise Unsupported(f"a field of a newer version among {sorted(value)}")
    return value


def _plain(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        keys = list(value)
        rising = all(type(key) is int for key in keys) and keys == sorted(keys)
        return depth > 0 and rising and all(_plain(item, depth - 1) for item in value.values())
    if isinstance(value, list):
        return depth > 0 and all(_plain(item, depth - 1) for item in value)
    return value is None or isinstance(value, (bool, int, bytes, str))


def envelope_epoch(raw: bytes, kind: int) -> int:
    """Check the first 8 bytes and return the key epoch."""
    if len(raw) < 8 or raw[:2] != b"\x8a\x53" or raw[2] != kind:
        raise Damage("the envelope is not one of the expected kind")
    if raw[3] != 1:
        raise Unsupported(f"version {raw[3]} of object kind {kind}")
    if raw[4] != CIPHERS[kind] or raw[5] != 0:
        raise Damage("the envelope has another cipher than this kind")
    return int.from_bytes(raw[6:8], "little")


def read_whole(path: Path) -> bytes:
    """Read an object and compare its name with its bytes."""
    if path.stat().st_size > MAXIMUM_OBJECT:
        raise Damage(f"{path} is larger than any object may be")
    raw = path.read_bytes()
    if b32(blake3(raw).digest())[:26] != path.name[:26] or len(path.name) != 32:
        raise Damage(f"{path} is damaged: its bytes do not fit its name")
    return raw


def names_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def open_section(key: bytes, section: bytes, associated: bytes) -> bytes:
    """`nonce || ciphertext || tag`, as it stands in signed bodies and, with other keys, in blobs."""
    try:
        return AESGCM(key).decrypt(section[:12], section[12:], associated)
    except (InvalidTag, ValueError) as error:
        raise Damage("a sealed section does not open") from error


def split_body(raw: bytes, tail: int) -> tuple[bytes, bytes]:
    """Split `envelope || size || body || signature or mac`."""
    size = int.from_bytes(raw[8:12], "little")
    if len(raw) != 12 + size + tail:
        raise Damage("an object's size field does not fit")
    return raw[12 : 12 + size], raw[12 + size :]


def check_signature(public: bytes, raw: bytes) -> None:
    body, signature = split_body(raw, 64)
    message = f"{PREFIX}signature".encode() + raw[:8] + body
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise Damage("a signature does not hold") from error


# ---- 02 to 04: secrets, configs, keysets


class Keys(NamedTuple):
    """One key epoch."""

    maintenance: bytes
    content: bytes | None
    chunker: bytes
    dossier: bytes


class Config(NamedTuple):
    repository: bytes
    protected: bool
    derivations: dict[int, tuple[bytes, int, int, int]]
    raws: list[bytes]


class Dossier(NamedTuple):
    """What a secret gives: a dossier's keys by epoch, newest first, its stations, and its private HPKE key."""

    id: bytes
    generation: int
    keys: dict[int, Keys]
    stations: dict[bytes, tuple[bytes, int | None]]
    private: hpke.MLKEM768X25519PrivateKey


def read_config(root: Path) -> Config:
    found: list[tuple[dict[int, Any], bytes]] = []
    for path in names_in(root / "config"):
        try:
            raw = read_whole(path)
            envelope_epoch(raw, CONFIG)
            found.append((unpack(split_body(raw, 32)[0], range(11)), raw))
        except Damage as error:
            warn(f"{path.name}: {error}")
    if not found:
        raise Damage(f"{root} holds no config that can be read: not a repository, or a damaged one")
    first = found[0][0]
    if any(body[0] != first[0] or body[7] != first[7] for body, _ in found):
        raise Damage("the configs belong to different repositories")
    if any(body[4] != 1 or body[5] for body, _ in found):
        raise Unsupported("the repository has another format version, or features that this reader does not know")
    derivations = {row[0]: tuple(row[1:]) for body, _ in found for row in body[10]}
    return Config(first[0], first[7], derivations, [raw for _, raw in found])


def read_secret(path: Path) -> str:
    """Chapter 02: drop a byte order mark and one newline."""
    text = path.read_bytes().decode("utf-8-sig")
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def master_keys(config: Config, secret: str, kind: int, generation: int) -> bytes:
    """The output of Argon2id for one kind of slot, or the public constant of open slots."""
    if kind == 0:
        return derive(blake3(config.repository).digest(), "open slot")
    if kind == 1:
        password = unicodedata.normalize("NFKC", secret).encode()
    else:
        password = "".join(c for c in secret if c.isascii() and c.isalnum()).lower().encode()
    if generation not in config.derivations:
        raise Damage(f"no config gives the parameters of KDF generation {generation}")
    salt, memory, iterations, lanes = config.derivations[generation]
    if not (64 << 10 <= memory <= 256 << 10 and 3 <= iterations <= 16 and 1 <= lanes <= 16):
        raise Damage("Argon2id parameters are outside the limits")
    return Argon2id(salt=salt, length=32, iterations=iterations, lanes=lanes, memory_cost=memory).derive(password)


def open_keyset(
    raw: bytes, folder: str, config: Config, masters: dict[tuple[int, int], bytes], secret: str
) -> Dossier | None:
    """Try every slot. None means that the secret belongs to none of them."""
    epoch = envelope_epoch(raw, KEYSET)
    body = unpack(split_body(raw, 64)[0], range(10))
    check_signature(body[4], raw)
    owner, generation = body[0] + body[1], u32(body[2])
    if body[0] != config.repository or b32(body[1]) != folder:
        raise Damage("a keyset lies in the wrong place")
    for slot in body[5]:
        slot_id, kind, derivation, commitment, wrapped, digest = slot
        if blake3(msgpack.packb(slot[:5], use_bin_type=True)).digest()[:16] != digest:
            warn(f"dossier {folder}: slot {slot_id.hex()} is damaged")
            continue
        if kind not in (0, 1, 2) or (kind == 0) == config.protected:
            continue
        if (kind, derivation) not in masters:
            masters[kind, derivation] = master_keys(config, secret, kind, derivation)
        pair = keyed(masters[kind, derivation], b"slot" + slot_id, 64)
        if pair[32:] == commitment:
            halves = open_section(pair[:32], wrapped, owner + slot_id)
            break
    else:
        return None
    ml_kem, x25519 = MLKEM768PrivateKey.from_seed_bytes(halves[32:96]), X25519PrivateKey.from_private_bytes(halves[96:])
    public = ml_kem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
    if (
        public != body[3]
        or Ed25519PrivateKey.from_private_bytes(halves[:32]).public_key().public_bytes_raw() != body[4]
    ):
        raise Damage("a keyset names other public keys than those its slot holds: somebody made it up")
    private = hpke.MLKEM768X25519PrivateKey(ml_kem, x25519)
    info = f"{PREFIX}keyset keys".encode() + raw[:8] + owner + generation
    current, epochs = unpack(open_hpke(private, body[6], info))
    keys = {number: Keys(*rest) for number, *rest in sorted(epochs, reverse=True)}
    if current != epoch or epoch not in keys:
        raise Damage("a keyset's epoch is not among its keys")
    return Dossier(body[1], body[2], keys, listed_stations(raw, config, keys), private)


def listed_stations(raw: bytes, config: Config, keys: dict[int, Keys]) -> dict[bytes, tuple[bytes, int | None]]:
    """The stations of a keyset: by id, the public key and, of a revoked one, its last number."""
    body = unpack(split_body(raw, 64)[0], range(10))
    key = derive(keys[envelope_epoch(raw, KEYSET)].maintenance, "maintenance keyset")
    rows = unpack(open_section(key, body[7], config.repository + raw[:8] + body[1] + u32(body[2])))
    return {blake3(row[0]).digest()[:16]: (row[0], row[3]) for row in rows}


def add_stations(dossier: Dossier, valid: bytes, others: list[bytes], config: Config) -> None:
    """Add what other keysets with the same public keys list, made on a twin; a revocation in any of them holds."""
    own = unpack(split_body(valid, 64)[0], range(10))
    for raw in others:
        try:
            body = unpack(split_body(raw, 64)[0], range(10))
            if (body[3], body[4]) != (own[3], own[4]) or envelope_epoch(raw, KEYSET) not in dossier.keys:
                continue
            check_signature(body[4], raw)
            found = listed_stations(raw, config, dossier.keys)
        except Damage as error:
            warn(f"an older keyset: {error}")
            continue
        for station, (key, last) in found.items():
            known = dossier.stations.get(station)
            if known is None or (known[1] is None and last is not None):
                dossier.stations[station] = (key, last)


def open_hpke(private: hpke.MLKEM768X25519PrivateKey, sealed: bytes, info: bytes) -> bytes:
    suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    try:
        return suite.decrypt(sealed, private, info)
    except (InvalidTag, ValueError) as error:
        raise Damage("an HPKE ciphertext does not open") from error


def find_dossier(root: Path, config: Config, secret: str) -> Dossier:
    """The first dossier that the secret opens. An older keyset is tried only when the newer ones do not open."""
    masters: dict[tuple[int, int], bytes] = {}
    for folder in names_in(root / "dossiers"):
        candidates: list[tuple[int, str, bytes]] = []
        for path in names_in(folder):
            try:
                raw = read_whole(path)
                candidates.append((-unpack(split_body(raw, 64)[0], range(10))[2], path.name, raw))
            except Damage as error:
                warn(f"{path.name}: {error}")
        candidates.sort()
        for generation, name, raw in candidates:
            try:
                dossier = open_keyset(raw, folder.name, config, masters, secret)
            except Damage as error:
                warn(f"keyset {name}: {error}")
                continue
            if dossier is not None:
                if generation != candidates[0][0]:
                    warn(f"opened with keyset generation {-generation}, which is not the newest")
                check_config_macs(config, dossier)
                add_stations(dossier, raw, [other for _, _, other in candidates if other is not raw], config)
                return dossier
    raise WrongSecret("the secret opens no dossier of this repository")


def check_config_macs(config: Config, dossier: Dossier) -> None:
    for raw in config.raws:
        epoch = envelope_epoch(raw, CONFIG)
        body, mac = split_body(raw, 32)
        if epoch not in dossier.keys:
            raise Damage("a config was made under an unknown key epoch")
        if keyed(derive(dossier.keys[epoch].maintenance, "maintenance config"), raw[:8] + body) != mac:
            raise Damage("the mac of a config does not hold: somebody changed it")
