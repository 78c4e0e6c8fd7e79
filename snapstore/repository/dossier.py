"""Dossier: one client's files, their history and their secret.

Here: a facade whose methods only pass on what they are given. Not here: any work.

Rules: operations are imported when they are first called. Objects may be used from several threads. A `Dossier` that
was unlocked keeps the dossier's private keys in memory until `lock()` or the end of the object; it never keeps the
secret."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

from ..progress import Cancel, Progress
from ..types import (
    CopyMode,
    CopyReport,
    DossierId,
    Entry,
    HistoryReview,
    RestoreOptions,
    RestoreReport,
    Snapshot,
    SnapshotKind,
    SnapshotOptions,
    SnapshotReport,
    StationId,
    StationInfo,
)

if TYPE_CHECKING:
    from ..format.keyset import PrivateHalves
    from ..operations.browse import SnapshotView
    from ..operations.context import DossierContext, RepositoryContext
    from ..stores.options import StoreOptions
    from ..upkeep_types import DrillReport, ForgetReport, RetentionPolicy
    from .repository import Repository

PathLike = str | os.PathLike[str]


class Dossier:
    """One client's set of files, its history and its secret. A context manager that locks at the end."""

    def __init__(self, repository: Repository, context: DossierContext, private: PrivateHalves | None) -> None:
        """For the methods of `Repository`, which callers use."""
        self._repository = repository
        self._context = context
        self._private = private

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lock()

    def __repr__(self) -> str:
        return f"Dossier({self._context.id.hex()}, {'unlocked' if self.unlocked else 'locked'})"

    @property
    def id(self) -> DossierId:
        """16 bytes."""
        return self._context.id

    @property
    def name(self) -> str:
        """The name, as this station knows it."""
        return self._context.pin.name

    @property
    def repository(self) -> Repository:
        """The repository it is in."""
        return self._repository

    @property
    def unlocked(self) -> bool:
        """Whether restoring needs no secret now."""
        return self._private is not None

    def unlock(self, secret: str) -> None:
        """Keep the keys for restoring until `lock`, and enrol this station. Raises WrongSecretError, DamageError."""
        from ..operations import dossiers

        opened = dossiers.open_private(self._context, secret)
        self._context = dossiers.enrol(self._context.repository, opened)
        self._private = opened.private

    def lock(self) -> None:
        """Forget those keys."""
        self._private = None

    def snapshot(  # noqa: PLR0913 - each is a wish of its own, and all but the first have a default
        self,
        paths: PathLike | Iterable[PathLike],
        *,
        label: str | None = None,
        kind: SnapshotKind = SnapshotKind.MANUAL,
        exclude: Iterable[str] = (),
        options: SnapshotOptions | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> SnapshotReport:
        """Save files and folders; needs no secret. Returns when the snapshot is whole on the store.

        One folder becomes the root of the snapshot; of several paths the deepest common folder does. `exclude` are
        patterns in gitignore syntax. Files that cannot be read are in the report's `problems`. Cancelling leaves the
        repository good, and the next run goes on from what was stored.

        Raises SourceMissingError, SourceEmptyError, InputError, StationRevokedError, StoreError,
        OperationCancelledError. Source: docs/format/11-protocol.md.
        """
        from ..operations.meter import Meter
        from ..operations.snapshot import SnapshotRequest, take_snapshot

        request = SnapshotRequest(
            paths=_paths(paths),
            label=label,
            kind=SnapshotKind(kind),
            exclude=tuple(exclude),
            options=options or SnapshotOptions(),
        )
        return take_snapshot(self._context, request, Meter(progress, cancel))

    def list(self) -> Sequence[Snapshot]:
        """Return the snapshots, newest first."""
        return self.review().snapshots

    def review(self) -> HistoryReview:
        """Return the snapshots, those that were taken away, and what is wrong with manifests."""
        from ..operations import history

        return history.review_history(self._context)

    def find(self, name: str) -> Snapshot:
        """Return what "latest", "latest~2" or an id's beginning names. Raises SnapshotNotFoundError, AmbiguousError."""
        from ..operations import history, listing

        return history.snapshot_of(listing.find_manifest(self._context, name))

    def entries(
        self, snapshot: Snapshot | str, path: str = "", *, recursive: bool = True, secret: str | None = None
    ) -> Iterator[Entry]:
        """Yield what is below `path`, depth first and lazily; the entry itself if it is no folder.

        Raises SecretRequiredError, WrongSecretError, EntryNotFoundError, DamageError, at the call or while iterating.
        """
        from ..operations import browse

        return browse.iterate_entries(self._view(snapshot, secret), path, recursive=recursive)

    def open_file(self, snapshot: Snapshot | str, path: str, *, secret: str | None = None) -> BinaryIO:
        """Open a file of a snapshot as a seekable stream that loads only what is read. Raises as `entries`."""
        from ..operations.open_file import open_content

        return open_content(self._view(snapshot, secret), path)

    def restore(  # noqa: PLR0913 - each is a wish of its own, and most have a default
        self,
        snapshot: Snapshot | str,
        *,
        to: PathLike,
        paths: Iterable[str] = (),
        secret: str | None = None,
        options: RestoreOptions | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> RestoreReport:
        """Restore a snapshot, or `paths` of it (patterns with * ? [ too), into the folder `to`.

        Nothing outside `to` is written. An interrupted restore goes on when it is run again. What the target cannot
        hold and what is damaged is in the report's `problems`.

        Raises SecretRequiredError, WrongSecretError, TargetNotEmptyError, TargetError, EntryNotFoundError, StoreError,
        OperationCancelledError, InputError.
        """
        from ..operations import listing
        from ..operations.meter import Meter
        from ..operations.restore import RestoreRequest, restore_snapshot

        request = RestoreRequest(
            manifest=listing.find_manifest(self._context, snapshot),
            to=os.path.abspath(os.fspath(to)),
            paths=tuple(paths),
            options=options or RestoreOptions(),
        )
        return restore_snapshot(self._context, request, self._opened(secret), Meter(progress, cancel))

    def copy_to(  # noqa: PLR0913 - each is a wish of its own, and all but the first have a default
        self,
        to: PathLike | Repository,
        snapshots: Iterable[Snapshot | str] = (),
        *,
        mode: CopyMode | str | None = None,
        secret: str | None = None,
        new_secret: str | None = None,
        options: StoreOptions | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> CopyReport:
        """Copy snapshots (without a choice, all that are confirmed) to another medium; see `Repository.copy_to`.

        In another repository they are sealed anew for the dossier of the same name, which needs the `secret` unless
        this is unlocked; `new_secret` is that dossier's, where this station does not know it or it is to be made."""
        from ..operations.copy import CopyRequest, copy_dossier
        from ..operations.meter import Meter

        request = CopyRequest(to=place_of_copy(to), mode=mode, options=options, dry_run=dry_run, new_secret=new_secret)
        return copy_dossier(self._context, tuple(snapshots), self._opened(secret), request, Meter(progress, cancel))

    def forget(
        self,
        policy: RetentionPolicy | None = None,
        *,
        snapshots: Iterable[Snapshot | str] = (),
        dry_run: bool = False,
        allow_last: bool = False,
    ) -> ForgetReport:
        """Forget what `policy` does not keep, and the `snapshots` that are named; needs no secret.

        The newest whole snapshot goes only if it is named and `allow_last` is set. The space comes back with a prune.

        Raises InputError (`empty_policy`, `held`, `last_snapshot`), SnapshotNotFoundError, AmbiguousError,
        StationRevokedError, UnsupportedFormatError, DamagedObjectError.
        """
        from ..operations.forget import ForgetRequest, forget_snapshots
        from ..operations.meter import Meter

        named = _named(snapshots)
        request = ForgetRequest(policy=policy, snapshots=named, dry_run=dry_run, allow_last=allow_last)
        return forget_snapshots(self._context, request, Meter(None, None))

    def hold(self, *snapshots: Snapshot | str) -> None:
        """Let no policy forget these until `unhold`. Raises SnapshotNotFoundError, AmbiguousError."""
        from ..operations import forget

        forget.hold_snapshots(self._context, snapshots)

    def unhold(self, *snapshots: Snapshot | str) -> None:
        """Let policies forget these again. Raises as `hold`."""
        from ..operations import forget

        forget.release_snapshots(self._context, snapshots)

    def drill(  # noqa: PLR0913 - each is a wish of its own, and all have a default
        self,
        *,
        secret: str | None = None,
        snapshot: Snapshot | str = "latest",
        max_bytes: int | None = None,
        scratch: PathLike | None = None,
        record: bool = True,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> DrillReport:
        """Rehearse a restore: bring a random sample back to a scratch folder, look at it, and remove it again.

        The largest SQLite database of at most `max_bytes` is among it, and every database is opened read-only and
        checked. `scratch` is where the folder is made (else where the system has temporary files): it holds files in
        the clear for that time. The result is signed and kept (`record=False`: not).

        Raises SecretRequiredError, WrongSecretError, SnapshotNotFoundError, TargetError, StoreError,
        OperationCancelledError.
        """
        from ..operations import drill
        from ..operations.meter import Meter

        request = drill.DrillRequest(
            snapshot=snapshot,
            max_bytes=drill.DRILL_BYTES if max_bytes is None else max_bytes,
            scratch=None if scratch is None else os.path.abspath(os.fspath(scratch)),
            record=record,
        )
        return drill.drill(self._context, request, self._opened(secret), Meter(progress, cancel))

    def stations(self) -> tuple[StationInfo, ...]:
        """Return the stations that may write, or might once, in order of enrolment."""
        from ..operations import stations

        return stations.list_stations(self._context)

    def revoke_station(self, station: StationId | str, *, secret: str | None = None) -> None:
        """Refuse what a station (id, beginning of its hexadecimal id, or name) writes from now on.

        Raises NotFoundError.
        """
        from ..operations import dossiers, stations

        opened = dossiers.open_private_or(self._context, secret, self._private)
        self._context = stations.revoke_station(self._context, station, opened)

    def rename(self, name: str, *, secret: str | None = None) -> None:
        """Give the dossier another name.

        Raises DossierExistsError, InputError, SecretRequiredError, WrongSecretError.
        """
        from ..operations import dossiers

        opened = dossiers.open_private_or(self._context, secret, self._private)
        self._context = dossiers.rename_dossier(self._context, name, opened)

    def add_recovery_code(self, *, secret: str | None = None) -> str:
        """Make a code that opens the dossier like its secret does, for a printed sheet. It is kept nowhere else."""
        from ..operations import dossiers, stations

        opened = dossiers.open_private_or(self._context, secret, self._private)
        return stations.add_recovery_code(self._context, opened)

    def _opened(self, secret: str | None) -> PrivateHalves | None:
        """Return the private keys: held, opened with the secret, or none (a station's own newest snapshot
        needs none).
        """
        from ..operations import dossiers

        if self._private is not None:
            return self._private
        if secret is None and self._repository.protected:
            return None
        return dossiers.open_private(self._context, secret).private

    def _view(self, snapshot: Snapshot | str, secret: str | None) -> SnapshotView:
        from ..operations import browse, listing

        manifest = listing.find_manifest(self._context, snapshot)
        return browse.open_view(self._context, manifest, self._opened(secret))


def place_of_copy(to: PathLike | Repository) -> PathLike | RepositoryContext:
    """Return where a copy goes, as the operations take it."""
    return to if isinstance(to, str | os.PathLike) else to._context


def _named(snapshots: Iterable[Snapshot | str]) -> tuple[Snapshot | str, ...]:
    """Return the snapshots of a list; one alone is taken as such, never as its letters."""
    return (snapshots,) if isinstance(snapshots, str | Snapshot) else tuple(snapshots)


def _paths(paths: PathLike | Iterable[PathLike]) -> tuple[str, ...]:
    if isinstance(paths, str | os.PathLike):
        return (os.fspath(paths),)
    return tuple(os.fspath(path) for path in paths)
