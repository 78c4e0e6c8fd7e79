"""The jewellery shop's backup: everything that the application has to do with `snapstore` is in this file.

Here: setting up a medium, the daily backup, the list, bringing everything back. Not here: stock and sales (`stock.py`),
words on the screen other than what to do about an error (`shop.py` prints them).

Rules: the database is not copied as a file while it may be in use; SQLite's own backup makes a copy first, and the copy
is what is saved. The secret is only asked for when a medium is set up, a computer is new, or something is brought back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import snapstore

DOSSIER = "jewellery shop"
DATABASE = "stock.db"
COPY = "for-backup/stock.db"
NOT_SAVED = ["/stock.db", "/stock.db-journal", "/stock.db-wal", "/stock.db-shm", "*.tmp"]

ADVICE = {
    "repository_not_found": "The backup stick is not plugged in, or was never set up.",
    "medium_not_connected": "The backup stick is not plugged in.",
    "store_absent": "The backup stick is not plugged in.",
    "not_enrolled": "This computer does not know the stick yet: set it up, or restore once with the secret.",
    "wrong_secret": "That is not the secret of this shop's backup.",
    "secret_too_short": "A secret needs at least 8 characters.",
    "secret_required": "Please type the secret.",
    "store_full": "The stick is full.",
    "store_permission": "The stick is write-protected.",
    "store_unavailable": "The stick does not answer. Plug it in again.",
    "target_not_empty": "The folder to restore into has something in it. Choose a new one.",
    "snapshot_not_found": "There is no backup of that name.",
}
"""What to tell the shopkeeper, by `code`; codes never change, while messages may. Translate these as you like."""


def advice(error: snapstore.SnapstoreError) -> str:
    """Return what the shopkeeper should read about `error`."""
    return ADVICE.get(error.code, str(error))


class ShopBackup:
    """The backup of one shop's folder `data` on the medium at `medium`; use it in a `with` statement.

    `state_dir` is where this computer keeps its keys; None is the usual place for the user who is logged in.
    """

    def __init__(self, data: Path, medium: str, state_dir: Path | None = None) -> None:
        self.data = data
        self.medium = medium
        self._repository = snapstore.open(medium, state_dir=state_dir)

    @classmethod
    def set_up(cls, data: Path, medium: str, secret: str, state_dir: Path | None = None) -> ShopBackup:
        """Prepare a new medium, or let this computer in on one that is already in use."""
        try:
            with snapstore.init(medium, state_dir=state_dir) as repository:
                repository.create_dossier(DOSSIER, secret=secret)
        except snapstore.RepositoryExistsError:
            with snapstore.open(medium, state_dir=state_dir) as repository:
                if repository.dossiers():
                    repository.unlock(secret)
                else:  # an earlier attempt ended half-way
                    repository.create_dossier(DOSSIER, secret=secret)
        return cls(data, medium, state_dir)

    def __enter__(self) -> ShopBackup:
        return self

    def __exit__(self, *_: object) -> None:
        self._repository.close()

    def save(self, label: str | None = None, progress: snapstore.Progress | None = None) -> snapstore.SnapshotReport:
        """Back up the folder as it is now. Needs no secret."""
        self._copy_database()
        return self._repository.dossier(DOSSIER).snapshot(self.data, label=label, exclude=NOT_SAVED, progress=progress)

    def backups(self) -> Sequence[snapstore.Snapshot]:
        """Return the backups there are, newest first. Needs no secret."""
        return self._repository.dossier(DOSSIER).list()

    def bring_back(self, name: str, secret: str, to: Path) -> snapstore.RestoreReport:
        """Restore the backup `name` into the new folder `to`, ready for the application to work with.

        Works on a computer that has never seen the medium: the medium and the secret are enough.
        """
        dossier = self._repository.unlock(secret)
        report = dossier.restore(name, to=to)
        (to / COPY).replace(to / DATABASE)
        return report

    def _copy_database(self) -> None:
        copy = self.data / COPY
        copy.parent.mkdir(exist_ok=True)
        with closing(sqlite3.connect(self.data / DATABASE)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
