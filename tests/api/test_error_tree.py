"""The tree of errors: what the docstring of `snapstore.errors` draws is what there is, and codes are only ever added.

Applications switch on `code` to translate messages. A code that vanished or changed would silently become a message
nobody translated, so the codes are pinned here: lines may be added to the list, never taken away.
"""

from __future__ import annotations

import inspect
import re

import pytest

from snapstore import errors

PINNED_CODES = {
    "AccessError": "access",
    "AmbiguousError": "ambiguous",
    "BrokenWriterError": "broken_writer",
    "DamageError": "damage",
    "DamagedObjectError": "damaged_object",
    "DossierExistsError": "dossier_exists",
    "DossierNotFoundError": "dossier_not_found",
    "EntryNotFoundError": "entry_not_found",
    "InUseError": "in_use",
    "InputError": "invalid_input",
    "MissingObjectError": "missing_object",
    "NotEnrolledError": "not_enrolled",
    "NotFoundError": "not_found",
    "ObjectNotFoundError": "object_not_found",
    "OperationCancelledError": "cancelled",
    "RepositoryExistsError": "repository_exists",
    "RepositoryNotFoundError": "repository_not_found",
    "SecretRequiredError": "secret_required",
    "SecretTooShortError": "secret_too_short",
    "SnapshotNotFoundError": "snapshot_not_found",
    "SnapstoreError": "error",
    "SourceEmptyError": "source_empty",
    "SourceError": "source",
    "SourceMissingError": "source_missing",
    "StationRevokedError": "station_revoked",
    "StationStateError": "station_state",
    "StoreError": "store_error",
    "StoreFullError": "store_full",
    "StorePermissionError": "store_permission",
    "StoreUnavailableError": "store_unavailable",
    "TamperedError": "tampered",
    "PruneRefusedError": "prune_refused",
    "TargetError": "target",
    "TargetNotEmptyError": "target_not_empty",
    "UnsupportedFormatError": "unsupported_format",
    "WrongSecretError": "wrong_secret",
}


def classes() -> dict[str, type[errors.SnapstoreError]]:
    return {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.SnapstoreError)
    }


def drawn_tree() -> dict[str, str | None]:
    """Return name to parent's name, as the docstring draws it."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    ((?:\|   |    )*)(?:\|-- |`-- )?([A-Z]\w+Error)\b", line)
        if match is None:
            continue
        depth = 0 if match[2] == "SnapstoreError" else 1 + len(match[1]) // 4
        del path[depth:]
        parents[match[2]] = path[-1] if path else None
        path.append(match[2])
    return parents


def test_the_drawing_is_the_tree() -> None:
    real = {
        name: None
        if value is errors.SnapstoreError
        else next(b for b in value.__bases__ if b in classes().values()).__name__
        for name, value in classes().items()
    }
    assert drawn_tree() == real


def test_codes_are_those_that_were_given_once() -> None:
    codes = {name: value.default_code for name, value in classes().items()}
    assert {name: codes.get(name) for name in PINNED_CODES} == PINNED_CODES
    assert codes.keys() - PINNED_CODES.keys() == set(), "pin the codes of new classes here"


def test_codes_are_unique_and_own() -> None:
    codes = [value.default_code for value in classes().values()]
    assert len(codes) == len(set(codes))
    assert [name for name, value in classes().items() if "default_code" not in vars(value)] == []


@pytest.mark.parametrize("name", sorted(PINNED_CODES))
def test_an_error_has_a_message_and_a_code(name: str) -> None:
    error_class = classes()[name]
    assert str(error_class("what happened, and what to do")) == "what happened, and what to do"
    assert error_class("x").code == error_class.default_code
    assert error_class("x", code="more_exact").code == "more_exact"
    assert (error_class.__doc__ or "").strip()


def test_familiar_bases_are_kept() -> None:
    assert issubclass(errors.InputError, ValueError)
    assert issubclass(errors.NotFoundError, LookupError)
    assert issubclass(errors.ObjectNotFoundError, LookupError)


def test_a_wrong_secret_is_no_damage_and_no_damage_is_a_new_format() -> None:
    assert not issubclass(errors.WrongSecretError, errors.DamageError)
    assert not issubclass(errors.UnsupportedFormatError, errors.DamageError)


def test_store_errors_say_whether_to_try_again() -> None:
    assert errors.StoreUnavailableError("x").retryable
    assert not errors.StoreFullError("x").retryable
    assert errors.StoreError("x", retryable=True).retryable


def test_damage_names_its_object() -> None:
    assert errors.DamagedObjectError("x", object_name="packs/a/b").object_name == "packs/a/b"
