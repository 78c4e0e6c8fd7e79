"""The whole exception tree. Nothing here imports anything of the package.

Grouped by what the caller does next, not by where the error arose:

    SnapstoreError
    |-- InputError                     the call is wrong: mend the argument and call again
    |   |-- SecretTooShortError        a secret has fewer than 8 code points
    |   |-- AmbiguousError             a prefix or a secret fits several things: name one
    |   `-- DossierExistsError         the name is taken
    |-- NotFoundError                  what was named is not there
    |   |-- RepositoryNotFoundError
    |   |-- DossierNotFoundError
    |   |-- SnapshotNotFoundError
    |   `-- EntryNotFoundError         no such path in the snapshot
    |-- RepositoryExistsError          init on a place that already holds a repository
    |-- AccessError                    a key is missing: ask for the secret, or enrol
    |   |-- SecretRequiredError        this needs the secret and none was given
    |   |-- WrongSecretError           the secret opens no dossier here
    |   |-- NotEnrolledError           this station has no keys for the repository or dossier
    |   `-- StationRevokedError        this station was revoked and may not write
    |-- DamageError                    bytes are not what they were: restore from another medium
    |   |-- DamagedObjectError         an object is truncated, altered or not decodable
    |   |-- MissingObjectError         an object that is referred to is not there
    |   |-- TamperedError              valid bytes in the wrong place, or signed by nobody known
    |   `-- PruneRefusedError          something cannot be read, so nothing is deleted: check, then repair
    |-- UnsupportedFormatError         written by a newer snapstore: update the program
    |-- StoreError                     the storage failed; `retryable` says whether to try again
    |   |-- StoreUnavailableError      not reachable, or an I/O error
    |   |-- StoreFullError             no space left
    |   |-- StorePermissionError       not allowed, or read-only
    |   `-- ObjectNotFoundError        the store has no object of that name
    |-- SourceError                    nothing sensible to save
    |   |-- SourceMissingError         a source path does not exist
    |   `-- SourceEmptyError           a source that had files is empty now
    |-- TargetError                    the restore target cannot be used
    |   `-- TargetNotEmptyError        it has files and `overwrite` was not asked for
    |-- StationStateError              this station's own folder cannot be used: make room, or mend its permissions
    |-- InUseError                     another program works with this now: try again later
    |-- OperationCancelledError        the caller's own cancel; nothing is half-done
    `-- BrokenWriterError              a writer that failed once refuses to go on

Every class has a default `code`; an instance may carry a more exact one. Codes are stable and only ever added:
applications switch on them to translate messages. A message names what failed and where, and what to do about it.
Messages never contain secrets, keys, or plaintext of a dossier other than paths the caller gave.
"""

from __future__ import annotations

from typing import ClassVar


class SnapstoreError(Exception):
    """Base of all errors raised on purpose.

    `code` is stable and meant for programs; `str(error)` is one or two English sentences for people.
    """

    default_code: ClassVar[str] = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code: str = code if code is not None else self.default_code


class InputError(SnapstoreError, ValueError):
    """An argument is unusable. Nothing was read or written."""

    default_code = "invalid_input"


class SecretTooShortError(InputError):
    """A secret has fewer than 8 code points after normalisation (NFKC)."""

    default_code = "secret_too_short"


class AmbiguousError(InputError):
    """A prefix, or a secret, fits more than one snapshot or dossier."""

    default_code = "ambiguous"


class DossierExistsError(InputError):
    """A dossier of that name is already in the repository."""

    default_code = "dossier_exists"


class NotFoundError(SnapstoreError, LookupError):
    """Something that was named does not exist."""

    default_code = "not_found"


class RepositoryNotFoundError(NotFoundError):
    """There is no repository at that address."""

    default_code = "repository_not_found"


class DossierNotFoundError(NotFoundError):
    """No dossier of that name is known to this station."""

    default_code = "dossier_not_found"


class SnapshotNotFoundError(NotFoundError):
    """No snapshot of the dossier fits."""

    default_code = "snapshot_not_found"


class EntryNotFoundError(NotFoundError):
    """The snapshot holds nothing at that path."""

    default_code = "entry_not_found"


class RepositoryExistsError(SnapstoreError):
    """`init` was asked for where a repository already is. It was left as it is."""

    default_code = "repository_exists"


class AccessError(SnapstoreError):
    """A key is missing for what was asked."""

    default_code = "access"


class SecretRequiredError(AccessError):
    """The operation needs the dossier's secret and none was given."""

    default_code = "secret_required"


class WrongSecretError(AccessError):
    """The secret opens no dossier here. Never raised for damage."""

    default_code = "wrong_secret"


class NotEnrolledError(AccessError):
    """This station holds no keys for the repository or the dossier; `unlock` with the secret enrols it."""

    default_code = "not_enrolled"


class StationRevokedError(AccessError):
    """The dossier's keyset says that this station may no longer write."""

    default_code = "station_revoked"


class DamageError(SnapstoreError):
    """Stored bytes are not what was written. `object_name` is the object's full name, where it is known."""

    default_code = "damage"

    def __init__(self, message: str, *, code: str | None = None, object_name: str | None = None) -> None:
        super().__init__(message, code=code)
        self.object_name = object_name


class DamagedObjectError(DamageError):
    """An object is truncated, altered, or does not decode."""

    default_code = "damaged_object"


class MissingObjectError(DamageError):
    """An object that another one refers to is not in the store."""

    default_code = "missing_object"


class TamperedError(DamageError):
    """Bytes are whole but do not belong here: another repository's, an older one's, or an unknown signer's."""

    default_code = "tampered"


class PruneRefusedError(DamageError):
    """A prune met something that it cannot read or that was taken away; it deleted nothing after that."""

    default_code = "prune_refused"


class UnsupportedFormatError(SnapstoreError):
    """A newer format or feature than this version knows. Nothing is damaged; update snapstore."""

    default_code = "unsupported_format"


class StoreError(SnapstoreError):
    """The storage failed. `retryable` says whether the same call may succeed later without anybody's help."""

    default_code = "store_error"
    default_retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, code: str | None = None, retryable: bool | None = None) -> None:
        super().__init__(message, code=code)
        self.retryable = self.default_retryable if retryable is None else retryable


class StoreUnavailableError(StoreError):
    """The store could not be reached, or the device reported an I/O error."""

    default_code = "store_unavailable"
    default_retryable = True


class StoreFullError(StoreError):
    """No space is left on the medium or server."""

    default_code = "store_full"


class StorePermissionError(StoreError):
    """Access was refused, or the medium is read-only."""

    default_code = "store_permission"


class ObjectNotFoundError(StoreError, LookupError):
    """The store holds no object of that name."""

    default_code = "object_not_found"


class SourceError(SnapstoreError):
    """The sources give nothing that should be saved."""

    default_code = "source"


class SourceMissingError(SourceError):
    """A source path does not exist."""

    default_code = "source_missing"


class SourceEmptyError(SourceError):
    """A source is empty although the last snapshot has files of it: perhaps a drive is not mounted."""

    default_code = "source_empty"


class TargetError(SnapstoreError):
    """The target of a restore cannot be used."""

    default_code = "target"


class TargetNotEmptyError(TargetError):
    """The target folder has something in it and overwriting was not asked for."""

    default_code = "target_not_empty"


class StationStateError(SnapstoreError):
    """The folder in which this station keeps keys, caches and packs being built is full, read-only or unreadable."""

    default_code = "station_state"


class InUseError(SnapstoreError):
    """Another program is working with what was named."""

    default_code = "in_use"


class OperationCancelledError(SnapstoreError):
    """The caller cancelled. The repository is good, and running again goes on from what was stored."""

    default_code = "cancelled"


class BrokenWriterError(SnapstoreError):
    """A writer was used after it had failed. The first error is the one to look at."""

    default_code = "broken_writer"
