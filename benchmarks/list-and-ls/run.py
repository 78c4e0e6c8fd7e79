"""How long does it take to list the snapshots, and all files of the newest one?

Here: the runs. Not here: how anything is measured (benchmarks/common).
"""

from __future__ import annotations

from benchmarks.common.bench import Bench
from benchmarks.common.results import Limit, Run

QUESTION = "How long does it take to list the snapshots, and all files of the newest one?"
DATA = ("source-tree",)
LIMITS: tuple[Limit, ...] = ()


def run(bench: Bench) -> None:
    """Measure."""
    for data, _ in bench.available(DATA):
        for turn, tool in bench.turns():
            home = bench.ready(tool, data)
            bench.look(tool.list_snapshots(home.path), Run(data=data, tool=tool.name, round=turn, step="snapshots"))
            files = tool.list_files(home.path, label=home.newest)
            bench.look(files, Run(data=data, tool=tool.name, round=turn, step="files"))
