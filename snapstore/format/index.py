"""Index objects: the headers of many packs, word for word.

Here: `IndexedPack` and the sealed object. Not here: looking blobs up (`snapstore.blobs`).

Rules (docs/format/06-packs.md): an index holds exactly what the pack headers hold, so one decoder serves both and an
index can be rebuilt with the maintenance key alone. Entries stay bytes here: a repository has millions, and most are
never looked at. Their sum is checked on the way, each entry when it is used.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..crypto.keys import MaintenanceKeys
from ..errors import InputError
from ..limits import MAX_OBJECT_BYTES
from ..types import RepositoryId
from .envelope import Kind
from .names import NAME_CHARS, padme, valid_name
from .pack import COUNT, PackEntry, decode_entries, entries_size, header_size
from .packing import damaged
from .sealed import SEALED_OVERHEAD_BYTES, seal_object, unseal_object

_INDEX: Final = "index"
_PACK_HEAD: Final = struct.Struct(f"<{NAME_CHARS}sII")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedPack:
    """One pack in an index. `entries_bytes` is count and entries, as in the pack's header."""

    name: str
    pack_size: int
    entries_bytes: bytes

    def entries(self) -> list[PackEntry]:
        """The entries, checked against the size of the pack."""
        (count,) = COUNT.unpack_from(self.entries_bytes)
        return decode_entries(self.entries_bytes, blob_area=self.pack_size - header_size(count))


def encode_index(
    keys: MaintenanceKeys,
    repository_id: RepositoryId,
    packs: Sequence[IndexedPack],
    *,
    object_id: bytes | None = None,
    nonce: bytes | None = None,
) -> bytes:
    """A whole index object."""
    if not packs:
        raise InputError("An index without packs is never written.")
    parts = [COUNT.pack(len(packs))]
    for pack in packs:
        parts += (pack.name.encode("ascii"), COUNT.pack(pack.pack_size), pack.entries_bytes)
    plaintext = b"".join(parts)
    total = padme(len(plaintext) + SEALED_OVERHEAD_BYTES)
    if total > MAX_OBJECT_BYTES:
        raise InputError("The packs are too many for one index object.", code="index_too_large")
    plaintext = plaintext.ljust(total - SEALED_OVERHEAD_BYTES, b"\0")
    return seal_object(Kind.INDEX, keys.index, repository_id, keys.epoch, plaintext, object_id=object_id, nonce=nonce)


def decode_index(keys: MaintenanceKeys, repository_id: RepositoryId, data: bytes) -> list[IndexedPack]:
    """The packs of an index object, in its order."""
    plaintext = unseal_object(Kind.INDEX, keys.index, repository_id, data)
    packs: list[IndexedPack] = []
    at = COUNT.size
    if len(plaintext) < at:
        raise damaged(_INDEX, "is cut short")
    for _ in range(COUNT.unpack_from(plaintext)[0]):
        pack, at = _decode_pack(plaintext, at)
        packs.append(pack)
    zeros = len(plaintext) - at
    if not packs or plaintext.count(0, at) != zeros or padme(at + SEALED_OVERHEAD_BYTES) != len(data):
        raise damaged(_INDEX, "holds no packs, or something after them")
    return packs


def _decode_pack(plaintext: bytes, at: int) -> tuple[IndexedPack, int]:
    start = at + _PACK_HEAD.size
    if start > len(plaintext):
        raise damaged(_INDEX, "is cut short")
    name_bytes, pack_size, count = _PACK_HEAD.unpack_from(plaintext, at)
    name = name_bytes.decode("latin-1")
    entries_at = start - COUNT.size
    end = entries_at + entries_size(count)
    blob_area = pack_size - header_size(count)
    if not valid_name(name) or count < 1 or end > len(plaintext) or not 0 < blob_area <= MAX_OBJECT_BYTES:
        raise damaged(_INDEX, "names an impossible pack")
    return IndexedPack(name=name, pack_size=pack_size, entries_bytes=plaintext[entries_at:end]), end
