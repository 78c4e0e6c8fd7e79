"""Condemn objects: reading all, putting and deleting our own.

Here: `read_condemned_by`, `put_condemned`, `delete_object`. Not here: what is condemned, and when.

Rules (docs/format/11-protocol.md): a pack is condemned by whatever condemn object names it, whoever put that. One that
cannot be read stops a prune, unless a quarantine record names it: what it condemns is not known. Our own is never
replaced by a smaller one (docs/design/013-withdrawing.md): what we condemned and then found needed we do not delete,
and others go on treating it as lost until the whole object goes.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Iterator
from functools import partial
from typing import Final

from ...blobs.naming import put_named
from ...crypto.derivation import digest
from ...errors import DamagedObjectError, DamageError, ObjectNotFoundError, UnsupportedFormatError
from ...format.names import name_matches, object_path
from ...format.notes import Condemn, decode_condemn, encode_condemn
from ..context import RepositoryContext
from .leftovers import with_room
from .roots import refused

_PACKS_PER_OBJECT: Final = 10_000  # 340 KB; an array may have 131,072 items


def read_condemned_by(context: RepositoryContext, quarantined: Container[str]) -> dict[str, frozenset[str]]:
    """Return what each condemn object condemns, by its name. Raises PruneRefusedError, StoreError."""
    catalogue = context.catalogue()
    found: dict[str, frozenset[str]] = {}
    for item in list(context.store.list("condemn")):
        try:
            data = context.store.get(item.name)
            if not name_matches(item.name.rpartition("/")[2], digest(data)):
                raise DamagedObjectError(f"{item.name} does not have the bytes it was stored with.")
            note = decode_condemn(catalogue.key_of(data, item.name), catalogue.repository_id, data)
        except ObjectNotFoundError:
            continue  # its prune ended between the list and the get
        except (DamageError, UnsupportedFormatError) as error:
            if item.name in quarantined:
                continue
            if isinstance(error, UnsupportedFormatError):
                raise
            message = f"{item.name} cannot be read, so what another prune condemned is not known."
            raise refused(message, item.name) from error
        found[item.name] = frozenset(note.packs)
    return found


def put_condemned(context: RepositoryContext, packs: Iterable[str]) -> Iterator[str]:
    """Condemn packs; yields the name of each object that was put. Raises StoreError."""
    ordered = sorted(packs)
    keys, repository_id = context.newest_maintenance(), context.config.repository_id
    for at in range(0, len(ordered), _PACKS_PER_OBJECT):
        some = tuple(ordered[at : at + _PACKS_PER_OBJECT])
        note = Condemn(station_id=context.state.station.id, time_ns=time.time_ns(), packs=some)
        data = encode_condemn(keys, repository_id, note)
        if decode_condemn(keys, repository_id, data).packs != some:
            raise DamagedObjectError("A list of packs did not come back as it was written.", code="verification_failed")
        path_of = partial(object_path, "condemn")
        yield with_room(context.store, partial(put_named, context.store, path_of, data))


def delete_object(context: RepositoryContext, name: str) -> None:
    """Delete an object that another pruner may have deleted already."""
    try:
        context.store.delete(name)
    except ObjectNotFoundError:
        return
