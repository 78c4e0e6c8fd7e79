"""How long does it take to get one file of about 1 MB back out of a large snapshot?

Here: the runs. Not here: how anything is measured (benchmarks/common).
"""

from __future__ import annotations

from benchmarks.common.bench import Bench
from benchmarks.common.datasets import file_of_about
from benchmarks.common.results import Limit, Run

QUESTION = "How long does it take to get one file of about 1 MB back out of a large snapshot?"
DATA = ("source-tree",)
LIMITS: tuple[Limit, ...] = ()
FILE_BYTES = 1_000_000


def run(bench: Bench) -> None:
    """Measure."""
    for data, source in bench.available(DATA):
        inner = file_of_about(source, FILE_BYTES).relative_to(source).as_posix()
        for turn, tool in bench.turns():
            bench.restore(bench.ready(tool, data), source, Run(data=data, tool=tool.name, round=turn), inner=inner)
