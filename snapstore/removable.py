"""Media that are plugged in, before any repository is opened: `media` lists them, `test_medium` tries one.

Here: both, as functions. Not here: any work (operations/media).
"""

from __future__ import annotations

import os

from .progress import Cancel, Progress
from .types import MediumInfo, MediumTestReport

PathLike = str | os.PathLike[str]


def media(*, state_dir: PathLike | None = None) -> tuple[MediumInfo, ...]:
    """Return the removable media that are connected now, and which repository is in the folder "snapstore" of each.

    Nothing is written. `state_dir` is where this station keeps its state, for the times of last use; it is not made.
    """
    from .operations.media.listing import list_media
    from .station.addresses import KnownAddresses
    from .station.folder import address_file

    return list_media(KnownAddresses(address_file(state_dir)))


def test_medium(
    path: PathLike,
    *,
    full: bool = False,  # noqa: PT028 - not one of pytest's tests
    progress: Progress | None = None,  # noqa: PT028
    cancel: Cancel | None = None,  # noqa: PT028
) -> MediumTestReport:
    """Write to the medium that the folder `path` lies on (or "usb:LABEL"), read it back, and remove what was written.

    The quick test writes about a hundredth of the free space, 256 MiB at most. It finds media that lose data at once,
    and, if the report says `spread`, most of those that lie about their size. `full` writes all free space, which takes
    hours on a large stick, and finds both for certain. Files that are there are not touched.

    Raises InputError, StoreUnavailableError, StorePermissionError, StoreFullError, OperationCancelledError.
    """
    from .operations.media import testing_medium
    from .operations.meter import Meter

    return testing_medium.try_medium(path, Meter(progress, cancel), full=full)
