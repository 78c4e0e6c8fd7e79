"""The one table of exit codes, and which error leads to which.

Here: `ExitCode`, `exit_code_of` for exceptions and `exit_code_of_problems` for reports. Not here: messages
(`failures.py`).

Rules: codes are stable and only ever added; scripts depend on them. They tell what to do next, as the error tree does:
2 mend the call, 3 look at the problems, 10 plug the stick in, 11 try later, 12 supply the right secret, 13 use another
medium. Only what has no such answer is 1. The table is in docs/guide/command.md, and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from ..errors import (
    DamageError,
    InputError,
    InUseError,
    OperationCancelledError,
    RepositoryNotFoundError,
    SecretRequiredError,
    SnapstoreError,
    WrongSecretError,
)
from ..types import Problem


class ExitCode(IntEnum):
    """What the command returns to the shell."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PROBLEMS = 3
    NO_REPOSITORY = 10
    IN_USE = 11
    WRONG_SECRET = 12
    DAMAGE = 13
    INTERRUPTED = 130


RULES: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (RepositoryNotFoundError, ExitCode.NO_REPOSITORY),
    (InUseError, ExitCode.IN_USE),
    (WrongSecretError, ExitCode.WRONG_SECRET),
    (SecretRequiredError, ExitCode.WRONG_SECRET),  # none given and nobody to ask: the same cure as for a wrong one
    (DamageError, ExitCode.DAMAGE),
    (OperationCancelledError, ExitCode.INTERRUPTED),
    (KeyboardInterrupt, ExitCode.INTERRUPTED),
    (InputError, ExitCode.USAGE),
)
"""The first class that fits decides; whatever fits none is FAILED."""

ABSENT_MEDIUM_CODES = frozenset({"medium_not_connected", "other_repository", "store_absent"})
"""Store errors that say what a missing repository says: plug the medium in, the right one."""


DAMAGE_CODES = frozenset(
    {
        "bad_signature",
        "config_conflict",
        "config_missing",
        "content_lost",
        "damage",
        "damaged_blob",
        "damaged_object",
        "damaged_keyset",
        "damaged_slot",
        "damaged_tree",
        "decompression_failed",
        "keyset_contents",
        "keyset_keys_differ",
        "keyset_missing",
        "manifest_removed",
        "missing_blob",
        "missing_object",
        "object_too_short",
        "prune_refused",
        "raw_size_differs",
        "revoked_signer",
        "seal_broken",
        "slot_damaged",
        "station_file_damaged",
        "tampered",
        "undecodable",
        "unknown_signer",
        "verification_failed",
    }
)
"""Every code that an error of the class DamageError can have. A problem in a report has only its error's code left; a
test reads the package's source and fails when one is missing here."""


def exit_code_of(error: BaseException) -> ExitCode:
    """Return the exit code for an exception that ended the command."""
    if isinstance(error, SnapstoreError) and error.code in ABSENT_MEDIUM_CODES:
        return ExitCode.NO_REPOSITORY
    for kind, code in RULES:
        if isinstance(error, kind):
            return code
    return ExitCode.FAILED


def exit_code_of_problems(problems: Iterable[Problem]) -> ExitCode:
    """Return DONE for no problems, DAMAGE if one of them is damage in the repository, else PROBLEMS."""
    codes = {problem.code for problem in problems}
    if not codes:
        return ExitCode.DONE
    return ExitCode.DAMAGE if codes & DAMAGE_CODES else ExitCode.PROBLEMS
