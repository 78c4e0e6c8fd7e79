"""The keys a station keeps of one repository, so that it can write without any secret.

Here: the records and their file. Not here: where keys come from (`operations.dossiers`).

Rules: one file per repository, replaced whole under a lock. `pin` fields are what was seen when the secret was typed;
a keyset that shows other public keys later is refused. Nothing here opens a snapshot's root.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..crypto.keys import DossierKeys, EpochKeys
from ..errors import DamagedObjectError
from ..format.packing import decode, encode
from ..types import DossierId
from .protection import locked, read_private, write_private


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RepositoryEpoch:
    """The keys that all dossiers of a repository share, for one epoch."""

    epoch: int
    maintenance: bytes
    content: bytes | None
    chunker: bytes


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DossierPin:
    """What a station keeps of a dossier it is enrolled in."""

    name: str
    keys: tuple[EpochKeys, ...]
    """Newest epoch first."""
    hpke_public: bytes
    signing_public: bytes
    generation: int
    """The highest keyset generation seen on any medium."""

    def dossier_keys(self) -> tuple[DossierKeys, ...]:
        """Return the keys with their subkeys, newest epoch first."""
        return tuple(DossierKeys.of(keys) for keys in self.keys)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RepositoryKeys:
    """Everything a station keeps of one repository. `epochs` is newest first."""

    epochs: tuple[RepositoryEpoch, ...] = ()
    dossiers: dict[DossierId, DossierPin]

    def with_dossier(self, dossier_id: DossierId, pin: DossierPin) -> RepositoryKeys:
        """Return these keys with `pin` in place of what was known of that dossier."""
        known = {epoch.epoch: epoch for epoch in self.epochs}
        for keys in pin.keys:
            known[keys.epoch] = RepositoryEpoch(
                epoch=keys.epoch, maintenance=keys.maintenance, content=keys.content, chunker=keys.chunker
            )
        epochs = tuple(known[number] for number in sorted(known, reverse=True))
        return RepositoryKeys(epochs=epochs, dossiers={**self.dossiers, dossier_id: pin})

    def without_dossier(self, dossier_id: DossierId) -> RepositoryKeys:
        """Return these keys without that dossier."""
        return replace(self, dossiers={key: pin for key, pin in self.dossiers.items() if key != dossier_id})


def load_keys(path: Path) -> RepositoryKeys:
    """Read the file; no file means no keys. DamagedObjectError if it does not decode."""
    stored = read_private(path)
    return RepositoryKeys(dossiers={}) if stored is None else _decode(stored, path)


def update_keys(path: Path, change: Callable[[RepositoryKeys], RepositoryKeys]) -> RepositoryKeys:
    """Apply `change` to the file's newest state, write it and return it."""
    with locked(path.with_name(".lock")):
        keys = change(load_keys(path))
        write_private(path, _encode(keys))
        return keys


def _encode(keys: RepositoryKeys) -> bytes:
    epochs = [[item.epoch, item.maintenance, item.content, item.chunker] for item in keys.epochs]
    dossiers = [
        [
            dossier_id,
            pin.name,
            [[k.epoch, k.maintenance, k.content, k.chunker, k.dossier] for k in pin.keys],
            pin.hpke_public,
            pin.signing_public,
            pin.generation,
        ]
        for dossier_id, pin in sorted(keys.dossiers.items())
    ]
    return encode({0: epochs, 1: dossiers})


def _decode(stored: bytes, path: Path) -> RepositoryKeys:
    record: Any = decode(stored, what=str(path))
    try:
        epochs = tuple(
            RepositoryEpoch(epoch=epoch, maintenance=maintenance, content=content, chunker=chunker)
            for epoch, maintenance, content, chunker in record[0]
        )
        dossiers = {
            DossierId(dossier_id): DossierPin(
                name=name,
                keys=tuple(
                    EpochKeys(epoch=epoch, maintenance=maintenance, content=content, chunker=chunker, dossier=dossier)
                    for epoch, maintenance, content, chunker, dossier in key_rows
                ),
                hpke_public=hpke_public,
                signing_public=signing_public,
                generation=generation,
            )
            for dossier_id, name, key_rows, hpke_public, signing_public, generation in record[1]
        }
    except (LookupError, TypeError, ValueError):
        raise DamagedObjectError(
            f"The station file {path} is damaged. Move it away; the secret enrols this station anew.",
            code="station_file_damaged",
        ) from None
    return RepositoryKeys(epochs=epochs, dossiers=dossiers)
