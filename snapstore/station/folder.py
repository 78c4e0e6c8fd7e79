"""The folder in which a station keeps its state.

Here: which file lies where. Not here: what is in them.

Rules: without another wish the folder is the user's data folder as platformdirs knows it. The environment is not read
here."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from ..crypto.derivation import digest
from ..errors import InputError
from ..types import DossierId, MediumId, RepositoryId
from .addresses import KnownAddresses
from .caches import MediumCache, highest_number
from .identity import Station, load_station
from .index_cache import IndexCache
from .keyring import RepositoryKeys, load_keys, update_keys
from .places import MediumPlace
from .protection import is_running, make_private_folder, running_mark, state_errors


def default_state_dir() -> Path:
    """Return the user's own data folder for snapstore."""
    from platformdirs import user_data_path

    return user_data_path("snapstore", appauthor=False)


def address_file(path: str | os.PathLike[str] | None) -> Path:
    """Return where a station keeps which repository it saw at which address. Nothing is made."""
    return (Path(path) if path is not None else default_state_dir()) / "addresses"


class StateFolder:
    """A station's files. Several processes may use one folder at the same time."""

    def __init__(self, path: str | os.PathLike[str] | None = None, *, station_name: str | None = None) -> None:
        if path is not None and not os.fspath(path):
            raise InputError("The state folder's name is empty. Name a folder, or leave it to the default.")
        self.path = Path(path) if path is not None else default_state_dir()
        with state_errors(self.path):
            make_private_folder(self.path)
            self.station: Station = load_station(self.path / "station", station_name)

    def __repr__(self) -> str:
        return f"StateFolder({str(self.path)!r})"

    def keys(self, repository_id: RepositoryId) -> RepositoryKeys:
        """Return the keys held of a repository; none if it was never seen."""
        with state_errors(self.path):
            return load_keys(self._repository(repository_id) / "keys")

    def update_keys(
        self, repository_id: RepositoryId, change: Callable[[RepositoryKeys], RepositoryKeys]
    ) -> RepositoryKeys:
        """Change the keys held of a repository, safely against other processes."""
        with state_errors(self.path):
            return update_keys(self._repository(repository_id) / "keys", change)

    def medium(self, repository_id: RepositoryId, medium_id: MediumId, dossier_id: DossierId) -> MediumCache:
        """Return the caches of a dossier on a medium."""
        return MediumCache(self._repository(repository_id) / medium_id.hex() / dossier_id.hex())

    def index_cache(self, repository_id: RepositoryId, medium_id: MediumId) -> IndexCache:
        """Return what is kept of the index of a medium."""
        return IndexCache(self._repository(repository_id) / medium_id.hex(), repository_id + medium_id)

    def place(self, repository_id: RepositoryId, medium_id: MediumId) -> MediumPlace:
        """Return where the medium was seen last."""
        return MediumPlace(self._repository(repository_id) / medium_id.hex() / "place")

    def highest_number(self, repository_id: RepositoryId, dossier_id: DossierId) -> int:
        """Return the highest number that this station gave a snapshot of the dossier, on any medium; 0 if none."""
        return highest_number(self._repository(repository_id), dossier_id)

    @contextlib.contextmanager
    def opened(self) -> Iterator[bool]:
        """Hold a mark while a repository is open. Yields True if no other living one of this station holds any: then
        unfinished uploads under its name are of dead runs."""
        folder = self.path / "open"
        mark = folder / f"{secrets.token_hex(8)}.lock"
        with running_mark(mark):
            others = [path for path in folder.glob("*.lock") if path != mark]
            living = [path for path in others if is_running(path)]
            for path in others:
                if path not in living:
                    with contextlib.suppress(OSError):
                        path.unlink()
            yield not living

    def living_runs(self) -> Iterator[Path]:
        """Yield the mark of every snapshot that a living process of this station is making."""
        for path in (self.path / "repositories").glob("*/*/*/running/*.lock"):
            if is_running(path):
                yield path

    def object_cache(self, address: str) -> Path:
        """Return the folder for what was read of the store at an address. It holds sealed bytes only."""
        return self.path / "objects" / digest(address.encode("utf-8", "surrogateescape")).hex()[:32]

    @property
    def addresses(self) -> KnownAddresses:
        """What is remembered of addresses that go to media."""
        return KnownAddresses(address_file(self.path))

    def spool(self) -> Path:
        """Return the folder for packs being built. It holds sealed bytes only."""
        path = self.path / "spool"
        with state_errors(self.path):
            make_private_folder(path)
        return path

    def _repository(self, repository_id: RepositoryId) -> Path:
        return self.path / "repositories" / repository_id.hex()
