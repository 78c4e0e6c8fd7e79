"""How long do checking, forgetting and pruning take, and what does parity cost?

Here: what is saved before, the runs and the limits. Of `daily` a week is saved; of `source-tree` the whole and then a
part of it, so that most of the packs are no longer needed. Then both programs check, check all data, forget all but
the newest snapshot and prune, in turn; and snapstore writes parity for what is left. Not here: how anything is
measured (benchmarks/common).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import cast

from benchmarks.common.bench import Bench, Home
from benchmarks.common.datasets import DATABASE
from benchmarks.common.measure import Command
from benchmarks.common.results import Limit, Run, faster
from benchmarks.common.shop_database import advance_day
from benchmarks.common.tools import Snapstore, UpkeepTool

QUESTION = "How long do checking, forgetting and pruning take, and what does parity cost?"
DATA = ("daily", "source-tree")
TOOLS = ("snapstore", "restic")
DAYS = 7
TINY_DAYS = 2
PART = "drivers"
CHECK, READ, FORGET, PRUNE, PARITY = "check", "check, all data", "forget", "prune", "parity"

LIMITS: tuple[Limit, ...] = tuple(
    faster(data, "restic", times, step=step) for data in DATA for step, times in ((CHECK, 1), (READ, 2), (PRUNE, 1))
)


def run(bench: Bench) -> None:
    """Measure."""
    fill = {"daily": _save_week, "source-tree": _save_whole_and_part}
    for data, source in bench.available(DATA):
        for turn in range(1, bench.rounds + 1):
            homes = [bench.fresh(tool, data) for tool in bench.tools(TOOLS)]
            fill[data](bench, homes, source)
            _look_after(bench, homes, data, turn)
            for home in homes:
                bench.drop(home.tool, data)


def _save_week(bench: Bench, homes: list[Home], source: Path) -> None:
    folder = bench.places.ram / "week"
    folder.mkdir()
    shutil.copyfile(source / DATABASE, folder / DATABASE)
    for day in range((TINY_DAYS if bench.scale.name == "tiny" else DAYS) + 1):
        if day:
            advance_day(folder / DATABASE, day)
        for home in homes:
            bench.snapshot_quietly(home, folder)
    shutil.rmtree(folder)


def _save_whole_and_part(bench: Bench, homes: list[Home], source: Path) -> None:
    parts = sorted(path for path in source.iterdir() if path.is_dir())
    part = source / PART if (source / PART).is_dir() else parts[0]
    for home in homes:
        bench.snapshot_quietly(home, source)
        bench.snapshot_quietly(home, part)


def _look_after(bench: Bench, homes: list[Home], data: str, turn: int) -> None:
    steps: dict[str, Callable[[UpkeepTool, Path], Command]] = {
        CHECK: lambda tool, home: tool.check(home, read_data=False),
        READ: lambda tool, home: tool.check(home, read_data=True),
        FORGET: lambda tool, home: tool.forget_all_but_newest(home),
        PRUNE: lambda tool, home: tool.prune(home),
    }
    for step, command in steps.items():
        for home in homes:
            tool = cast("UpkeepTool", home.tool)
            measured = Run(data=data, tool=home.tool.name, round=turn, step=step)
            bench.work(home, command(tool, home.path), measured)
    for home in homes:
        if isinstance(home.tool, Snapstore):
            measured = Run(data=data, tool=home.tool.name, round=turn, step=PARITY)
            bench.work(home, home.tool.add_parity(home.path), measured)
