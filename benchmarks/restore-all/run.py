"""How long does it take to get everything back?

Here: the runs and the limits. Restores go to an empty folder on the RAM file system, and once (step "disk") to a real
disk, where the time ends when the file system is synced. Every restore is compared with the source. Not here: how
anything is measured (benchmarks/common).
"""

from __future__ import annotations

from benchmarks.common.bench import PEERS, WHOLE_PROGRAMS, Bench
from benchmarks.common.results import Run, faster

QUESTION = "How long does it take to get everything back?"
DATA = ("source-tree", "shop")
STEPS = ("memory", "disk")
LIMITS = tuple(faster(data, peer, 2, step=step) for step in STEPS for data in DATA for peer in PEERS)


def run(bench: Bench) -> None:
    """Measure."""
    for data, source in bench.available(DATA):
        for turn, tool in bench.turns():
            bench.restore(bench.ready(tool, data), source, Run(data=data, tool=tool.name, round=turn, step="memory"))
        for tool in bench.tools(WHOLE_PROGRAMS):
            on_disk = Run(data=data, tool=tool.name, round=1, step="disk")
            bench.restore(bench.ready(tool, data), source, on_disk, disk=True)
