"""A folder below an address to try a store out in, and its removal.

Here: `scratch_place`. Not here: what is tried (probing.py).

Rules: the folder has a random name that says whose it is, lies below the address, or beside it where nothing is at the
address yet, and only what is in it is ever removed. Removing is tried once more at the end of the block if it was not
done. A store whose kind has folders removes its own empty ones (`remove_folders(names)`); object storage has none.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ..crypto.entropy import random_bytes
from ..errors import SnapstoreError, StoreError
from ..stores.address import RemoteAddress
from ..stores.local import LocalStore
from ..stores.options import StoreOptions
from ..stores.protocol import TEMPORARY_FOLDER, Store
from ..stores.url import open_remote_store, open_store, remote_address
from ..stores.wrapper import innermost
from .conformance import LONGEST

_SIXTEEN = [f"packs/{number:x}" for number in range(16)]
FOLDERS = (*_SIXTEEN, f"{LONGEST}/{LONGEST}", LONGEST, "packs", "packsx/a", "packsx", "config", "index")
"""All folders that the rules put anything in, those below before those above. A test keeps it complete."""
OBJECT_STORAGE = frozenset({"s3", "gs", "az"})


@dataclass(slots=True)
class ScratchPlace:
    """A place that was made for a trial. `open` opens the store in it."""

    shown: str
    """The address that was asked about."""
    scratch: str
    open: Callable[[], Store]
    _remove_folder: Callable[[], None]
    _removed: bool = False

    def remove(self) -> str:
        """Remove all of it. What is left, or ""; raises nothing but interruptions."""
        try:
            self._remove_folder()
        except (SnapstoreError, OSError) as error:
            return f"{self.scratch} ({error})"
        self._removed = True
        return ""

    def remove_late(self) -> None:
        """Remove it if that was not done, for the end of a run that broke off."""
        if not self._removed:
            self.remove()


@contextlib.contextmanager
def scratch_place(url: str | os.PathLike[str], options: StoreOptions) -> Iterator[ScratchPlace]:
    """Make a scratch folder for an address. Raises InputError, StoreError."""
    name = f"snapstore-probe-{random_bytes(5).hex()}"
    remote = remote_address(url)
    place = _local_place(url, options, name) if remote is None else _remote_place(remote, options, name)
    try:
        yield place
    finally:
        place.remove_late()


def _remote_place(address: RemoteAddress, options: StoreOptions, name: str) -> ScratchPlace:
    below = replace(address, path=f"{address.path}/{name}")
    if address.scheme in OBJECT_STORAGE:
        scratch = below
    else:
        beside = replace(address, path=f"{address.path.rpartition('/')[0]}/{name}")
        scratch = below if _is_there(address, options) else beside

    def remove() -> None:
        with open_remote_store(scratch, options, create=True) as store:
            _empty(store)
            if address.scheme in OBJECT_STORAGE:
                return
            remove_folders = getattr(innermost(store), "remove_folders", None)
            if remove_folders is None:
                raise StoreError(f"Could not remove the empty folder {scratch.shown}: remove it by hand.")
            remove_folders((*FOLDERS, TEMPORARY_FOLDER))

    return ScratchPlace(
        shown=address.shown,
        scratch=scratch.shown,
        open=lambda: open_remote_store(scratch, options, create=True),
        _remove_folder=remove,
    )


def _is_there(address: RemoteAddress, options: StoreOptions) -> bool:
    try:
        with open_remote_store(address, options) as store:
            store.list("config")
    except StoreError as error:
        if error.code != "store_absent":
            raise
        return False
    return True


def _local_place(url: str | os.PathLike[str], options: StoreOptions, name: str) -> ScratchPlace:
    try:
        store = open_store(url, options=options)
        absent = False
    except StoreError as error:
        if error.code != "store_absent":
            raise
        store = open_store(url, create=True, options=options)
        absent = True
    with store:
        inner = innermost(store)
        if not isinstance(inner, LocalStore):  # in memory
            return ScratchPlace(
                shown=store.url,
                scratch=store.url,
                open=lambda: open_store(f"memory:{name}", options=options),
                _remove_folder=lambda: None,
            )
        root = Path(inner.root)
    scratch = root / name

    def remove() -> None:
        if scratch.exists():
            shutil.rmtree(scratch)
        if absent:
            with contextlib.suppress(OSError):  # not empty: somebody else uses it now
                root.rmdir()

    return ScratchPlace(
        shown=str(root),
        scratch=str(scratch),
        open=lambda: open_store(scratch, create=True, options=options),
        _remove_folder=remove,
    )


def _empty(store: Store) -> None:
    for found in [*store.list("")]:
        store.delete(found.name)
    store.clean_temporaries("unnamed")
