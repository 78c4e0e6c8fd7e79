"""Repository: what an application opens.

Here: a facade whose methods only pass on what they are given. Not here: how one gets there (entrance.py), what is done
with one dossier (dossier.py), and any work.

Rules: operations are imported when they are first called. Objects may be used from several threads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..progress import Cancel, Progress
from ..types import CopyMode, CopyReport, DossierInfo, MediumId, Problem, RepositoryId
from ..upkeep_types import (
    CheckOptions,
    CheckReport,
    ParityReport,
    PruneOptions,
    PrunePlan,
    PruneReport,
    RepairPlan,
    RepairReport,
)
from .dossier import Dossier, PathLike, place_of_copy

if TYPE_CHECKING:
    from ..operations.context import RepositoryContext
    from ..operations.repair import RepairRequest
    from ..stores.options import StoreOptions


class Repository:
    """A repository that was made by `init` or opened by `open`. A context manager."""

    def __init__(self, context: RepositoryContext) -> None:
        """For `snapstore.init` and `snapstore.open`, which callers use."""
        self._context = context

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Repository({self.url!r})"

    @property
    def url(self) -> str:
        """The address, fit to be printed: without passwords."""
        return self._context.store.url

    @property
    def id(self) -> RepositoryId:
        """16 bytes; the same on every copy of the repository."""
        return self._context.config.repository_id

    @property
    def medium_id(self) -> MediumId:
        """16 bytes; another one on every copy of the repository."""
        return self._context.config.medium_id

    @property
    def protected(self) -> bool:
        """Whether every dossier has a secret."""
        return self._context.config.protected

    @property
    def shared(self) -> bool:
        """Whether dossiers share the storage of large equal files."""
        return self._context.config.sharing

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What opening found and did not stop at, such as one of several configuration objects being damaged."""
        return tuple(self._context.problems)

    def create_dossier(self, name: str, *, secret: str | None = None) -> Dossier:
        """Make a dossier, with a secret of at least 8 characters in a protected repository and none in another.

        Losing the secret means losing the data. Raises SecretRequiredError, SecretTooShortError, DossierExistsError,
        InputError, NotEnrolledError if this station neither made the repository nor is enrolled in a dossier of it.
        """
        from ..operations import new_dossier

        return Dossier(self, new_dossier.create_dossier(self._context, name, secret), None)

    def dossier(self, name: str) -> Dossier:
        """Return a dossier of this station. Raises DossierNotFoundError, NotEnrolledError, DamagedObjectError."""
        from ..operations import dossiers

        return Dossier(self, dossiers.find_dossier(self._context, name), None)

    def dossiers(self) -> tuple[DossierInfo, ...]:
        """Return every dossier in the repository, named where this station is enrolled. Raises DamagedObjectError."""
        from ..operations import dossiers

        return dossiers.list_dossiers(self._context, self._context.problems)

    def unlock(self, secret: str, *, dossier: str | None = None) -> Dossier:
        """Find the dossier that the secret (or recovery code) opens, enrol this station, and return it unlocked.

        Takes the same time whatever the count of dossiers. Raises WrongSecretError, AmbiguousError if the secret opens
        several and `dossier` does not name one, DamagedObjectError.
        """
        from ..operations import dossiers

        context, private = dossiers.unlock(self._context, secret, dossier)
        return Dossier(self, context, private)

    def remove_dossier(self, name: str, *, secret: str | None = None) -> None:
        """Remove a dossier with all its snapshots from this medium, for ever. Needs the secret in a protected
        repository.

        The space comes back with a prune. Raises as `dossier` and SecretRequiredError, WrongSecretError.
        """
        from ..operations import dossiers

        dossiers.remove_dossier(dossiers.find_dossier(self._context, name), secret)

    def copy_to(
        self,
        to: PathLike | Repository,
        *,
        mode: CopyMode | str | None = None,
        options: StoreOptions | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> CopyReport:
        """Copy all confirmed snapshots of all dossiers to another medium, those that it lacks.

        Where `to` is a twin of this repository, blobs go as they are and no secret is needed; `mode="twin"` makes one
        if nothing is there. For another repository see `Dossier.copy_to`. `options` say how `to` is reached.
        Interrupted, the next run goes on. Snapshots that are damaged are in the report's `problems`.

        Raises RepositoryNotFoundError, NotEnrolledError, SecretRequiredError, InputError, OperationCancelledError.
        """
        from ..operations.copy import CopyRequest, copy_repository
        from ..operations.meter import Meter

        request = CopyRequest(to=place_of_copy(to), mode=mode, options=options, dry_run=dry_run)
        return copy_repository(self._context, request, Meter(progress, cancel))

    def check(
        self,
        options: CheckOptions | None = None,
        *,
        secret: str | None = None,
        dossier: str | None = None,
        record: bool = True,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> CheckReport:
        """Look whether everything is there and what it was; `options` say how much is read.

        Needs no secret, and looks at dossiers too in which this station is not enrolled. With a `secret` the snapshots
        of the dossiers that it opens (or of the one named) are opened and every hash in them is computed anew. Damage
        is in the report and ends nothing. Nothing is written but a signed record of the result (`record=False`: none).

        Raises NotEnrolledError, WrongSecretError, StoreError, OperationCancelledError.
        """
        from ..operations import dossiers
        from ..operations.check import CheckRequest, check_repository
        from ..operations.meter import Meter

        private = dossiers.open_all(self._context, secret, dossier)
        request = CheckRequest(options=options or CheckOptions(), private=private, record=record)
        return check_repository(self._context, request, Meter(progress, cancel))

    def plan_prune(
        self,
        options: PruneOptions | None = None,
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> PrunePlan:
        """Say what a prune would delete and write anew. Nothing is changed. Raises as `prune`."""
        from ..operations import prune
        from ..operations.meter import Meter

        return prune.plan_prune(self._context, prune.options_of(None, options), Meter(progress, cancel))

    def prune(
        self,
        plan: PrunePlan | None = None,
        *,
        options: PruneOptions | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> PruneReport:
        """Delete what no snapshot needs, of all dossiers. Others may go on writing meanwhile. Needs no secret.

        `plan` says with what options; everything is looked at again. Interrupted, the next prune goes on.

        Raises PruneRefusedError for what cannot be read or was taken away, NotEnrolledError, UnsupportedFormatError,
        StoreError, OperationCancelledError.
        """
        from ..operations import prune
        from ..operations.meter import Meter

        return prune.prune(self._context, prune.options_of(plan, options), Meter(progress, cancel))

    def plan_repair(
        self,
        *,
        twin: PathLike | Repository | None = None,
        sources: Iterable[PathLike] = (),
        quarantine: Iterable[str] = (),
        options: StoreOptions | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> RepairPlan:
        """Read everything and say what can be mended, and what cannot. Nothing is changed. Needs no secret.

        Healed is from parity, from what is left, from `twin` (another medium of this repository; `options` say how it
        is reached) and from `sources`, folders that snapshots of this station have saved. `quarantine` names objects
        that cannot be read and shall count as absent. Raises NotEnrolledError, InputError, StoreError.
        """
        from ..operations.meter import Meter
        from ..operations.repair import plan_repair

        request = _repair_request(twin, sources, quarantine, options)
        return plan_repair(self._context, request, Meter(progress, cancel))

    def repair(  # noqa: PLR0913 - each is a wish of its own, and all but the plan have a default
        self,
        plan: RepairPlan,
        *,
        twin: PathLike | Repository | None = None,
        sources: Iterable[PathLike] = (),
        quarantine: Iterable[str] = (),
        options: StoreOptions | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> RepairReport:
        """Do what `plan_repair` gave, with the same arguments. What still applies is done, and what fails is told.

        Interrupted, or where something is left, plan again. Raises as `plan_repair`."""
        from ..operations.meter import Meter
        from ..operations.repair import repair

        request = _repair_request(twin, sources, quarantine, options)
        return repair(self._context, plan, request, Meter(progress, cancel))

    def add_parity(self, *, progress: Progress | None = None, cancel: Cancel | None = None) -> ParityReport:
        """Store parity for all packs that have none, and delete that of packs that are gone. Needs no secret.

        From then on new packs get parity too. Damaged packs get none and are in the report's `problems`. Interrupted,
        the next run goes on. Raises UnsupportedFormatError, StoreError, OperationCancelledError.
        """
        from ..operations.meter import Meter
        from ..operations.parity import add_parity

        return add_parity(self._context, Meter(progress, cancel))

    def lend_config_to(self, medium: PathLike, *, options: StoreOptions | None = None) -> None:
        """Give another medium of this repository, which has lost its configuration, a new one: then it opens again.

        It has a new medium id from then on. Raises InputError where a whole configuration is, or where nothing shows
        that the medium is of this repository; StoreError. Repair it next, and copy to it.
        """
        from ..operations.repair import lend_config

        lend_config(self._context, medium, options)

    def close(self) -> None:
        """Let go of the store. Closing twice does no harm."""
        self._context.close()


def _repair_request(
    twin: PathLike | Repository | None,
    sources: Iterable[PathLike],
    quarantine: Iterable[str],
    options: StoreOptions | None,
) -> RepairRequest:
    from ..operations.repair import RepairRequest

    return RepairRequest(
        twin=None if twin is None else place_of_copy(twin),
        options=options,
        sources=tuple(os.fspath(source) for source in sources),
        quarantine=tuple(quarantine),
    )
