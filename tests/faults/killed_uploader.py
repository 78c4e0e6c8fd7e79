"""The process that tests/faults/test_killed_uploads.py kills: a snapshot into a store that takes its time.

Run as `python killed_uploader.py REPOSITORY STATE SOURCE SECONDS`. Says "ready", then takes a snapshot of many small
packs and says "done".
"""

from __future__ import annotations

import sys
from pathlib import Path

from far_store import FarStore

import snapstore
from snapstore.blobs import packer
from snapstore.operations.opening import open_repository
from snapstore.station import StateFolder
from snapstore.stores.local import LocalStore


def main() -> None:
    repository, state, source, seconds = sys.argv[1:]
    packer.PACK_TARGET_BYTES = 120_000  # type: ignore[misc]
    packer._SHUFFLE_BYTES = 60_000  # type: ignore[misc]
    store = FarStore(LocalStore(Path(repository)), seconds=float(seconds))
    with snapstore.Repository(open_repository(store, StateFolder(Path(state)))) as opened:
        print("ready", flush=True)
        opened.dossier("books").snapshot(source)
        print("done", flush=True)


if __name__ == "__main__":
    main()
