"""The folder that a folder store lies in.

Here: `StoreRoot`, its paths, the folders below it, temporaries in tmp/, and whether it is still the one that was
opened. Not here: objects (local.py, building.py).

Rules:
- What cannot be found is looked for in the listing of its folder before it is called absent.
- The folder that was opened is remembered by its device number. A stick that was pulled out leaves an empty folder,
  or another stick comes up under its letter: every operation that could be fooled looks whether it still has the same
  device.
- Each new folder's entry is synced before anything in it is relied on.
- Files get the mode that the umask leaves of 0666, as with any other program: a second user's read access to sealed
  objects gives nothing away that the medium does not.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..errors import InputError, StoreUnavailableError
from .files import extended_path
from .oserrors import translated, vanished
from .protocol import TEMPORARY_FOLDER, check_station, new_temporary
from .readback import flush_folder

WRITE_FLAGS: Final = os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class StoreRoot:
    """The folder at `root`; `create` makes it, and none above it. `station` marks temporaries."""

    def __init__(self, root: Path | str, *, create: bool, station: str) -> None:
        self._station = check_station(station)
        path = os.path.abspath(root)
        self.url = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        self.folder = extended_path(path) if sys.platform == "win32" else path
        try:
            if create:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(self.folder)
                    flush_folder(os.path.dirname(self.folder))
            status = os.stat(self.folder)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StoreUnavailableError(
                f"There is no folder {self.url}: see that the medium is connected and mounted, or make the folder.",
                code="store_absent",
                retryable=False,
            ) from error
        except OSError as error:
            raise translated(error, "open the store", self.url) from error
        if not stat.S_ISDIR(status.st_mode):
            raise InputError(f"{self.url} is a file: name the folder that is to hold the store.", code="not_a_folder")
        self._device = status.st_dev
        self._synced_folders: set[str] = set()

    def path(self, name: str) -> str:
        """The path of an object, or of a folder; "" is the folder itself."""
        return os.path.join(self.folder, *name.split("/")) if name else self.folder

    def check(self) -> None:
        """Raise `StoreUnavailableError` unless the folder is there and is the one that was opened."""
        try:
            if os.stat(self.folder).st_dev == self._device:
                return
        except OSError as error:
            raise vanished(self.url) from error
        raise vanished(self.url)

    def check_absent(self, name: str) -> None:
        """Raise unless an object or folder that could not be found is not in the listing of its folder either.

        ntfs-3g says "no such file" of what it cannot read, and a folder that cannot be read must not count as empty.
        """
        self.check()
        path = self.folder
        for element in name.split("/"):
            try:
                if element not in os.listdir(path):
                    return
                path = os.path.join(path, element)
                os.stat(path)
            except FileNotFoundError as error:
                if path == self.folder or os.path.basename(path) not in self._names_beside(path):
                    self.check()
                    return  # removed meanwhile
                raise StoreUnavailableError(
                    f"{name} is listed in {self.url} and cannot be found there: the medium fails to read. Plug it in "
                    "anew and try again, or use another medium.",
                    code="store_unreadable",
                ) from error
            except OSError as error:
                raise translated(error, f"look for {name}", self.url) from error

    def _names_beside(self, path: str) -> list[str]:
        try:
            return os.listdir(os.path.dirname(path))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise translated(error, "list a folder", self.url) from error

    @contextlib.contextmanager
    def translating(self, doing: str) -> Iterator[None]:
        """Raise what the system reports within as a `StoreError`; a store that is gone is named first."""
        try:
            yield
        except OSError as error:
            self.check()
            raise translated(error, doing, self.url) from error

    def make_folder(self, folder: str) -> None:
        """Make a folder of the store and those above it, durably."""
        path = self.folder
        for element in filter(None, folder.split("/")):
            parent, path = path, os.path.join(path, element)
            if path in self._synced_folders and os.path.isdir(path):
                continue
            with contextlib.suppress(FileExistsError):
                os.mkdir(path)
            flush_folder(parent)  # also where another thread or run made it and may not have come to this
            self._synced_folders.add(path)

    def open_temporary(self) -> tuple[int, str]:
        """A new file in tmp/, open for writing, and its path."""
        self.make_folder(TEMPORARY_FOLDER)
        while True:
            path = self.path(new_temporary(self._station))
            with contextlib.suppress(FileExistsError):
                return os.open(path, WRITE_FLAGS | os.O_CREAT | os.O_EXCL, 0o666), path
