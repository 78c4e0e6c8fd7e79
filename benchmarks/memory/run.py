"""How much memory is needed at most, and does it grow with the number of files?

Here: the runs and the limits: a first snapshot, an unchanged one and a restore of every set, and the same with a tenth
of the small files. Not here: the peers, whose peaks stand in the results of the other questions, and how anything is
measured (benchmarks/common).
"""

from __future__ import annotations

from benchmarks.common.bench import Bench
from benchmarks.common.results import Limit, Run, Which

QUESTION = "How much memory is needed at most, and does it grow with the number of files?"
DATA = ("source-tree", "shop", "many-small", "many-small-tenth", "daily")
FIRST, UNCHANGED, RESTORE = "first", "unchanged", "restore"
MEGABYTE = 1_000_000


def _cap(data: str, step: str, megabytes: int) -> Limit:
    return Limit(
        asked=f"{data}, {step}: at most {megabytes} MB",
        of=Which(data=data, step=step),
        figure="memory",
        at_most=megabytes * MEGABYTE,
    )


def _flat(step: str) -> Limit:
    return Limit(
        asked=f"{step}: at most 1.3 times more for 10 times the files",
        of=Which(data="many-small", step=step),
        figure="memory",
        against=(Which(data="many-small-tenth", step=step),),
        at_most=1.3,
    )


LIMITS = (
    *(_cap(data, step, 200) for step in (FIRST, RESTORE) for data in DATA),
    *(_cap(data, UNCHANGED, 100) for data in DATA),
    *(_flat(step) for step in (FIRST, UNCHANGED, RESTORE)),
)


def run(bench: Bench) -> None:
    """Measure."""
    for data, source in bench.available(DATA):
        for turn, tool in bench.turns(("snapstore",)):
            home = bench.fresh(tool, data)
            for step in (FIRST, UNCHANGED):
                bench.snapshot(home, source, Run(data=data, tool=tool.name, round=turn, step=step))
            bench.restore(home, source, Run(data=data, tool=tool.name, round=turn, step=RESTORE))
        bench.drop_all_of(data)
