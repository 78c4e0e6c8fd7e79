"""How many bytes does a second dossier add that holds a copy of the first one's files?

Here: the runs and the limit. The repository is made with sharing on and gets two dossiers with secrets of their own.
The set `two-dossiers` holds only files of 256 KiB and more, which are what is shared; `shop` shows the same with the
small documents, which are not. Not here: the peers, which have no second secret to offer, and how anything is measured
(benchmarks/common).
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.common.bench import Bench
from benchmarks.common.results import Limit, Run, Which
from benchmarks.common.tools import Snapstore

QUESTION = "How many bytes does a second dossier add that holds a copy of the first one's files?"
DATA = ("two-dossiers", "shop")
FIRST, SECOND = "first", "second"
LIMITS = (
    Limit(
        asked="second dossier, files of 256 KiB and more: below 0.02 of the first one's bytes",
        of=Which(data="two-dossiers", step=SECOND),
        figure="added_bytes",
        against=(Which(data="two-dossiers", step=FIRST),),
        at_most=0.02,
    ),
)


def run(bench: Bench) -> None:
    """Measure."""
    for data, folder in bench.available(DATA):
        for turn, tool in bench.turns(("snapstore",)):
            assert isinstance(tool, Snapstore)
            sharing = replace(tool, shares=True, dossiers=(FIRST, SECOND))
            home = bench.fresh(sharing, data)
            for dossier in sharing.dossiers:
                source = folder / dossier if data == "two-dossiers" else folder
                what = Run(data=data, tool=tool.name, round=turn, step=dossier)
                bench.snapshot(home, source, what, dossier=dossier)
        bench.drop_all_of(data)
