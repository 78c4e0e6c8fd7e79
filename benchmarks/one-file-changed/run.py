"""What do time and bytes come to when a single file of about 100 KB has changed?

Here: the edit and the runs. The file is changed in place before each round, so that all programs of a round see the
same edit, and gets its content and time back at the end; then it is saved once more, unmeasured, since later questions
restore the newest snapshot. Not here: how anything is measured (benchmarks/common).
"""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.common.bench import WHOLE_PROGRAMS, Bench
from benchmarks.common.datasets import file_of_about
from benchmarks.common.results import Limit, Run

QUESTION = "What do time and bytes come to when a single file of about 100 KB has changed?"
DATA = ("source-tree", "shop")
LIMITS: tuple[Limit, ...] = ()
FILE_BYTES = 100_000


def _edit(path: Path, turn: int) -> None:
    """Overwrite a line's worth in the middle with something that no earlier round wrote."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(f"edited in round {turn}".encode())


def run(bench: Bench) -> None:
    """Measure."""
    for data, source in bench.available(DATA):
        homes = [bench.ready(tool, data) for tool in bench.tools(WHOLE_PROGRAMS)]
        path = file_of_about(source, FILE_BYTES)
        content, status = path.read_bytes(), path.stat()
        try:
            for turn in range(1, bench.rounds + 1):
                _edit(path, turn)
                for home in homes:
                    bench.snapshot(home, source, Run(data=data, tool=home.tool.name, round=turn))
        finally:
            path.write_bytes(content)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        for home in homes:
            bench.snapshot_quietly(home, source)
