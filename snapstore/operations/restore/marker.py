"""How an interrupted restore is known.

Here: a small file in the target's root, from the first write to the last sync. Not here: going on, which is simply
restoring only what is missing or different.

Rules: it is written only in a target that was new or empty. It names the snapshot, so that another one is never mixed
in."""

from __future__ import annotations

from typing import Final

from ...errors import TargetError, TargetNotEmptyError
from ...targets.attributes import FileAttributes
from ...targets.directory import TargetDirectory
from ...targets.names import is_temporary
from ...types import SnapshotId

MARKER_NAME: Final = b".snapstore-restoring"
_MARKER_MAX_BYTES: Final = 64


def begin(root: TargetDirectory, snapshot_id: SnapshotId) -> bool:
    """Claim an empty target; True if it holds an interrupted restore of the same snapshot, to go on with.

    Raises TargetNotEmptyError if there is anything else in it.
    """
    names = {name for name in root.scan() if not is_temporary(name)}
    if not names:
        with root.new_file(MARKER_NAME) as file:
            file.write(snapshot_id.hex().encode())
            file.commit(FileAttributes(), sync=True, replace=False)
        return False
    if MARKER_NAME in names and read(root) == snapshot_id.hex():
        return True
    raise TargetNotEmptyError(
        "The target folder is not empty. Choose a new or empty one, or say what to do with files that are in the way "
        "(overwrite: never, if_changed, always)."
    )


def check(root: TargetDirectory, snapshot_id: SnapshotId) -> None:
    """As `begin`, without writing anything."""
    names = {name for name in root.scan() if not is_temporary(name)}
    if names and not (MARKER_NAME in names and read(root) == snapshot_id.hex()):
        raise TargetNotEmptyError("The target folder is not empty. Choose a new or empty one.")


def read(root: TargetDirectory) -> str | None:
    """Return the snapshot that the marker names, or None."""
    try:
        with root.read_file(MARKER_NAME) as file:
            return file.read(_MARKER_MAX_BYTES).decode("ascii", "replace")
    except TargetError:
        return None


def end(root: TargetDirectory) -> None:
    """Take the marker away."""
    if MARKER_NAME in root.scan():
        root.remove(MARKER_NAME)
