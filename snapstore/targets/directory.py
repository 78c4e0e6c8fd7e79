"""The target of a restore: a folder, and the folders in it.

Here: everything a restore does to a target, and the one rule: nothing outside the folder that the user named is ever
written, whatever the snapshot or the target holds. Names are checked to be one element (`names`), and every step down
is into a real folder, never through a link (`folders`); what else stands in the way is TargetError `in_the_way`.

Not here: which entry goes where, and whether something may be replaced.

Rules: names are bytes as in the snapshot. A step that fails raises TargetError with a code of `problems`; the caller
reports it for that entry and goes on unless the code is in `problems.FATAL_CODES`. New things are closed to others
(0600, 0700) until their attributes are applied. A folder's attributes are applied when its content is complete, as
writing in it changes its time, and a read-only one takes no content. `TargetDirectory` objects are cheap: they hold
no descriptor.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO

from ..errors import TargetError
from ..types import EntryType, Problem
from .attributes import FileAttributes, apply_attributes
from .files import TargetFile, TargetState
from .flushing import file_system_type
from .folders import DescriptorFolder, Folder
from .names import check_name, is_temporary, temporary_name
from .path_folder import PathFolder
from .problems import UNSUPPORTED, display, translate
from .removal import make_usable, remove_entry
from .windows import leads_elsewhere

_TYPES = {
    stat.S_IFREG: EntryType.FILE,
    stat.S_IFDIR: EntryType.DIRECTORY,
    stat.S_IFLNK: EntryType.SYMLINK,
    stat.S_IFIFO: EntryType.FIFO,
    stat.S_IFCHR: EntryType.CHARACTER_DEVICE,
    stat.S_IFBLK: EntryType.BLOCK_DEVICE,
}
_DEVICE_KINDS = {EntryType.CHARACTER_DEVICE: stat.S_IFCHR, EntryType.BLOCK_DEVICE: stat.S_IFBLK}


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetStat:
    """What is there under a name, links not followed."""

    type: EntryType | None
    """None: a kind of thing that no snapshot holds, such as a socket. Never HARD_LINK."""
    size: int
    mtime_ns: int
    mode: int
    uid: int
    gid: int
    links: int
    inode: int
    file_system: int
    device: tuple[int, int] | None


def _type_of(found: os.stat_result) -> EntryType | None:
    return EntryType.SYMLINK if leads_elsewhere(found) else _TYPES.get(stat.S_IFMT(found.st_mode))


def _target_stat(found: os.stat_result) -> TargetStat:
    kind = _type_of(found)
    device = None
    if kind in _DEVICE_KINDS and sys.platform != "win32":
        device = (os.major(found.st_rdev), os.minor(found.st_rdev))
    return TargetStat(
        type=kind,
        size=found.st_size,
        mtime_ns=found.st_mtime_ns,
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
        links=found.st_nlink,
        inode=found.st_ino,
        file_system=found.st_dev,
        device=device,
    )


def open_target(path: str, *, create: bool, numeric_owner: bool = False) -> TargetDirectory:
    """The folder at `path` as the root of a restore; with `create` it is made, parents included.

    Links in `path` itself are followed. TargetError `target_missing` if it is not there or is no folder.
    """
    try:
        if create:
            os.makedirs(path, exist_ok=True)
        folder: Folder = PathFolder.root(path) if sys.platform == "win32" else DescriptorFolder.root(path)
        device = folder.stat(None).st_dev
        fill_holes = file_system_type(device).startswith("fuse")  # until `probe` has looked
    except (FileNotFoundError, NotADirectoryError, FileExistsError) as error:
        raise TargetError(f"There is no folder at {path!r} to restore to.", code="target_missing") from error
    except (OSError, ValueError) as error:
        raise translate(error, path, code="target_missing") from error
    state = TargetState(numeric_owner=numeric_owner, file_systems={device: folder}, fill_holes=fill_holes)
    return TargetDirectory(folder, state, ())


class TargetDirectory:
    """A folder in the target. Made by `open_target`, and by its own methods."""

    __slots__ = ("_elements", "_folder", "_state")

    def __init__(self, folder: Folder, state: TargetState, elements: tuple[bytes, ...]) -> None:
        self._folder = folder
        self._state = state
        self._elements = elements

    def __enter__(self) -> TargetDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def path(self) -> str:
        """Elements from the root, joined by "/"; "" is the root."""
        return display(self._elements)

    @property
    def elements(self) -> tuple[bytes, ...]:
        """The names that lead here from the root."""
        return self._elements

    @property
    def folder(self) -> Folder:
        """The system's side, for the other modules of this package."""
        return self._folder

    @property
    def state(self) -> TargetState:
        """What is shared with the root, for the other modules of this package."""
        return self._state

    @contextmanager
    def _step(self, name: bytes | None, *, code: str = "not_restored") -> Iterator[str]:
        """Check `name`, give its path for messages, and translate what the system says."""
        elements = self._elements if name is None else (*self._elements, check_name(name))
        path = display(elements)
        try:
            yield path
        except TargetError:
            raise
        except (OSError, OverflowError, ValueError, NotImplementedError) as error:
            number = getattr(error, "errno", None)
            # exfat-fuse answers EIO to every mknod; a device that really failed shows with the next file.
            kind_refused = number in UNSUPPORTED or (number == errno.EIO and code != "not_restored")
            if isinstance(error, NotImplementedError) or kind_refused:
                raise TargetError(f"{path!r} is of a kind that cannot be restored here.", code=code) from error
            raise translate(error, path, code=code) from error

    # --- looking ------------------------------------------------------------------------------------------------

    def scan(self) -> dict[bytes, TargetStat]:
        """Everything in the folder."""
        with self._step(None):
            return {name: _target_stat(found) for name, found in self._folder.entries()}

    def stat(self, name: bytes) -> TargetStat | None:
        """What has that name, or None."""
        with self._step(name):
            try:
                return _target_stat(self._folder.stat(name))
            except FileNotFoundError:
                return None

    def read_file(self, name: bytes) -> BinaryIO:
        """A regular file's content."""
        with self._step(name):
            return os.fdopen(self._folder.open(name), "rb")

    # --- folders ------------------------------------------------------------------------------------------------

    def _entered(self, name: bytes, folder: Folder) -> TargetDirectory:
        self._state.file_systems.setdefault(folder.stat(None).st_dev, folder)
        return TargetDirectory(folder, self._state, (*self._elements, name))

    def child(self, name: bytes) -> TargetDirectory:
        """A folder that is there already; nothing is changed."""
        with self._step(name):
            return self._entered(name, self._folder.child(name))

    def make_directory(self, name: bytes) -> TargetDirectory:
        """A new folder, or the one that is there, made usable for its owner until its attributes are applied."""
        with self._step(name):
            try:
                self._folder.make_folder(name)
            except FileExistsError:
                return self._entered(name, make_usable(self._folder, name))
            # A new folder is on the file system of the one above: no need to look.
            return TargetDirectory(self._folder.child(name), self._state, (*self._elements, name))

    # --- things in it -------------------------------------------------------------------------------------------

    def new_file(self, name: bytes) -> TargetFile:
        """A file to be written; its name appears with `commit`."""
        return TargetFile(self._folder, self._state, check_name(name), display((*self._elements, name)))

    def _place(self, name: bytes, make: Callable[[bytes], None], *, replace: bool) -> None:
        if not replace:
            make(name)
            return
        temporary = temporary_name()
        make(temporary)
        try:
            self._folder.rename(temporary, name)
        except OSError:
            self._folder.unlink(temporary)
            raise
        with suppress(FileNotFoundError):
            self._folder.unlink(temporary)  # two names of one file: rename left both

    def symlink(self, name: bytes, target: bytes, *, replace: bool = False) -> None:
        """A symbolic link with any target; nothing is looked up through it."""
        with self._step(name, code="symlink_not_supported"):
            self._place(name, lambda new: self._folder.make_symlink(new, target), replace=replace)

    def fifo(self, name: bytes, *, replace: bool = False) -> None:
        """A named pipe."""
        with self._step(name, code="fifo_not_supported"):
            self._place(name, self._folder.make_fifo, replace=replace)

    def device(self, name: bytes, type: EntryType, numbers: tuple[int, int], *, replace: bool = False) -> None:
        """A device node with (major, minor) `numbers`."""
        kind = _DEVICE_KINDS[type]
        with self._step(name, code="device_not_restored"):
            self._place(name, lambda new: self._folder.make_device(new, kind, numbers), replace=replace)

    def hard_link(self, name: bytes, to_path: Sequence[bytes], *, replace: bool = False) -> None:
        """Another name for what is at `to_path`, elements from the root. `hard_link_copied`: write a copy instead."""
        with self._step(name, code="hard_link_copied") as path:
            try:
                existing = check_name(to_path[-1])
                folder = self._walk(to_path[:-1])
                self._place(name, lambda new: self._folder.make_link(new, folder, existing), replace=replace)
            except FileExistsError:
                raise
            except (OSError, IndexError) as error:
                failure = translate(error, path)
                if failure.code in ("target_full", "target_failed"):
                    raise failure from error
                raise TargetError(f"{path!r} cannot be a hard link here.", code="hard_link_copied") from error

    def _walk(self, elements: Sequence[bytes]) -> Folder:
        """The folder at `elements` from the root, on the shortest way from this one."""
        shared = 0
        for ours, theirs in zip(self._elements, elements, strict=False):
            if ours != theirs:
                break
            shared += 1
        folder = self._folder
        for _ in range(len(self._elements) - shared):
            assert folder.above is not None
            folder = folder.above
        for element in elements[shared:]:
            folder = folder.child(check_name(element))
        return folder

    def remove(self, name: bytes) -> None:
        """Remove a name, and a folder with everything in it. Links are removed, never followed; mounts are kept."""
        with self._step(name):
            remove_entry(self._folder, name)

    def clean_leftovers(self) -> int:
        """Remove what an interrupted restore left in this folder under temporary names; how many there were."""
        with self._step(None):
            names = [name for name, _ in self._folder.entries() if is_temporary(name)]
        for name in names:
            self.remove(name)
        return len(names)

    # --- finishing ----------------------------------------------------------------------------------------------

    def apply(self, name: bytes, type: EntryType, attributes: FileAttributes) -> list[Problem]:
        """Put `attributes` on what is there, which must be of `type`. Returns what was lost."""
        with self._step(name) as path:
            found = _type_of(self._folder.stat(name))
            if type not in (found, EntryType.HARD_LINK) or found is None:
                raise TargetError(f"Something else is in the way at {path!r}.", code="in_the_way")
            return self._apply(name, found, attributes, path)

    def apply_self(self, attributes: FileAttributes) -> list[Problem]:
        """Put `attributes` on this folder, after everything in it is done. Returns what was lost."""
        with self._step(None) as path:
            return self._apply(None, EntryType.DIRECTORY, attributes, path)

    def _apply(self, name: bytes | None, kind: EntryType, attributes: FileAttributes, path: str) -> list[Problem]:
        handle = self._folder.handle(name)
        try:
            return apply_attributes(handle, kind, attributes, path, numeric=self._state.numeric_owner)
        finally:
            handle.close()

    def sync(self) -> None:
        """Make the names in this folder durable, where the system has a call for that."""
        with self._step(None):
            try:
                self._folder.sync()
            except OSError as error:
                if error.errno not in UNSUPPORTED:
                    raise

    def close(self) -> None:
        """Give back what is held open; the root's `close` ends the use of all."""
        self._folder.close()
