"""snapstore: encrypted, deduplicated snapshots of what cannot be lost, for applications to embed.

    import snapstore

    with snapstore.init("E:/backup") as repository:
        dossier = repository.create_dossier("Martin", secret="correct horse")
        dossier.snapshot("C:/Shop/Martin")
        dossier.restore("latest", to="C:/Shop/Martin (restored)", secret="correct horse")

Here: the public names and nothing else. Importing loads none of them; each is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from .errors import (
        AccessError as AccessError,
    )
    from .errors import (
        AmbiguousError as AmbiguousError,
    )
    from .errors import (
        BrokenWriterError as BrokenWriterError,
    )
    from .errors import (
        DamagedObjectError as DamagedObjectError,
    )
    from .errors import (
        DamageError as DamageError,
    )
    from .errors import (
        DossierExistsError as DossierExistsError,
    )
    from .errors import (
        DossierNotFoundError as DossierNotFoundError,
    )
    from .errors import (
        EntryNotFoundError as EntryNotFoundError,
    )
    from .errors import (
        InputError as InputError,
    )
    from .errors import (
        InUseError as InUseError,
    )
    from .errors import (
        MissingObjectError as MissingObjectError,
    )
    from .errors import (
        NotEnrolledError as NotEnrolledError,
    )
    from .errors import (
        NotFoundError as NotFoundError,
    )
    from .errors import (
        ObjectNotFoundError as ObjectNotFoundError,
    )
    from .errors import (
        OperationCancelledError as OperationCancelledError,
    )
    from .errors import (
        RepositoryExistsError as RepositoryExistsError,
    )
    from .errors import (
        RepositoryNotFoundError as RepositoryNotFoundError,
    )
    from .errors import (
        SecretRequiredError as SecretRequiredError,
    )
    from .errors import (
        SecretTooShortError as SecretTooShortError,
    )
    from .errors import (
        SnapshotNotFoundError as SnapshotNotFoundError,
    )
    from .errors import (
        SnapstoreError as SnapstoreError,
    )
    from .errors import (
        SourceEmptyError as SourceEmptyError,
    )
    from .errors import (
        SourceError as SourceError,
    )
    from .errors import (
        SourceMissingError as SourceMissingError,
    )
    from .errors import (
        StationRevokedError as StationRevokedError,
    )
    from .errors import (
        StoreError as StoreError,
    )
    from .errors import (
        StoreFullError as StoreFullError,
    )
    from .errors import (
        StorePermissionError as StorePermissionError,
    )
    from .errors import (
        StoreUnavailableError as StoreUnavailableError,
    )
    from .errors import (
        TamperedError as TamperedError,
    )
    from .errors import (
        TargetError as TargetError,
    )
    from .errors import (
        TargetNotEmptyError as TargetNotEmptyError,
    )
    from .errors import (
        UnsupportedFormatError as UnsupportedFormatError,
    )
    from .errors import (
        WrongSecretError as WrongSecretError,
    )
    from .progress import (
        Cancel as Cancel,
    )
    from .progress import (
        NullCancel as NullCancel,
    )
    from .progress import (
        NullProgress as NullProgress,
    )
    from .progress import (
        Progress as Progress,
    )
    from .progress import (
        ProgressStatus as ProgressStatus,
    )
    from .repository import (
        Dossier as Dossier,
    )
    from .repository import (
        Repository as Repository,
    )
    from .repository import (
        init as init,
    )
    from .repository import (
        open as open,
    )
    from .types import (
        BlobId as BlobId,
    )
    from .types import (
        DossierId as DossierId,
    )
    from .types import (
        DossierInfo as DossierInfo,
    )
    from .types import (
        Entry as Entry,
    )
    from .types import (
        EntryType as EntryType,
    )
    from .types import (
        HistoryReview as HistoryReview,
    )
    from .types import (
        MediumId as MediumId,
    )
    from .types import (
        ObjectName as ObjectName,
    )
    from .types import (
        Overwrite as Overwrite,
    )
    from .types import (
        PlainHash as PlainHash,
    )
    from .types import (
        Problem as Problem,
    )
    from .types import (
        RecordId as RecordId,
    )
    from .types import (
        RepositoryId as RepositoryId,
    )
    from .types import (
        RestoreOptions as RestoreOptions,
    )
    from .types import (
        RestoreReport as RestoreReport,
    )
    from .types import (
        Snapshot as Snapshot,
    )
    from .types import (
        SnapshotId as SnapshotId,
    )
    from .types import (
        SnapshotKind as SnapshotKind,
    )
    from .types import (
        SnapshotOptions as SnapshotOptions,
    )
    from .types import (
        SnapshotReport as SnapshotReport,
    )
    from .types import (
        StationId as StationId,
    )
    from .types import (
        StationInfo as StationInfo,
    )

_HOMES = {
    "errors": (
        "AccessError",
        "AmbiguousError",
        "BrokenWriterError",
        "DamageError",
        "DamagedObjectError",
        "DossierExistsError",
        "DossierNotFoundError",
        "EntryNotFoundError",
        "InUseError",
        "InputError",
        "MissingObjectError",
        "NotEnrolledError",
        "NotFoundError",
        "ObjectNotFoundError",
        "OperationCancelledError",
        "RepositoryExistsError",
        "RepositoryNotFoundError",
        "SecretRequiredError",
        "SecretTooShortError",
        "SnapshotNotFoundError",
        "SnapstoreError",
        "SourceEmptyError",
        "SourceError",
        "SourceMissingError",
        "StationRevokedError",
        "StoreError",
        "StoreFullError",
        "StorePermissionError",
        "StoreUnavailableError",
        "TamperedError",
        "TargetError",
        "TargetNotEmptyError",
        "UnsupportedFormatError",
        "WrongSecretError",
    ),
    "progress": (
        "Cancel",
        "NullCancel",
        "NullProgress",
        "Progress",
        "ProgressStatus",
    ),
    "repository": (
        "Dossier",
        "Repository",
        "init",
        "open",
    ),
    "types": (
        "BlobId",
        "DossierId",
        "DossierInfo",
        "Entry",
        "EntryType",
        "HistoryReview",
        "MediumId",
        "ObjectName",
        "Overwrite",
        "PlainHash",
        "Problem",
        "RecordId",
        "RepositoryId",
        "RestoreOptions",
        "RestoreReport",
        "Snapshot",
        "SnapshotId",
        "SnapshotKind",
        "SnapshotOptions",
        "SnapshotReport",
        "StationId",
        "StationInfo",
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AccessError",
    "AmbiguousError",
    "BlobId",
    "BrokenWriterError",
    "Cancel",
    "DamageError",
    "DamagedObjectError",
    "Dossier",
    "DossierExistsError",
    "DossierId",
    "DossierInfo",
    "DossierNotFoundError",
    "Entry",
    "EntryNotFoundError",
    "EntryType",
    "HistoryReview",
    "InUseError",
    "InputError",
    "MediumId",
    "MissingObjectError",
    "NotEnrolledError",
    "NotFoundError",
    "NullCancel",
    "NullProgress",
    "ObjectName",
    "ObjectNotFoundError",
    "OperationCancelledError",
    "Overwrite",
    "PlainHash",
    "Problem",
    "Progress",
    "ProgressStatus",
    "RecordId",
    "Repository",
    "RepositoryExistsError",
    "RepositoryId",
    "RepositoryNotFoundError",
    "RestoreOptions",
    "RestoreReport",
    "SecretRequiredError",
    "SecretTooShortError",
    "Snapshot",
    "SnapshotId",
    "SnapshotKind",
    "SnapshotNotFoundError",
    "SnapshotOptions",
    "SnapshotReport",
    "SnapstoreError",
    "SourceEmptyError",
    "SourceError",
    "SourceMissingError",
    "StationId",
    "StationInfo",
    "StationRevokedError",
    "StoreError",
    "StoreFullError",
    "StorePermissionError",
    "StoreUnavailableError",
    "TamperedError",
    "TargetError",
    "TargetNotEmptyError",
    "UnsupportedFormatError",
    "WrongSecretError",
    "__version__",
    "init",
    "open",
]


def __getattr__(name: str) -> object:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'snapstore' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
