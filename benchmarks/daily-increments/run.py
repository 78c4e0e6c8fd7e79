"""What do time and bytes come to for each day of a week in the life of a shop's database?

Here: the week, the runs and the limits. Each round begins with a copy of the database and empty repositories that get
it unmeasured; then, for seven days, the file is changed in place and every program saves it. All programs see the same
days, and all rounds too. Not here: how anything is measured (benchmarks/common), or what a day's work is
(`shop_database.advance_day`).
"""

from __future__ import annotations

import shutil

from benchmarks.common.bench import WHOLE_PROGRAMS, Bench
from benchmarks.common.datasets import DATABASE
from benchmarks.common.results import Limit, Run, Which, faster
from benchmarks.common.shop_database import advance_day

QUESTION = "What do time and bytes come to for each day of a week in the life of a shop's database?"
DATA = ("daily",)
DAYS = 7
TINY_DAYS = 2


def _bytes_at_most(peer: str, share: int) -> Limit:
    return Limit(
        asked=f"snapstore on daily: at most 1/{share} of the bytes that {peer} adds",
        of=Which(data="daily"),
        figure="added_bytes",
        against=(Which(data="daily", tool=peer),),
        at_most=1 / share,
    )


LIMITS = (
    _bytes_at_most("restic", 10),
    _bytes_at_most("borg", 25),
    faster("daily", "restic", 2),
    faster("daily", "borg", 2),
)


def run(bench: Bench) -> None:
    """Measure."""
    for data, pristine in bench.available(DATA):
        folder = bench.places.ram / "week"
        days = TINY_DAYS if bench.scale.name == "tiny" else DAYS
        for turn in range(1, bench.rounds + 1):
            folder.mkdir(exist_ok=True)
            shutil.copyfile(pristine / DATABASE, folder / DATABASE)
            homes = [bench.fresh(tool, data) for tool in bench.tools(WHOLE_PROGRAMS)]
            for home in homes:
                bench.snapshot_quietly(home, folder)
            for day in range(1, days + 1):
                advance_day(folder / DATABASE, day)
                for home in homes:
                    bench.snapshot(home, folder, Run(data=data, tool=home.tool.name, round=turn, step=f"day {day}"))
        shutil.rmtree(folder)
