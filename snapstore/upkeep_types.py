"""What forgetting, pruning, checking, repairing and rehearsing take and give.

Here: policies, options, plans and reports, as plain records. Not here: how any of it is decided or done.

Rules: everything a person may want to know is a field, so that the command and an application's window show the same.
Codes are stable; messages are for people. Sizes are bytes as they lie in the store, times aware.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .errors import InputError
from .types import Problem, Snapshot, SnapshotId

# --- forget -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """Which snapshots stay. A snapshot stays if any of these keeps it; a policy that keeps nothing is refused.

    Of each hour, day, ISO week, month or year that has snapshots the newest one is kept, for the last so many of them;
    -1 keeps all of them. Days begin at midnight in the zone that each snapshot was taken in.
    """

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: timedelta | None = None
    """All that are at most so much older than the newest but one: a single wrong clock pushes nothing out."""
    labels: frozenset[str] = frozenset()
    """All that have one of these labels."""

    def __post_init__(self) -> None:
        """Refuse what means nothing. Raises InputError (`invalid_policy`)."""
        for name in _COUNTS:
            if getattr(self, name) < -1:
                raise InputError(f"{name} is a count, or -1 for all.", code="invalid_policy")
        if self.within is not None and self.within < timedelta(0):
            raise InputError("within is a time back from the newest: it cannot be negative.", code="invalid_policy")
        labels: object = self.labels
        if isinstance(labels, str):
            raise InputError("Give the labels as a set of texts.", code="invalid_policy")
        object.__setattr__(self, "labels", frozenset(self.labels))

    @staticmethod
    def preset(name: str) -> RetentionPolicy:
        """Return a policy that suits many: `accounting`, `shop` or `minimal` (docs/guide/space.md).

        Raises InputError (`unknown_preset`).
        """
        try:
            return _PRESETS[name]
        except KeyError:
            known = ", ".join(sorted(_PRESETS))
            raise InputError(f"There is no preset {name!r}. Known: {known}.", code="unknown_preset") from None

    @property
    def empty(self) -> bool:
        """Whether no rule is set."""
        return not (any(getattr(self, name) for name in _COUNTS) or self.within is not None or self.labels)


_COUNTS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
_PRESETS = {
    "accounting": RetentionPolicy(last=3, daily=30, monthly=24, yearly=10),  # books are kept for ten years
    "shop": RetentionPolicy(last=3, daily=30, weekly=12, monthly=12, yearly=2),
    "minimal": RetentionPolicy(last=1, daily=7, weekly=4),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionDecision:
    """One snapshot, and why it stays or goes."""

    snapshot: Snapshot
    keep: bool
    reasons: tuple[str, ...]
    """Such as "last", "daily 2026-11-21", "held", "newest whole one"; of one that goes, "no rule keeps it"."""
    counted_as: datetime
    """Its effective time: its own, or where its clock was wrong that of the next snapshot whose clock was right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetReport:
    """The result of forgetting. The space comes back with a prune."""

    dossier: str
    decisions: tuple[RetentionDecision, ...]
    """Newest first; what is unconfirmed is not among them."""
    forgotten: tuple[Snapshot, ...]
    dry_run: bool
    problems: tuple[Problem, ...] = ()


# --- prune ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneOptions:
    """How much work a prune takes upon itself."""

    max_unused: float = 0.03
    """How much of what is left may be of no use: packs that hold less than that on the whole are left alone."""
    max_repack_bytes: int | None = None
    """At most so many bytes are written anew; the next prune goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunePlan:
    """What a prune would do. Hand it to `Repository.prune`, which looks at everything again before it deletes."""

    packs: int
    stored_bytes: int
    """Of all packs."""
    used_bytes: int
    """Of the blobs that some snapshot needs, each copy that stays counted."""
    delete_packs: int
    delete_bytes: int
    """In packs that nothing needs."""
    repack_packs: int
    repack_bytes: int
    """To be written anew, out of packs of which a part is needed."""
    freed_bytes: int
    """By this prune, when it is done."""
    later_bytes: int
    """Unused, and left for another time: below the threshold, or over the limit."""
    problems: tuple[Problem, ...] = ()
    options: PruneOptions = PruneOptions()
    """What it was made with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneReport:
    """The result of a prune."""

    deleted_packs: int
    freed_bytes: int
    """What the medium gained: what was deleted less what was written."""
    repacked_bytes: int
    later_bytes: int
    """Unused, and left for another time."""
    withdrawn_packs: int
    """Condemned at first, and found to be needed."""
    removed_manifests: int
    """Of this station's runs that died before their snapshot counted."""
    problems: tuple[Problem, ...] = ()


# --- check ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """How much a check reads. With none of it, listings, roots, rosters, indexes and trees' child lists."""

    read_data: bool = False
    """Read packs and compare them with their names and headers."""
    share: float | None = None
    """Of all packs, between 0 and 1: what was read longest ago comes first."""
    max_bytes: int | None = None
    max_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is not as it must be."""

    code: str
    object_name: str
    """Of the object in the store; "" where none is there."""
    message: str
    is_damage: bool = True
    """False for what costs only time or space, such as an index that is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HurtSnapshot:
    """A snapshot that cannot be restored whole from this medium."""

    dossier: str
    """Its name, or the digits of its id where this station is not enrolled."""
    snapshot_id: SnapshotId
    time: datetime | None
    files: tuple[str, ...]
    """Paths that are hurt, as far as the dossier's key was there; at most 1,000."""
    file_count: int
    """Of all hurt files, or 0 where they cannot be named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """The result of a check."""

    whole: bool
    """Whether nothing is damaged or missing, as far as was looked."""
    findings: tuple[Finding, ...]
    hurt: tuple[HurtSnapshot, ...]
    snapshots: int
    packs: int
    objects: int
    """All that were listed."""
    read_bytes: int
    """Of packs, in this check."""
    verified_bytes: int
    """Of packs that are there and were read by this station at some time, this check included."""
    stored_bytes: int
    """Of all packs."""
    oldest_verified: datetime | None
    """When the pack whose last reading is longest ago was read; None if some never was."""
    content: bool
    """Whether the content was opened and its hashes computed, which takes the secret."""
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillReport:
    """The result of a rehearsal: a random sample was restored and looked at."""

    snapshot: Snapshot
    files: int
    total_bytes: int
    differing: tuple[str, ...]
    """Files that did not come back as the snapshot says."""
    databases: int
    """SQLite files that were opened read-only and found to be in order."""
    broken_databases: tuple[str, ...]
    whole: bool
    problems: tuple[Problem, ...] = ()


# --- repair -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairStep:
    """One thing that a repair would do."""

    code: str
    """`quarantine`, `rebuild_index`, `restore_copy`, `heal_pack`, `heal_blob`, `remove_damaged`."""
    object_name: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairPlan:
    """What a repair would do. Hand it to `Repository.repair`."""

    steps: tuple[RepairStep, ...]
    unhealable: tuple[Finding, ...]
    hurt: tuple[HurtSnapshot, ...]
    """Snapshots that stay hurt."""
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairReport:
    """The result of a repair."""

    done: tuple[RepairStep, ...]
    failed: tuple[Finding, ...]
    added_bytes: int
    hurt: tuple[HurtSnapshot, ...]
    problems: tuple[Problem, ...] = ()


# --- parity -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityReport:
    """The result of adding parity to packs that have none."""

    packs: int
    """That have parity now."""
    added: int
    added_bytes: int
    problems: tuple[Problem, ...] = field(default=())
