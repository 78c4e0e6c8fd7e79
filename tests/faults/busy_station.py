"""A process that saves and forgets, or prunes, over and over, until tests/faults/test_processes.py kills it.

Run as `python busy_station.py ROLE URL STATE SOURCE LOG OPTIONS`. ROLE is "write" or "prune"; OPTIONS are fields of
`StoreOptions` as JSON. What was reported is written to LOG, a line each and on the disk before anything else is done:

    ready                the repository is open
    saved ID LABEL       a snapshot was reported; what it holds follows from its label alone (`contents_of`)
    forgetting ID        somebody is about to ask for it to be gone
    pruned PACKS BYTES   what a prune deleted and gained
    failed CODE MESSAGE  an error, after which the process goes on
"""

from __future__ import annotations

import json
import os
import random
import sys
import uuid
from pathlib import Path

import snapstore
from snapstore.blobs import packer

FILES = 8
POOL = 14
KEPT = 3


def contents_of(label: str) -> dict[str, bytes]:
    """What is saved under a label: some files of a pool, so that content goes and comes back, and new ones."""
    draws = random.Random(label)
    files = {f"new {number}": draws.randbytes(draws.randrange(1, 12_000)) for number in range(3)}
    for number in draws.sample(range(POOL), FILES):
        pool = random.Random(number)
        files[f"pool {number}"] = pool.randbytes(pool.randrange(1_000, 300_000))
    return files


class Station:
    """One process."""

    def __init__(self, dossier: snapstore.Dossier, source: Path, log: Path) -> None:
        self.dossier = dossier
        self.source = source
        self.log = log

    def say(self, *words: object) -> None:
        """A line that outlives the process."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write(" ".join(map(str, words)).replace("\n", " ") + "\n")
            file.flush()
            os.fsync(file.fileno())

    def save(self) -> None:
        """Save something; then forget all but the newest ones that this station saved."""
        label = uuid.uuid4().hex
        files = contents_of(label)
        self.source.mkdir(exist_ok=True)
        for path in self.source.iterdir():
            if path.name not in files:
                path.unlink()
        for name, content in files.items():
            path = self.source / name
            if not path.exists() or path.read_bytes() != content:
                path.write_bytes(content)
        snapshot = self.dossier.snapshot(self.source, label=label).snapshot
        self.say("saved", snapshot.id.hex(), label)
        old = [found for found in self.dossier.list() if found.confirmed and found.station == snapshot.station][KEPT:]
        if len(old) > 1:
            for found in old:
                self.say("forgetting", found.id.hex())
            self.dossier.forget(snapshots=old)

    def prune(self) -> None:
        """Delete whatever is not needed."""
        report = self.dossier.repository.prune(options=snapstore.PruneOptions(max_unused=0.0))
        self.say("pruned", report.deleted_packs, report.freed_bytes)


def main() -> None:
    role, url, state, source, log, options = sys.argv[1:]
    packer.PACK_TARGET_BYTES = 200_000  # type: ignore[misc]  # so that there are many to condemn
    packer._SHUFFLE_BYTES = 100_000  # type: ignore[misc]
    with snapstore.open(url, state_dir=state, options=snapstore.StoreOptions(**json.loads(options))) as repository:
        station = Station(repository.dossier("books"), Path(source), Path(log))
        station.say("ready")
        act = station.save if role == "write" else station.prune
        while True:
            try:
                act()
            except snapstore.SnapstoreError as error:
                station.say("failed", error.code, error)


if __name__ == "__main__":
    main()
