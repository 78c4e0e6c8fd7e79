"""Whether all that is recorded of a dossier is understood: else nothing of it is forgotten.

Here: `refuse_unread`, `read_all_records`. Not here: which snapshots are held or forgotten (`operations.records`).

Rules: a mandatory record of a type that this version does not know may say that something must stay; so may one that
cannot be read, unless a quarantine record names it. What no station of the dossier signed counts for nothing.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Final

from ...errors import DamagedObjectError, NotEnrolledError, SnapstoreError, UnsupportedFormatError
from ...format.record import RecordType
from ...types import Problem
from ..context import DossierContext
from ..history import History
from ..records import ReadRecords, read_records, set_aside_by, signed_records

_NOBODYS: Final = frozenset({"unknown_signer", "revoked_signer", "tampered"})


def refuse_unread(dossier: DossierContext, history: History) -> None:
    """Raise UnsupportedFormatError, DamagedObjectError or NotEnrolledError for a record that may forbid to forget."""
    # A place that could be read only now may have kept a hold from the history.
    problems = [item for item in history.problems if item.path.startswith("records/")]
    set_aside: set[str] = set()
    for record in signed_records(dossier, None, history.stations, problems):
        if record.signer.last_number is not None:
            continue
        if record.blocks:
            raise UnsupportedFormatError(
                f"{record.name} says something that this version does not know and has to obey: nothing was forgotten. "
                "Update snapstore.",
                code="unknown_record",
            )
        if record.type == RecordType.QUARANTINE:
            set_aside.update(set_aside_by(record))
    _refuse(problems, set_aside)


def read_all_records(dossier: DossierContext, history: History) -> ReadRecords:
    """Return what records say by now. Raises as `refuse_unread` if one of them cannot be read."""
    problems: list[Problem] = []
    records = read_records(dossier, history.stations, problems)
    _refuse(problems, records.set_aside)
    return records


def _refuse(problems: Iterable[Problem], set_aside: Container[str]) -> None:
    for problem in problems:
        if problem.code not in _NOBODYS and problem.path not in set_aside:
            raise _refusal(problem)


def _refusal(problem: Problem) -> SnapstoreError:
    message = f"{problem.path} cannot be read, and it may say what has to stay. "
    if problem.code == "newer_keys":
        return NotEnrolledError(message + problem.message, code=problem.code)
    if problem.code.startswith("unsupported"):
        return UnsupportedFormatError(message + "Update snapstore.", code=problem.code)
    cure = "Bring it back from a copy with: snapstore repair; or pass it over with: snapstore repair --quarantine."
    return DamagedObjectError(message + cure, object_name=problem.path)
