"""The process that tests/faults/test_kill.py kills: opens a repository, says "ready", takes one snapshot, says "done".

Run as `python killed_writer.py REPOSITORY STATE DOSSIER SOURCE LABEL`.
"""

from __future__ import annotations

import sys

import snapstore


def main() -> None:
    repository_folder, state_dir, dossier_name, source, label = sys.argv[1:]
    with snapstore.open(repository_folder, state_dir=state_dir) as repository:
        dossier = repository.dossier(dossier_name)
        print("ready", flush=True)
        dossier.snapshot(source, label=label)
        print("done", flush=True)


if __name__ == "__main__":
    main()
