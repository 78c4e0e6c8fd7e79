"""What a caller asks a snapshot for, and what is refused before anything is saved.

Here: `SnapshotRequest`, the checks of it, and the problems that are known before the walk. Not here: the walk.

Rule: an empty source that had files is an error, not a snapshot of nothing: its drive may not be mounted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ...errors import InputError, SourceEmptyError, UnsupportedFormatError
from ...sources.layout import SourceLayout, empty_sources
from ...station import LastSnapshot
from ...types import Problem, SnapshotId, SnapshotKind, SnapshotOptions
from ..context import DossierContext
from ..history import History
from ..stations import check_may_write

_LABEL_MAX_CHARS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRequest:
    """What to save, and what to call it."""

    paths: tuple[str, ...]
    label: str | None = None
    kind: SnapshotKind = SnapshotKind.MANUAL
    exclude: tuple[str, ...] = ()
    options: SnapshotOptions = field(default_factory=SnapshotOptions)


def check_request(dossier: DossierContext, request: SnapshotRequest) -> None:
    """Refuse what cannot be done. Raises UnsupportedFormatError, InputError, and what `check_may_write` does."""
    unknown = dossier.repository.config.unknown_write_features
    if unknown:
        raise UnsupportedFormatError(
            f"Writing to this repository needs features this version does not have: {', '.join(unknown)}. "
            "Update snapstore; reading works."
        )
    level: object = request.options.compression_level  # callers without a type checker pass strings
    if isinstance(level, bool) or not isinstance(level, int) or not 1 <= level <= 19:
        raise InputError("The compression level is a number from 1 to 19.", code="invalid_compression_level")
    if request.label is not None and len(request.label) > _LABEL_MAX_CHARS:
        raise InputError(f"A label has at most {_LABEL_MAX_CHARS} characters.", code="label_too_long")
    check_may_write(dossier)


def refuse_empty(layout: SourceLayout, last: LastSnapshot | None, history: History, request: SnapshotRequest) -> None:
    """Raise SourceEmptyError for a source that is empty now and was not in the last snapshot."""
    if request.options.allow_empty:
        return
    for path in empty_sources(layout.root):
        if last is not None and path in last.source_entries:
            was_full = last.source_entries[path] > 1
        else:
            newest = next((item for item in history.manifests if item.confirmed and item.text is not None), None)
            sources = newest.text.sources if newest is not None and newest.text is not None else ()
            was_full = newest is not None and sources == (path,) and newest.facts.total_bytes > 0
        if was_full:
            raise SourceEmptyError(
                f"{path} is empty, and it was not in the last snapshot. Is the drive mounted? "
                "To save it empty all the same, allow it (allow_empty)."
            )


def gone_problem(snapshot_id: SnapshotId) -> Problem:
    """Return what is told of a snapshot that was taken away."""
    name = snapshot_id.hex()
    message = f"Snapshot {name} was on this medium, and nobody forgot it; it was taken away, or the medium set back."
    return Problem(code="snapshot_missing", path=name, message=message)


def missing_problem(path: str) -> Problem:
    """Return what is told of a source that is allowed to be missing."""
    return Problem(code="source_missing", path=path, message=f"{path} does not exist; it is not in this snapshot.")
