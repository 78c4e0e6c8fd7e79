"""Copying snapshots from one repository to another.

Here, from the outside in: this module (which dossiers and snapshots, and which kind of copy), `destination` (opening or
making it), `twin` with `sealed` and `sending` (blobs as they are, without a secret, by `operations.reach`), and
`independent` with `replay` and `contents` (everything sealed anew). `request` holds what they share.

Rules: a snapshot counts as copied only after its copy in ok/ is there (docs/format/11-protocol.md). An interruption
leaves both sides good, and the next run goes on. The source is only read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from ...errors import InputError, SecretRequiredError
from ...format.keyset import PrivateHalves
from ...stores.protocol import settled
from ...types import CopyMode, CopyReport, Problem, Snapshot
from ..clones import see_medium
from ..context import DossierContext, RepositoryContext
from ..dossiers import list_dossiers, open_private
from ..history import ReadManifest
from ..listing import find_manifest
from ..meter import Meter
from .destination import Destination, opened_destination
from .independent import UnlockedDossier, copy_sealed_anew
from .request import CopyRequest, CopyTally
from .sealed import sealed_dossiers
from .twin import copy_to_twin

__all__ = ["CopyRequest", "copy_dossier", "copy_repository"]


def copy_repository(source: RepositoryContext, request: CopyRequest, meter: Meter) -> CopyReport:
    """Copy all confirmed snapshots of all dossiers.

    Raises InputError, RepositoryNotFoundError, NotEnrolledError, SecretRequiredError, StoreError, DamageError,
    OperationCancelledError."""

    def copy(destination: Destination, tally: CopyTally) -> None:
        if destination.mode is CopyMode.TWIN:
            problems: list[Problem] = []
            dossiers = sealed_dossiers(source, problems)
            tally.report_problem(*problems)
            copy_to_twin(dossiers, None, destination.context, tally)
            return
        if source.config.protected:
            raise SecretRequiredError(
                "What goes into another repository is sealed anew, which needs the secret of each dossier: "
                "copy one dossier after the other."
            )
        assert destination.context is not None
        for info in list_dossiers(source):
            dossier = DossierContext(source, info.id, source.held_keys().dossiers[info.id])
            unlocked = UnlockedDossier(dossier, open_private(dossier, None).private)
            copy_sealed_anew(unlocked, None, destination.context, request.new_secret, tally)

    return _run(source, request, meter, copy)


def copy_dossier(
    dossier: DossierContext,
    snapshots: Sequence[Snapshot | str],
    private: PrivateHalves | None,
    request: CopyRequest,
    meter: Meter,
) -> CopyReport:
    """Copy all confirmed snapshots of one dossier, or those named, confirmed or not. Raises as `copy_repository`."""
    wanted = _named(dossier, snapshots) if snapshots else None

    def copy(destination: Destination, tally: CopyTally) -> None:
        if destination.mode is CopyMode.TWIN:
            chosen = None if wanted is None else {dossier.id: wanted}
            copy_to_twin([dossier], chosen, destination.context, tally)
            return
        if private is None:
            raise SecretRequiredError(
                f"What goes into another repository is sealed anew, which needs the secret of the dossier "
                f"{dossier.pin.name!r}. Type it and try again."
            )
        assert destination.context is not None
        unlocked = UnlockedDossier(dossier, private)
        copy_sealed_anew(unlocked, wanted, destination.context, request.new_secret, tally)

    return _run(dossier.repository, request, meter, copy)


def _run(
    source: RepositoryContext, request: CopyRequest, meter: Meter, copy: Callable[[Destination, CopyTally], None]
) -> CopyReport:
    """Open the destination and copy. The destination is settled last, so that "may be unplugged" holds."""
    see_medium(source)
    with meter.ending_waits(source.store), opened_destination(source, request) as destination:
        tally = CopyTally(
            meter=meter,
            mode=destination.mode,
            created=destination.created and not request.dry_run,
            dry_run=request.dry_run,
        )
        context = destination.context
        with contextlib.nullcontext() if context is None else meter.ending_waits(context.store):
            copy(destination, tally)
        if context is not None and not request.dry_run:
            tally.safe_to_unplug = settled(context.store)
        return tally.report()


def _named(dossier: DossierContext, snapshots: Sequence[Snapshot | str]) -> list[ReadManifest]:
    """Return the manifests that were named, each once, oldest first."""
    if isinstance(snapshots, str):
        raise InputError("Name the snapshots in a list.")
    found = {item.sealed.snapshot_id: item for item in (find_manifest(dossier, wanted) for wanted in snapshots)}
    return sorted(found.values(), key=lambda item: (item.facts.number, item.facts.time_ns, item.sealed.snapshot_id))
