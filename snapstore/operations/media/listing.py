"""The media that are connected, and the repository on each.

Here: `list_media`. Not here: looking for media (`snapstore.stores.media`).

Rules: nothing is written, on no medium. One that cannot be read is listed as one without a repository. Reading a
config needs no keys: whoever holds a stick may see which repository is on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...errors import SnapstoreError
from ...format.config import unite_configs
from ...station.addresses import KnownAddresses
from ...stores.local import LocalStore
from ...stores.media import REPOSITORY_FOLDER, Medium, connected_media
from ...types import MediumInfo
from ..configs import read_configs


def list_media(
    known: KnownAddresses | None = None, media: Callable[[], Sequence[Medium]] = connected_media
) -> tuple[MediumInfo, ...]:
    """Return what is connected, by path. `known` is what this station remembers, for the time of the last use."""
    return tuple(_describe(medium, known) for medium in sorted(media(), key=lambda medium: medium.path))


def _describe(medium: Medium, known: KnownAddresses | None) -> MediumInfo:
    folder = medium.path / REPOSITORY_FOLDER
    config = None
    try:
        if folder.is_dir():
            config = unite_configs([item.config for item in read_configs(LocalStore(folder), [])])
    except (OSError, SnapstoreError):
        pass  # not ours to read, or no repository
    return MediumInfo(
        path=str(medium.path),
        label=medium.label,
        uuid=medium.uuid,
        file_system=medium.file_system,
        total_bytes=medium.total_bytes,
        free_bytes=medium.free_bytes,
        read_only=medium.read_only,
        repository_id=None if config is None else config.repository_id,
        medium_id=None if config is None else config.medium_id,
        last_used=None if config is None or known is None else known.last_seen(config.medium_id.hex()),
    )
