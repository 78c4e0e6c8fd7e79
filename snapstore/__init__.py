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
    from .entrance import init, open
    from .errors import (
        AccessError,
        AmbiguousError,
        BrokenWriterError,
        DamagedObjectError,
        DamageError,
        DossierExistsError,
        DossierNotFoundError,
        EntryNotFoundError,
        InputError,
        InUseError,
        MissingObjectError,
        NotEnrolledError,
        NotFoundError,
        ObjectNotFoundError,
        OperationCancelledError,
        RepositoryExistsError,
        RepositoryNotFoundError,
        SecretRequiredError,
        SecretTooShortError,
        SnapshotNotFoundError,
        SnapstoreError,
        SourceEmptyError,
        SourceError,
        SourceMissingError,
        StationRevokedError,
        StationStateError,
        StoreError,
        StoreFullError,
        StorePermissionError,
        StoreUnavailableError,
        TamperedError,
        TargetError,
        TargetNotEmptyError,
        UnsupportedFormatError,
        WrongSecretError,
    )
    from .progress import (
        Cancel,
        NullCancel,
        NullProgress,
        Progress,
        ProgressStatus,
    )
    from .removable import (
        media,
        test_medium,
    )
    from .repository import (
        Dossier,
        Repository,
    )
    from .stores.address import RemoteAddress
    from .stores.options import StoreOptions
    from .testing.probe_report import ProbeOutcome, ProbeReport, ProbeRule
    from .testing.probing import probe
    from .types import (
        BlobId,
        CopiedSnapshot,
        CopyMode,
        CopyReport,
        DossierId,
        DossierInfo,
        Entry,
        EntryType,
        HistoryReview,
        MediumId,
        MediumInfo,
        MediumTestReport,
        ObjectName,
        Overwrite,
        PlainHash,
        Problem,
        RecordId,
        RepositoryId,
        RestoreOptions,
        RestoreReport,
        Snapshot,
        SnapshotId,
        SnapshotKind,
        SnapshotOptions,
        SnapshotReport,
        StationId,
        StationInfo,
    )

_HOMES = {
    "entrance": (
        "init",
        "open",
    ),
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
        "StationStateError",
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
    ),
    "stores.address": ("RemoteAddress",),
    "stores.options": ("StoreOptions",),
    "testing.probe_report": (
        "ProbeOutcome",
        "ProbeReport",
        "ProbeRule",
    ),
    "testing.probing": ("probe",),
    "removable": (
        "media",
        "test_medium",
    ),
    "types": (
        "BlobId",
        "CopiedSnapshot",
        "CopyMode",
        "CopyReport",
        "DossierId",
        "DossierInfo",
        "Entry",
        "EntryType",
        "HistoryReview",
        "MediumId",
        "MediumInfo",
        "MediumTestReport",
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
    "CopiedSnapshot",
    "CopyMode",
    "CopyReport",
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
    "MediumInfo",
    "MediumTestReport",
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
    "ProbeOutcome",
    "ProbeReport",
    "ProbeRule",
    "Problem",
    "Progress",
    "ProgressStatus",
    "RecordId",
    "RemoteAddress",
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
    "StationStateError",
    "StoreError",
    "StoreFullError",
    "StoreOptions",
    "StorePermissionError",
    "StoreUnavailableError",
    "TamperedError",
    "TargetError",
    "TargetNotEmptyError",
    "UnsupportedFormatError",
    "WrongSecretError",
    "__version__",
    "init",
    "media",
    "open",
    "probe",
    "test_medium",
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
