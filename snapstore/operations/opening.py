"""Making and opening repositories.

Here: init, open, the calibration of Argon2id, the README for finders. Not here: dossiers (`operations.dossiers`).

Rules: init puts config, looks again, and withdraws if another station was there first (docs/format/03-config.md). A
config object that does not decode is passed over as long as another one is whole. The mac of config is checked as soon
as M is held."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterable
from dataclasses import replace

from ..blobs.naming import put_named
from ..crypto.derivation import digest
from ..crypto.entropy import random_bytes
from ..crypto.kdf import KdfParameters
from ..crypto.keys import MaintenanceKeys
from ..errors import (
    DamageError,
    InputError,
    ObjectNotFoundError,
    RepositoryExistsError,
)
from ..format.config import Config, decode_config, encode_config, unite_configs
from ..format.names import HASH_DIGITS, name_matches, object_path
from ..limits import KDF_ITERATIONS, KDF_MAX_ITERATIONS, KDF_MIN_MEMORY_KIB, KDF_NEW_MEMORY_KIB
from ..station import RepositoryKeys, StateFolder
from ..station.keyring import RepositoryEpoch
from ..stores.ahead import AheadStore
from ..stores.cached import CachedStore
from ..stores.protocol import README_NAME, Store, lanes_of
from ..types import MediumId, Problem, RepositoryId
from .clones import check_config_macs, notice_clone
from .configs import read_configs
from .context import RepositoryContext
from .deriving import derive_alone
from .readme import README_TEXT
from .reserve import keep_reserve

_FIRST_EPOCH = 1
_PARTS = frozenset({"dossiers", "index", "ok", "packs", "records", "snapshots"})
_WITHDRAWAL_LOOKS = 20
_WITHDRAWAL_PAUSE_SECONDS = 0.1


def near(store: Store, state: StateFolder) -> Store:
    """Put the station's cache, and listings ahead of time, before a store to which each call takes its time."""
    if lanes_of(store) == 1 or isinstance(store, AheadStore):
        return store
    return AheadStore(CachedStore(store, state.object_cache(store.url), fits=_fits))


def _fits(name: str, data: bytes) -> bool:
    return name_matches(name.rpartition("/")[2], digest(data))


def init_repository(
    store: Store, state: StateFolder, *, protected: bool, share: bool, kdf_seconds: float
) -> RepositoryContext:
    """Make a repository in an empty store.

    Raises RepositoryExistsError if there is one, StoreError if the store fails.
    """
    if not math.isfinite(kdf_seconds):
        raise InputError("kdf_seconds is a number of seconds.")
    store = near(store, state)
    torn = [item.name for item in store.list("config")]
    if torn and not _is_broken_beginning(store, torn):
        raise RepositoryExistsError(f"There is a repository in {store.url} already. Open it, or choose another place.")
    maintenance, chunker = random_bytes(32), random_bytes(32)
    content = random_bytes(32) if share else None
    config = Config(
        repository_id=RepositoryId(random_bytes(16)),
        medium_id=MediumId(random_bytes(16)),
        generation=1,
        created_ns=time.time_ns(),
        protected=protected,
        sharing=share,
        kdf=(calibrated_kdf(kdf_seconds if protected else 0.0),),
    )
    epoch = RepositoryEpoch(epoch=_FIRST_EPOCH, maintenance=maintenance, content=content, chunker=chunker)
    state.update_keys(config.repository_id, lambda keys: RepositoryKeys(epochs=(epoch,), dossiers=keys.dossiers))
    data = encode_config(config, MaintenanceKeys(_FIRST_EPOCH, maintenance).config)
    put_readme(store)
    name = put_named(store, lambda new: object_path("config", new), data).rpartition("/")[2]
    _delete(store, torn)
    withdraw_if_late(store, name, config.repository_id)
    context = RepositoryContext(store=store, config=config, configs=[decode_config(data)], state=state)
    notice_clone(context)
    keep_reserve(store)
    return context.hold()


def open_repository(store: Store, state: StateFolder) -> RepositoryContext:
    """Open the repository in a store.

    Raises RepositoryNotFoundError, DamagedObjectError if no config is whole, UnsupportedFormatError, TamperedError.
    """
    problems: list[Problem] = []
    store = near(store, state)
    decoded = read_configs(store, problems)
    config = unite_configs([item.config for item in decoded])
    context = RepositoryContext(store=store, config=config, configs=decoded, state=state, problems=problems)
    keys = [MaintenanceKeys(item.epoch, item.maintenance) for item in context.held_keys().epochs]
    check_config_macs(decoded, keys, store.url)
    notice_clone(context)
    return context.hold()


def calibrated_kdf(seconds: float) -> KdfParameters:
    """Return parameters that take about `seconds` here, within the limits; 0 gives the least allowed.

    Memory grows first, since it is what costs a guesser most, then the passes; see
    docs/design/006-memory-of-the-kdf.md."""
    parameters = KdfParameters(generation=1, salt=random_bytes(16), memory_kib=KDF_MIN_MEMORY_KIB)
    if seconds <= 0:
        return parameters
    start = time.perf_counter()
    derive_alone(b"calibration", parameters)
    elapsed = max(time.perf_counter() - start, 1e-3)
    wanted = KDF_MIN_MEMORY_KIB * seconds / elapsed
    memory = min(max(int(wanted) // 1024 * 1024, KDF_MIN_MEMORY_KIB), KDF_NEW_MEMORY_KIB)
    passes = min(max(int(KDF_ITERATIONS * wanted / memory), KDF_ITERATIONS), KDF_MAX_ITERATIONS)
    return replace(parameters, memory_kib=memory, iterations=passes)


def put_readme(store: Store) -> None:
    """Put the file for whoever finds the medium, if it is not there."""
    if not any(item.name == README_NAME for item in store.list("")):
        try:
            store.put(README_NAME, README_TEXT.encode())
        except InputError as error:
            if error.code != "object_exists":  # another station put it at the same moment
                raise


def withdraw_if_late(store: Store, name: str, repository_id: RepositoryId) -> None:
    """Delete our config if another station made a repository here at the same moment.

    The later of two puts always sees the earlier. The greater name withdraws at once; the smaller one waits for that,
    and withdraws too if the other stays, since it may have looked before our put. The wait only saves work: never do
    both stay."""
    for _ in range(_WITHDRAWAL_LOOKS):
        others = _other_configs(store, name, repository_id)
        if not others:
            return
        if any(other < name for other in others):
            break
        time.sleep(_WITHDRAWAL_PAUSE_SECONDS)
    _delete_config(store, name)
    raise RepositoryExistsError(
        f"Another station made a repository in {store.url} at the same moment; this one withdrew. "
        "Open that one, or try again if there is none."
    )


def _delete_config(store: Store, name: str) -> None:
    """Delete our config, with what is there of puts whose answers were lost: the same bytes under other names."""
    same = object_path("config", name[:HASH_DIGITS])
    _delete(store, [item.name for item in store.list("config") if item.name.startswith(same)])


def _delete(store: Store, names: Iterable[str]) -> None:
    for name in names:
        with contextlib.suppress(ObjectNotFoundError):
            store.delete(name)


def _is_broken_beginning(store: Store, configs: Iterable[str]) -> bool:
    """Tell whether an init died here: no config object has the bytes of its name, and no part of a repository lies
    beside them. Neither could such a place be opened, nor anything be lost in it.
    """
    for name in configs:
        with contextlib.suppress(ObjectNotFoundError):
            if name_matches(name.rpartition("/")[2], digest(store.get(name))):
                return False
    return not any(item.name.partition("/")[0] in _PARTS for item in store.list(""))


def _other_configs(store: Store, name: str, repository_id: RepositoryId) -> list[str]:
    others = []
    for item in store.list("config"):
        other = item.name.rpartition("/")[2]
        if other == name:
            continue
        # It withdrew between the list and the get, or its init died: nobody will open that one.
        with contextlib.suppress(ObjectNotFoundError, DamageError):
            if decode_config(store.get(item.name)).config.repository_id != repository_id:
                others.append(other)
    return others
