"""Names of objects and folders, and the padding rule.

Here: base32hex, names made of a hash and six random digits, the paths of the layout, and Padme. Not here: stores.

Rules (docs/format/01-conventions.md): only `[0-9a-z]` and at most 32 characters an element, which every file system,
FTP server and object storage takes. A name shows damage without any key, and is never used twice. A string that is no
name is an answer (False, or `InputError` where bytes were asked for), since listings hold whatever people put on a
medium.
"""

from __future__ import annotations

import base64
import re
from typing import Final

from ..crypto.entropy import random_bytes
from ..errors import InputError
from ..limits import NAME_ELEMENT_MAX_CHARS
from ..types import DossierId, ObjectName

HASH_DIGITS: Final = 26
RANDOM_DIGITS: Final = 6
NAME_CHARS: Final = HASH_DIGITS + RANDOM_DIGITS
ID_DIGITS: Final = 26

CONFIG: Final = "config"
DOSSIERS: Final = "dossiers"
RECORDS: Final = "records"
PACKS: Final = "packs"
INDEX: Final = "index"
SNAPSHOTS: Final = "snapshots"
OK: Final = "ok"
CONDEMN: Final = "condemn"
SESSIONS: Final = "sessions"
PARITY: Final = "parity"
README: Final = "README.txt"

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuv"
_ELEMENT: Final = re.compile(f"[0-9a-z]{{1,{NAME_ELEMENT_MAX_CHARS}}}")
_NAME: Final = re.compile(f"[0-9a-v]{{{NAME_CHARS}}}")


def b32(data: bytes) -> str:
    """base32hex, lower case, no padding."""
    return base64.b32hexencode(data).decode("ascii").rstrip("=").lower()


def unb32(text: str) -> bytes:
    """The bytes again; `InputError` if no bytes give that text."""
    try:
        data = base64.b32hexdecode(text.upper() + "=" * (-len(text) % 8))
    except ValueError:
        data = b""
    if b32(data) != text:
        raise InputError("The text is not base32hex.", code="not_base32")
    return data


def new_name(data_digest: bytes, *, suffix: str | None = None) -> str:
    """A new name for an object with that BLAKE3 hash. Give a suffix only to repeat a name in a test."""
    if suffix is None:
        suffix = b32(random_bytes(4))[:RANDOM_DIGITS]
    return b32(data_digest)[:HASH_DIGITS] + suffix


def valid_name(name: str) -> bool:
    """Whether this could be an object's name."""
    return _NAME.fullmatch(name) is not None


def name_matches(name: str, data_digest: bytes) -> bool:
    """Whether bytes with that BLAKE3 hash are the ones the name was made for."""
    return valid_name(name) and name[:HASH_DIGITS] == b32(data_digest)[:HASH_DIGITS]


def valid_element(text: str) -> bool:
    """Whether a store takes this as one element of a name."""
    return _ELEMENT.fullmatch(text) is not None


def pack_folder(name: str) -> str:
    """The fan-out folder of a pack: one hexadecimal digit."""
    return f"{_DIGITS.index(name[0]) // 2:x}"


def pack_path(name: str) -> ObjectName:
    """The full name of a pack."""
    return ObjectName(f"{PACKS}/{pack_folder(name)}/{name}")


def parity_folder(pack: str) -> str:
    """The folder of all sidecars of a pack."""
    return f"{PARITY}/{pack_folder(pack)}"


def parity_path(pack: str, name: str) -> ObjectName:
    """The full name of a sidecar, which lies in the fan-out folder of its pack."""
    return ObjectName(f"{parity_folder(pack)}/{name}")


def object_path(folder: str, name: str) -> ObjectName:
    """The full name of an object in one of the flat folders."""
    return ObjectName(f"{folder}/{name}")


def dossier_folder(dossier_id: DossierId) -> str:
    """The folder element that names a dossier."""
    return b32(dossier_id)


def dossier_path(folder: str, dossier_id: DossierId, name: str) -> ObjectName:
    """The full name of an object that belongs to a dossier."""
    return ObjectName(f"{folder}/{b32(dossier_id)}/{name}")


def padme(size: int) -> int:
    """The padded size: at most 12 % more, and only log log of the size shows (Nikitin et al., PETS 2019)."""
    if size < 2:
        return size
    exponent = size.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return (size + mask) & ~mask
