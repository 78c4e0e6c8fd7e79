"""What the verbs share: a store that holds a repository, its parameters, and this station's keys.

Here: `RepositoryContext` and the look at the index it keeps. Not here: any verb.

Rules: the context owns no secret. It is shared by threads; what it caches is replaced whole, under a lock.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..blobs.catalogue import Catalogue, LoadedIndex, load_index
from ..crypto.keys import DossierKeys, MaintenanceKeys
from ..errors import InputError, NotEnrolledError
from ..format.config import Config, DecodedConfig, unite_configs
from ..format.names import b32
from ..station import DossierPin, RepositoryKeys, StateFolder
from ..stores.ahead import AheadStore, meanwhile
from ..stores.local import LocalStore
from ..stores.protocol import Store
from ..stores.wrapper import innermost
from ..types import DossierId, Problem


@dataclass(slots=True)
class RepositoryContext:
    """One opened repository. `problems` are what opening found and did not stop at."""

    store: Store
    config: Config
    configs: list[DecodedConfig]
    """The objects that `config` was united from."""
    state: StateFolder
    problems: list[Problem] = field(default_factory=list)
    is_clone: bool = False
    """Another medium of the same id was seen elsewhere; see `clones`."""
    _index: LoadedIndex | None = None
    _open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def station_mark(self) -> str:
        """How this station marks its unfinished uploads in the store."""
        return station_mark(self.state)

    def hold(self) -> RepositoryContext:
        """Mark the repository as open by this station, and remove unfinished uploads of its dead runs."""
        alone = self._open.enter_context(self.state.opened())
        if alone:
            meanwhile(self.store, lambda: self.store.clean_temporaries(self.station_mark))
        return self

    def close(self) -> None:
        """Let go of the store and the mark."""
        self.store.close()
        self._open.close()

    def _own_paths(self) -> list[str]:
        """Return the folders that the repository and the station's state lie in, links resolved."""
        folders: list[str | Path] = [self.state.path]
        store = innermost(self.store)
        if isinstance(store, LocalStore):
            folders.append(store.root)
        return [os.path.realpath(folder) for folder in folders]

    def own_folders(self) -> frozenset[tuple[int, int]]:
        """Return device and inode of these folders."""
        found = set()
        for folder in self._own_paths():
            with contextlib.suppress(OSError):
                status = os.stat(folder)
                found.add((status.st_dev, status.st_ino))
        return frozenset(found)

    def refuse_own(self, path: str, verb: str) -> None:
        """Raise InputError if `path` is, or lies in, the repository's or the station's own folder."""
        real = os.path.normcase(os.path.realpath(path))
        for folder in self._own_paths():
            own = os.path.normcase(folder)
            if real == own or real.startswith(own.rstrip(os.sep) + os.sep):
                raise InputError(
                    f"{path} is in {folder}, which belongs to the repository or to this station: nothing to {verb}.",
                    code="own_folder",
                )

    def held_keys(self) -> RepositoryKeys:
        """Return what this station holds now; another process may have added to it."""
        return self.state.keys(self.config.repository_id)

    def maintenance(self) -> dict[int, MaintenanceKeys]:
        """Return the maintenance keys by epoch. NotEnrolledError if this station has none."""
        epochs = self.held_keys().epochs
        if not epochs:
            raise not_enrolled("this repository")
        return {item.epoch: MaintenanceKeys(item.epoch, item.maintenance) for item in epochs}

    def catalogue_keys(self, epoch: int) -> MaintenanceKeys:
        """Return the maintenance keys of one epoch. NotEnrolledError if they are newer than what this station holds."""
        try:
            return self.maintenance()[epoch]
        except KeyError:
            raise NotEnrolledError(
                f"The keys were changed (epoch {epoch}) and this station has not seen the new ones. "
                "Type the secret once to enrol again.",
                code="newer_keys",
            ) from None

    def newest_maintenance(self) -> MaintenanceKeys:
        """Return the maintenance keys of the newest epoch."""
        keys = self.maintenance()
        return keys[max(keys)]

    def catalogue(self) -> Catalogue:
        """Return the sealed side, for reading packs and indexes."""
        config = self.config
        return Catalogue(
            store=self.store,
            repository_id=config.repository_id,
            maintenance=self.maintenance(),
            files=self.state.index_cache(config.repository_id, config.medium_id),
        )

    def index(self, *, refresh: bool) -> LoadedIndex:
        """Return the index; `refresh` looks at the store for what is new or gone."""
        with self._lock:
            if self._index is None or refresh:
                self._index = load_index(self.catalogue(), self._index)
            return self._index


@dataclass(frozen=True, slots=True)
class DossierContext:
    """One dossier that this station is enrolled in."""

    repository: RepositoryContext
    id: DossierId
    pin: DossierPin

    def epoch_keys(self) -> tuple[DossierKeys, ...]:
        """Return the dossier's keys, newest epoch first."""
        return self.pin.dossier_keys()


def one_look(context: RepositoryContext, *chains: Sequence[str]) -> contextlib.AbstractContextManager[None]:
    """List folders ahead for the block that follows, where that saves time (stores/ahead.py)."""
    store = context.store
    return store.one_look(*chains) if isinstance(store, AheadStore) else contextlib.nullcontext()


def take_configs(context: RepositoryContext, configs: list[DecodedConfig]) -> None:
    """Go on under the config that these objects make: the medium may have another id, and its caches with it."""
    with context._lock:
        context.configs, context.config = configs, unite_configs([item.config for item in configs])
        context._index = None


def station_mark(state: StateFolder) -> str:
    """Return how a station marks its unfinished uploads: its id, as names are written."""
    return b32(state.station.id)


def not_enrolled(what: str) -> NotEnrolledError:
    """Return the error for a station that has no keys for `what`."""
    return NotEnrolledError(
        f"This station holds no keys for {what}. Unlock it once with the secret of a dossier (Repository.unlock)."
    )
