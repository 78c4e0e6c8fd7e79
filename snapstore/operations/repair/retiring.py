"""Taking damaged packs away, by the order in which pruners do it.

Here: `retire`. Not here: storing again what was in them (`packs`), which comes first and is complete.

Rules (docs/format/11-protocol.md): packs are condemned before they are deleted, so that no writer goes on relying on
them. All that is whole in them was stored again or lies in other packs; if one of those is gone or condemned by
somebody else, everything is withdrawn and nothing deleted. So every blob that somebody can need keeps a copy in a pack
that is listed and not condemned, whoever else writes or prunes at the same time. A pack that holds the only, damaged
copy of something that is needed stays condemned and is not deleted: nobody stores into nothing on its account, what it
held is stored anew by the next snapshot that has it, and a later repair may read more of it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

from ...blobs.catalogue import Catalogue, list_packs
from ...blobs.naming import put_named
from ...errors import DamageError, InUseError, ObjectNotFoundError, StoreUnavailableError
from ...format.names import object_path, pack_path
from ...format.notes import Condemn, decode_condemn, encode_condemn
from ..context import RepositoryContext


def retire(
    context: RepositoryContext, packs: Collection[str], kept: Collection[str], relied: Mapping[str, int]
) -> list[str]:
    """Delete `packs` and leave `kept` condemned. Returns the packs that are gone.

    Raises InUseError if something of `relied` is not to be relied on any more, StoreError, DamagedObjectError for a
    condemn object that cannot be read."""
    own = [_condemn(context, some) for some in (packs, _new(context, kept)) if some]
    catalogue = context.catalogue()
    others = {pack for name, named in _read(catalogue).items() if name not in own for pack in named}
    listed = list_packs(catalogue)
    if any(pack in others or listed.get(pack) != size for pack, size in relied.items()):
        for name in own:
            _delete(context, name)
        raise InUseError("Another program cleans up what was stored again. Let it end, and repair once more.")
    for pack in packs:
        _delete(context, pack_path(pack))
    listed = list_packs(catalogue)
    if any(pack in listed for pack in packs):
        raise StoreUnavailableError("The store still lists packs that it was told to delete. Repair once more.")
    for name, named in _read(catalogue).items():
        if not any(pack in listed for pack in named):
            _delete(context, name)
    return sorted(packs)


def condemned_packs(context: RepositoryContext) -> set[str]:
    """Return what condemn objects name, as far as they can be read."""
    return {pack for note in _notes(context.catalogue(), strict=False).values() for pack in note.packs}


def _condemn(context: RepositoryContext, packs: Collection[str]) -> str:
    note = Condemn(station_id=context.state.station.id, time_ns=time.time_ns(), packs=tuple(packs))
    data = encode_condemn(context.newest_maintenance(), context.config.repository_id, note)
    return put_named(context.store, lambda name: object_path("condemn", name), data)


def _new(context: RepositoryContext, packs: Collection[str]) -> list[str]:
    """Return those that no condemn object of this station names yet."""
    station = context.state.station.id
    named: set[str] = set()
    for note in _notes(context.catalogue()).values():
        if note.station_id == station:
            named.update(note.packs)
    return sorted(set(packs) - named)


def _read(catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    return {name: note.packs for name, note in _notes(catalogue).items()}


def _notes(catalogue: Catalogue, *, strict: bool = True) -> dict[str, Condemn]:
    notes = {}
    for item in catalogue.store.list("condemn"):
        try:
            data = catalogue.get_whole(item.name)
            notes[item.name] = decode_condemn(catalogue.key_of(data, item.name), catalogue.repository_id, data)
        except ObjectNotFoundError:
            continue
        except (DamageError, StoreUnavailableError):
            if strict:
                raise
    return notes


def _delete(context: RepositoryContext, name: str) -> None:
    try:
        context.store.delete(name)
    except ObjectNotFoundError:
        return
