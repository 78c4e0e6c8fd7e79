"""Files that only this user may read, replaced whole or not at all.

Here: writing and reading of secret files (mode 0600; on Windows the Data Protection API on top of the profile's own
access list), and an operating system lock on a file. Not here: what is in the files.

Rules: a secret is never written to a file that others could have opened before. A lock dies with its process, so a
crash leaves nothing to clean up."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import DamagedObjectError, StationStateError

_PLAIN = b"\x00"
_DPAPI = b"\x01"


@contextlib.contextmanager
def state_errors(path: Path) -> Iterator[None]:
    """Translate what the system says of the station's own files. Raises StationStateError."""
    try:
        yield
    except OSError as error:
        raise StationStateError(
            f"This station's folder {path} cannot be used: {error.strerror or error}. "
            "Make room, mend its permissions, or choose another one (state_dir).",
        ) from error


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` with `data`, readable by this user alone, and synced. OSError if the disk refuses."""
    make_private_folder(path.parent)
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(6)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(_protect(data))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def read_private(path: Path) -> bytes | None:
    """Return what `write_private` wrote, or None if there is no such file."""
    try:
        stored = path.read_bytes()
    except FileNotFoundError:
        return None
    return _unprotect(stored, path)


def make_private_folder(path: Path) -> None:
    """Make `path` and what is missing above it, closed to others."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, waiting for it; for short read-modify-write work."""
    make_private_folder(path.parent)
    with open(path, "a+b") as file:
        _lock(file.fileno(), wait=True)
        try:
            yield
        finally:
            _unlock(file.fileno())


@contextlib.contextmanager
def running_mark(path: Path) -> Iterator[BinaryIO]:
    """Hold `path` locked for as long as the block runs. It is removed only if the block ends well: what is left and not
    held tells of a run that did not, with what the block wrote into it."""
    with state_errors(path.parent):
        make_private_folder(path.parent)
        file = open(path, "a+b")  # noqa: SIM115  closed below; its errors are told, those of the block are not ours
    with file:
        _lock(file.fileno(), wait=True)  # at most as long as somebody's look at whether it is held
        try:
            yield file
        finally:
            _unlock(file.fileno())
    with contextlib.suppress(OSError):
        path.unlink()


def is_running(path: Path) -> bool:
    """Tell whether some living process holds the mark `path`."""
    try:
        with open(path, "r+b") as file:
            if not _lock(file.fileno(), wait=False):
                return True
            _unlock(file.fileno())
            return False
    except FileNotFoundError:
        return False
    except OSError:
        return True  # in doubt it lives, and nothing of it is touched


if sys.platform == "win32":  # pragma: no cover
    import msvcrt
    import time

    def _lock(descriptor: int, *, wait: bool) -> bool:
        while True:
            try:
                os.lseek(descriptor, 0, os.SEEK_SET)
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            except OSError:
                if not wait:
                    return False
                time.sleep(0.05)
            else:
                return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        with contextlib.suppress(OSError):
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

    def _protect(data: bytes) -> bytes:
        from .dpapi import protect

        return _DPAPI + protect(data)

    def _unprotect(stored: bytes, path: Path) -> bytes:
        from .dpapi import unprotect

        if stored[:1] == _DPAPI:
            return unprotect(stored[1:], str(path))
        return _checked(stored, path)
else:
    import fcntl

    def _lock(descriptor: int, *, wait: bool) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _protect(data: bytes) -> bytes:
        return _PLAIN + data

    def _unprotect(stored: bytes, path: Path) -> bytes:
        return _checked(stored, path)


def _checked(stored: bytes, path: Path) -> bytes:
    if stored[:1] != _PLAIN:
        raise DamagedObjectError(
            f"The station file {path} is damaged, or was brought here from a Windows account. "
            "Move it away; the secret enrols this station anew.",
            code="station_file_damaged",
        )
    return stored[1:]
