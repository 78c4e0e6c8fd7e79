"""What the parts of one snapshot share.

Here: the record, its making and the running counts. Not here: any step.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ...blobs.packer import PackWriter
from ...blobs.saver import BlobSaver
from ...chunking.choose import CutterSet, make_cutters
from ...crypto.derivation import derive
from ...format.config import ChunkingParameters
from ...limits import PROBLEMS_KEPT
from ...sources.excludes import ExcludeRules
from ...sources.scanned import ScannedEntry
from ...stores.watched import watched
from ...types import Problem
from ..context import DossierContext
from ..meter import Meter
from ..parity import new_sidecars
from .pipeline import Pipeline
from .reuse import OwnCounts, Previous


@dataclass(slots=True)
class Counts:
    """What was found so far."""

    files: int = 0
    directories: int = 0
    others: int = 0
    total_bytes: int = 0
    files_new: int = 0
    files_changed: int = 0
    files_unchanged: int = 0
    raw_bytes_read: int = 0
    reused: bool = False
    """Something was taken from the last snapshot without looking up each blob."""

    def take(self, own: OwnCounts) -> None:
        """Add what is in a folder itself."""
        self.files += own.files
        self.others += own.others
        self.total_bytes += own.bytes


@dataclass(slots=True)
class Job:
    """One walk over the sources."""

    saver: BlobSaver
    pipeline: Pipeline
    rules: ExcludeRules
    parameters: ChunkingParameters
    cutters: CutterSet
    node_cut_key: bytes
    bundle_cut_key: bytes
    sharing: bool
    previous: Previous
    meter: Meter
    counts: Counts = field(default_factory=Counts)
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0
    own_folders: frozenset[tuple[int, int]] = frozenset()
    """Device and inode of the repository's and the station's own folders, which are never saved."""
    links: dict[tuple[int, ...], bytes] = field(default_factory=dict)
    """`link_key` of every file with several names, to the path of the first."""
    source_entries: dict[str, int] = field(default_factory=dict)
    now_ns: int = field(default_factory=time.time_ns)

    def withdraw_first(self, scanned: ScannedEntry, path: bytes) -> None:
        """Take back that a file with several names is saved at `path`: it could not be read there."""
        key = link_key(scanned)
        if self.links.get(key) == path:
            del self.links[key]

    def report(self, *problems: Problem) -> None:
        """Take note of problems; all are counted, the first thousand kept."""
        for problem in problems:
            self.problem_count += 1
            if len(self.problems) < PROBLEMS_KEPT:
                self.problems.append(problem)
        self.meter.problems = self.problem_count


def new_job(dossier: DossierContext, saver: BlobSaver, previous: Previous, rules: ExcludeRules, meter: Meter) -> Job:
    """Return a job that cuts as the dossier's repository does."""
    context = dossier.repository
    parameters, chunker = context.config.chunking, dossier.epoch_keys()[0].chunker
    return Job(
        saver=saver,
        pipeline=Pipeline(saver),
        rules=rules,
        parameters=parameters,
        cutters=make_cutters(
            gear_key=derive(chunker, "chunker gear table"),
            page_chunk=parameters.page_chunk_bytes,
            fine_target=parameters.fine_target_bytes,
            coarse_target=parameters.coarse_target_bytes,
            page_extensions=parameters.page_extensions,
        ),
        node_cut_key=derive(chunker, "chunker node cut"),
        bundle_cut_key=derive(chunker, "chunker bundle cut"),
        sharing=context.config.sharing,
        previous=previous,
        meter=meter,
        own_folders=context.own_folders(),
    )


def new_packs(dossier: DossierContext, saver: BlobSaver, *, parity: bool | None = None) -> PackWriter:
    """Return the writer of a snapshot's packs, which watches the room that is left for them.

    `parity` says whether packs get sidecars; None leaves it to the rule (`operations.parity`)."""
    context = dossier.repository
    store = watched(context.store)
    return PackWriter(
        store,
        dossier.epoch_keys()[0].maintenance_keys,
        context.config.repository_id,
        context.state.spool(),
        on_pack=saver.on_pack,
        sidecars=new_sidecars(store, wanted=parity),
    )


def link_key(scanned: ScannedEntry) -> tuple[int, ...]:
    """Return what two names of one file have in common. The inode alone may have become another file's meanwhile."""
    return scanned.device, scanned.inode, scanned.size, scanned.mtime_ns, scanned.ctime_ns
