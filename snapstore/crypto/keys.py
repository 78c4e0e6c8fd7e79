"""The key tree: what each key opens, with every subkey by name.

Here: `EpochKeys` (one set of keys as a keyset carries it), `MaintenanceKeys` and `DossierKeys` (the subkeys derived
from it, each once and only when asked for) and `BlobDomain` (hashes and addresses of blobs). Not here: how keys are
stored or opened (`snapstore.format.keyset`), or used (`blob`, `sealing`).

Rules: subkeys are reached by name only, so that no two kinds of object ever share one (docs/format/02-keys.md). No
`repr` shows key bytes, since tracebacks and logs print those.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ..types import BlobId, PlainHash
from .derivation import KEY_BYTES, derive, keyed


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class EpochKeys:
    """The keys of one epoch of a dossier. `content` is None in a repository without sharing."""

    epoch: int
    maintenance: bytes
    content: bytes | None
    chunker: bytes
    dossier: bytes

    def __repr__(self) -> str:
        return f"{type(self).__name__}(epoch={self.epoch}, keys hidden)"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class BlobDomain:
    """Where equal content meets: hashes and addresses of blobs under one dossier key or content key."""

    blob_hash_key: bytes
    blob_id_key: bytes

    def __repr__(self) -> str:
        return "BlobDomain(keys hidden)"

    def hash(self, plaintext: bytes | bytearray | memoryview) -> PlainHash:
        """The blob's h: it opens the blob, so it is treated as a key."""
        return PlainHash(keyed(self.blob_hash_key, plaintext))

    def address(self, plain_hash: PlainHash) -> tuple[BlobId, bytes]:
        """The blob's id and the key its content is sealed under."""
        both = keyed(self.blob_id_key, plain_hash, 2 * KEY_BYTES)
        return BlobId(both[:KEY_BYTES]), both[KEY_BYTES:]


class MaintenanceKeys:
    """The subkeys of a maintenance key M: they open headers, indexes and child lists, but no content and no name."""

    def __init__(self, epoch: int, key: bytes) -> None:
        self.epoch = epoch
        self.key = key

    def __repr__(self) -> str:
        return f"MaintenanceKeys(epoch={self.epoch}, keys hidden)"

    @cached_property
    def pack_header(self) -> bytes:
        """Seals pack headers."""
        return derive(self.key, "maintenance pack header")

    @cached_property
    def index(self) -> bytes:
        """Seals index objects."""
        return derive(self.key, "maintenance index")

    @cached_property
    def condemn(self) -> bytes:
        """Seals condemn objects."""
        return derive(self.key, "maintenance condemn")

    @cached_property
    def session(self) -> bytes:
        """Seals session notes."""
        return derive(self.key, "maintenance session")

    @cached_property
    def child_list(self) -> bytes:
        """The parent of the keys that seal tree blobs' child lists."""
        return derive(self.key, "maintenance child list")

    @cached_property
    def manifest(self) -> bytes:
        """Seals a manifest's section of facts."""
        return derive(self.key, "maintenance manifest")

    @cached_property
    def record(self) -> bytes:
        """Seals a record's section."""
        return derive(self.key, "maintenance record")

    @cached_property
    def keyset(self) -> bytes:
        """Seals a keyset's station list."""
        return derive(self.key, "maintenance keyset")

    @cached_property
    def config(self) -> bytes:
        """Authenticates config objects."""
        return derive(self.key, "maintenance config")


@dataclass(frozen=True, kw_only=True, repr=False)
class DossierKeys(EpochKeys):
    """One epoch's keys with their subkeys. Not slotted, because the subkeys are kept once derived."""

    @classmethod
    def of(cls, keys: EpochKeys) -> DossierKeys:
        """The same keys, with their subkeys."""
        return cls(
            epoch=keys.epoch,
            maintenance=keys.maintenance,
            content=keys.content,
            chunker=keys.chunker,
            dossier=keys.dossier,
        )

    @cached_property
    def maintenance_keys(self) -> MaintenanceKeys:
        """The subkeys of M."""
        return MaintenanceKeys(self.epoch, self.maintenance)

    @cached_property
    def own(self) -> BlobDomain:
        """The dossier's own domain."""
        return BlobDomain(
            blob_hash_key=derive(self.dossier, "dossier blob hash"),
            blob_id_key=derive(self.dossier, "dossier blob id"),
        )

    @cached_property
    def shared(self) -> BlobDomain | None:
        """The domain shared with other dossiers, or None without sharing."""
        if self.content is None:
            return None
        return BlobDomain(
            blob_hash_key=derive(self.content, "content blob hash"),
            blob_id_key=derive(self.content, "content blob id"),
        )

    @cached_property
    def voucher(self) -> bytes:
        """Makes and checks vouchers."""
        return derive(self.dossier, "dossier voucher")

    @cached_property
    def text(self) -> bytes:
        """Seals sections with names."""
        return derive(self.dossier, "dossier text")
