"""Whether all that is recorded of a dossier is understood: else nothing of it is forgotten.

Here: `refuse_unread`. Not here: which snapshots are held or forgotten (`operations.records`).

Rules: a mandatory record of a type that this version does not know may say that something must stay; so may one that
cannot be read, unless a quarantine record names it. What no station of the dossier signed counts for nothing.
"""

from __future__ import annotations

from typing import Final

from ...errors import DamagedObjectError, NotEnrolledError, SnapstoreError, UnsupportedFormatError
from ...format.record import RecordType
from ...types import Problem
from ..context import DossierContext
from ..history import History
from ..records import signed_records

_NOBODYS: Final = frozenset({"unknown_signer", "tampered"})


def refuse_unread(dossier: DossierContext, history: History) -> None:
    """Raise UnsupportedFormatError, DamagedObjectError or NotEnrolledError for a record that may forbid to forget."""
    problems: list[Problem] = []
    passed_over: set[str] = set()
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
            names = record.facts.payload[0]
            assert isinstance(names, list)  # opening checked it
            passed_over.update(names)
    for problem in problems:
        if problem.code not in _NOBODYS and problem.path not in passed_over:
            raise _refusal(problem)


def _refusal(problem: Problem) -> SnapstoreError:
    message = f"{problem.path} cannot be read, and it may say what has to stay: nothing was forgotten. "
    if problem.code == "newer_keys":
        return NotEnrolledError(message + problem.message, code=problem.code)
    if problem.code.startswith("unsupported"):
        return UnsupportedFormatError(message + "Update snapstore.", code=problem.code)
    cure = "Bring it back from a copy with: snapstore repair; or pass it over with: snapstore repair --quarantine."
    return DamagedObjectError(message + cure, object_name=problem.path)
