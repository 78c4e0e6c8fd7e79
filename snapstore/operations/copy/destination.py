"""Where a copy goes: opening it, deciding which kind of copy it becomes, and making a twin where nothing is.

Here: `opened_destination`. Not here: copying anything but the config.

Rules: a twin needs no secret: its config has the repository's id and parameters, a new medium id and the next
generation, under a mac that this station's maintenance key makes (docs/format/03-config.md). It is made only where no
part of a repository lies. A repository of another id gets an independent copy. A medium is never copied to itself; one
of the same id that proves to be another place is a clone (`operations.clones`), also where places tell nothing. What a
secret protects goes to a place without secrets only when that was asked for by name.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from ...blobs.naming import put_named
from ...errors import (
    DamagedObjectError,
    InputError,
    RepositoryNotFoundError,
    StoreError,
    UnsupportedFormatError,
)
from ...format.config import encode_config
from ...format.names import object_path
from ...format.notes import SessionNote, encode_session
from ...stores.local import LocalStore
from ...stores.protocol import Store
from ...stores.url import open_store, redact_url
from ...stores.wrapper import innermost
from ...types import CopyMode, DossierId
from ..clones import config_key, next_config, place_of
from ..configs import repository_ids
from ..context import RepositoryContext, station_mark
from ..media.expected import expect_known_repository
from ..media.finder import put_readme_at_root
from ..opening import open_repository, put_readme, withdraw_if_late
from .request import CopyRequest

_PARTS = ("dossiers", "packs", "snapshots")


@dataclass(frozen=True, slots=True)
class Destination:
    """`context` is None only where a twin would be made and nothing is to be changed."""

    context: RepositoryContext | None
    mode: CopyMode
    created: bool


@contextlib.contextmanager
def opened_destination(source: RepositoryContext, request: CopyRequest) -> Iterator[Destination]:
    """Open or make the destination; what was opened here is closed at the end.

    Raises RepositoryNotFoundError, InputError, UnsupportedFormatError, DamageError, StoreError."""
    if isinstance(request.to, RepositoryContext):
        yield _checked(source, request.to, request, created=False)
        return
    with contextlib.ExitStack() as opened:
        store = _existing_store(source, request)
        if store is not None:
            opened.callback(store.close)
            _refuse_inside(source, store)
        created = store is None or not any(True for _ in store.list("config"))
        context = None
        if created:
            _check_can_make(store, request)
            if not request.dry_run:
                if store is None:
                    store = _open(source, request, create=True)
                    opened.callback(store.close)
                    _refuse_inside(source, store, is_new=True)
                context = _make_twin(source, store)
        elif store is not None:
            context = open_repository(store, source.state)
            accept_other = request.options is not None and request.options.accept_other
            expect_known_repository(context, request.to, source.state.addresses, accept_other=accept_other)
        if context is not None:
            opened.callback(context.close)
        yield _checked(source, context, request, created=created)


def refuse_unknown_features(context: RepositoryContext) -> None:
    """Raise UnsupportedFormatError if this version must not write to the repository."""
    unknown = context.config.unknown_write_features
    if unknown:
        raise UnsupportedFormatError(
            f"Writing to {context.store.url} needs features this version does not have: {', '.join(unknown)}. "
            "Update snapstore; reading works."
        )


def _open(source: RepositoryContext, request: CopyRequest, *, create: bool) -> Store:
    assert not isinstance(request.to, RepositoryContext)
    mark = station_mark(source.state)
    return open_store(request.to, create=create, station=mark, identify=repository_ids, options=request.options)


def _existing_store(source: RepositoryContext, request: CopyRequest) -> Store | None:
    try:
        return _open(source, request, create=False)
    except StoreError as error:
        if error.code != "store_absent":
            raise
        return None


def _refuse_inside(source: RepositoryContext, store: Store, *, is_new: bool = False) -> None:
    """Raise InputError if the destination lies inside the source's folder, where it would be taken for its parts."""
    there, here = innermost(store), innermost(source.store)
    if not isinstance(there, LocalStore) or not isinstance(here, LocalStore):
        return
    path, own = (os.path.normcase(os.path.realpath(folder)) for folder in (there.root, here.root))
    if not path.startswith(own.rstrip(os.sep) + os.sep):
        return
    if is_new:
        with contextlib.suppress(OSError):
            os.rmdir(there.root)
    raise InputError(
        f"{there.url} is inside the repository that is to be copied: name a place elsewhere, on another medium.",
        code="own_folder",
    )


def _check_can_make(store: Store | None, request: CopyRequest) -> None:
    assert not isinstance(request.to, RepositoryContext)
    if request.mode is not CopyMode.TWIN:
        raise RepositoryNotFoundError(
            f"There is no repository at {redact_url(os.fspath(request.to))}. Ask for a twin of this one (--twin), or "
            "make a repository of its own there first (init)."
        )
    if store is not None and any(True for part in _PARTS for _ in store.list(part)):
        raise DamagedObjectError(
            f"In {store.url} are parts of a repository without its configuration. Choose an empty place.",
            code="config_missing",
        )


def _make_twin(source: RepositoryContext, store: Store) -> RepositoryContext:
    refuse_unknown_features(source)
    data = encode_config(next_config(source.config), config_key(source))
    put_readme(store)
    path = put_named(store, lambda name: object_path("config", name), data)
    withdraw_if_late(store, path.rpartition("/")[2], source.config.repository_id)
    put_readme_at_root(store)
    return open_repository(store, source.state)


def _is_same_medium(source: RepositoryContext, other: RepositoryContext, *, dry_run: bool) -> bool:
    if other.config.medium_id != source.config.medium_id:
        return False
    if other.is_clone:
        return place_of(other.store) == place_of(source.store)
    if dry_run or _shows_in(source, other):
        return True
    other.is_clone = True  # its place says nothing, but what is put there is not here
    return False


def _shows_in(source: RepositoryContext, other: RepositoryContext) -> bool:
    """Tell whether what is put into the other store is seen in the source: a session note, which means nothing."""
    note = SessionNote(station_id=source.state.station.id, dossier_id=DossierId(bytes(16)), start_ns=time.time_ns())
    data = encode_session(source.newest_maintenance(), source.config.repository_id, note)
    path = put_named(other.store, partial(object_path, "sessions"), data)
    try:
        return any(item.name == path for item in source.store.list("sessions"))
    finally:
        with contextlib.suppress(StoreError):
            other.store.delete(path)


def _checked(
    source: RepositoryContext, context: RepositoryContext | None, request: CopyRequest, *, created: bool
) -> Destination:
    if context is None:
        return Destination(None, CopyMode.TWIN, created)
    mode = CopyMode.TWIN if context.config.repository_id == source.config.repository_id else CopyMode.INDEPENDENT
    if request.mode not in (None, mode):
        kind = "a twin of this repository" if mode is CopyMode.TWIN else "another repository"
        raise InputError(
            f"In {context.store.url} is {kind} already: leave out --{request.mode}, or choose another place.",
            code="copy_mode",
        )
    if mode is CopyMode.TWIN and _is_same_medium(source, context, dry_run=request.dry_run):
        raise InputError(
            f"{context.store.url} is the very medium that is to be copied: name another place.",
            code="same_medium",
        )
    if mode is not request.mode and source.config.protected and not context.config.protected:
        raise InputError(
            f"The repository in {context.store.url} is unprotected: whoever holds it could read what is copied there. "
            "If that is meant, ask for an independent copy by name (--independent).",
            code="unprotected_destination",
        )
    refuse_unknown_features(context)
    return Destination(context, mode, created)
