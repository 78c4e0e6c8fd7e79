"""What goes wrong with an SFTP server, as the errors that snapstore's callers know.

Here: the wording and the class of each, and `PasswordWanted`, which is for the store alone. Not here: the decision
whether to try again; the error says whether that is worth while.

Rules: version 3 of SFTP has no status for a full disk, a device that fails, a quota or a name that exists: all of
them are FAILURE. So whoever was refused room asks for the free space before calling the disk full, and looks before
saying that a name exists.
"""

from __future__ import annotations

from typing import Final

from ...errors import InputError, StoreError, StoreFullError, StorePermissionError, StoreUnavailableError
from . import wire
from .client import Break, Disconnected

_FULL: Final = {wire.NO_SPACE_ON_FILESYSTEM, wire.QUOTA_EXCEEDED}
_REFUSED: Final = {wire.PERMISSION_DENIED, wire.WRITE_PROTECT}
_WORDS: Final = {
    wire.EOF: "the file ends there",
    wire.NO_SUCH_FILE: "no such file or folder",
    wire.PERMISSION_DENIED: "permission denied",
    wire.OP_UNSUPPORTED: "the server cannot do that",
    wire.FILE_ALREADY_EXISTS: "the name exists",
    wire.WRITE_PROTECT: "the disk is write-protected",
    wire.NO_SPACE_ON_FILESYSTEM: "no space is left",
    wire.QUOTA_EXCEEDED: "the quota is used up",
}


class PasswordWanted(Exception):
    """The server let nobody in without a password, or a key needs one, and it was not asked for yet."""


def disconnected(error: Disconnected, doing: str, where: str) -> StoreUnavailableError:
    """The error for a connection that broke."""
    code = "store_timeout" if error.kind is Break.TIMED_OUT else "connection_lost"
    return StoreUnavailableError(
        f"Could not {doing} in {where}: {error.reason}. Try again, and see that the server and the line are well.",
        code=code,
        retryable=True,
    )


def no_sftp(where: str, why: str) -> StoreError:
    """The error for a server that lets the user in and offers no SFTP."""
    return StoreError(
        f"{where} lets this user in but offers no SFTP: {why}. Have it switched on there (in OpenSSH by 'Subsystem "
        "sftp internal-sftp'), and see that the user's start-up files print nothing.",
        code="sftp_missing",
        retryable=False,
    )


def refused(reply: wire.Reply, doing: str, where: str) -> StoreError:
    """The error for a reply that is not what was asked for."""
    if not isinstance(reply, wire.Status):
        return StoreUnavailableError(f"Could not {doing} in {where}: the server gave another answer than it must.")
    message = f"Could not {doing} in {where}: {_reason(reply)}."
    if reply.code in _FULL:
        return StoreFullError(f"{message} Free some space there, or use another store.")
    if reply.code in _REFUSED:
        return StorePermissionError(f"{message} See that this user may read and write in that folder.")
    if reply.code == wire.OP_UNSUPPORTED:
        return StoreError(f"{message} Use another server, or another way to it.")
    return StoreUnavailableError(f"{message} Try again, and see that the server and its disk are well.")


def no_room(reply: wire.Reply, doing: str, where: str, *, found: wire.FileSystem | None, wanted: int) -> StoreError:
    """The error for a refusal to make or to fill a file, with what the server says of its file system, if it does."""
    if not isinstance(reply, wire.Status) or reply.code != wire.FAILURE:
        return refused(reply, doing, where)
    message = f"Could not {doing} in {where}: {_reason(reply)}."
    if found is not None and found.read_only:
        return StorePermissionError(f"{message} The server's disk is read-only: have it made writable.")
    free_bytes = None if found is None else 0 if found.free_files == 0 else found.free_bytes
    if free_bytes is not None and free_bytes < wanted:
        return StoreFullError(
            f"{message} {wanted} bytes are needed and {free_bytes} are free. Free some space there, or use another "
            "store."
        )
    free = "" if free_bytes is None else f", with {free_bytes} bytes free"
    return StoreUnavailableError(
        f"{message} The server does not say why{free}: it may be a failing disk, or a quota that is used up."
    )


def absent(where: str) -> StoreUnavailableError:
    """The error for a store whose folder is not there when it is opened."""
    return StoreUnavailableError(
        f"There is no folder {where}: check the path, see that the server's disk is mounted, or make the folder.",
        code="store_absent",
        retryable=False,
    )


def vanished(where: str) -> StoreUnavailableError:
    """The error for a store whose folder was there and is not any more."""
    return StoreUnavailableError(
        f"The folder {where} is no longer there: see that the server's disk is mounted.",
        code="store_vanished",
        retryable=False,
    )


def closed(doing: str, where: str) -> StoreError:
    """The error for a store that was closed before or meanwhile."""
    return StoreError(f"Could not {doing} in {where}: the store was closed.", code="store_closed")


def no_folder(where: str) -> InputError:
    """The error for a root that is a file."""
    return InputError(f"{where} is a file: name the folder that is to hold the store.", code="not_a_folder")


def _reason(status: wire.Status) -> str:
    said = status.text.strip().rstrip(".")
    words = _WORDS.get(status.code, f"the server refused (status {status.code})")
    return words if not said or said.lower() in words.lower() else f"{words} ({said})"
