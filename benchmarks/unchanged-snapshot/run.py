"""How long does a snapshot take when nothing has changed since the last one?

Here: the runs and the limits. Each round adds one more snapshot to the same repository, with the program's own caches
there. Not here: how anything is measured (benchmarks/common).
"""

from __future__ import annotations

from benchmarks.common.bench import Bench
from benchmarks.common.results import Run, faster

QUESTION = "How long does a snapshot take when nothing has changed since the last one?"
DATA = ("source-tree", "shop", "many-small")
LIMITS = (faster("source-tree", "restic", 3), faster("source-tree", "borg", 4))


def run(bench: Bench) -> None:
    """Measure."""
    for data, source in bench.available(DATA):
        for turn, tool in bench.turns():
            bench.snapshot(bench.ready(tool, data), source, Run(data=data, tool=tool.name, round=turn))
