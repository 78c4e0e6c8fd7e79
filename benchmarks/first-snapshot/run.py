"""How long does the first snapshot of a folder take, and how large is the repository then?

Here: the runs and the limits. Each run starts with an empty repository, made before the clock starts. Not here: how
anything is measured (benchmarks/common).
"""

from __future__ import annotations

from benchmarks.common.bench import PEERS, Bench
from benchmarks.common.results import Limit, Run, Which, faster

QUESTION = "How long does the first snapshot of a folder take, and how large is the repository then?"
DATA = ("source-tree", "shop", "many-small")
UNVERIFIED = "snapstore-unverified"
TOOLS = ("snapstore", UNVERIFIED, *PEERS, "tar-zstd")


def _at_most_tar(data: str, share: float, *, tool: str = "snapstore") -> Limit:
    asked = f"{tool} on {data}: at most {share:g} times the time of tar-zstd"
    return Limit(
        asked=asked, of=Which(data=data, tool=tool), against=(Which(data=data, tool="tar-zstd"),), at_most=share
    )


def _not_larger(data: str) -> Limit:
    return Limit(
        asked=f"repository of {data}: not larger than the smaller one of restic's and borg's",
        of=Which(data=data),
        figure="repository_bytes",
        against=tuple(Which(data=data, tool=peer) for peer in PEERS),
        at_most=1.0,
    )


LIMITS = (
    faster("source-tree", "restic", 2),
    faster("source-tree", "borg", 3),
    _at_most_tar("source-tree", 1.5),
    faster("source-tree", "restic", 3, tool=UNVERIFIED),
    faster("source-tree", "borg", 4, tool=UNVERIFIED),
    _at_most_tar("source-tree", 1.0, tool=UNVERIFIED),
    faster("shop", "restic", 2),
    faster("shop", "borg", 2),
    faster("shop", "restic", 3, tool=UNVERIFIED),
    faster("shop", "borg", 3, tool=UNVERIFIED),
    _at_most_tar("shop", 1.0),
    faster("many-small", "restic", 3),
    faster("many-small", "borg", 4),
    *(_not_larger(data) for data in DATA),
)


def run(bench: Bench) -> None:
    """Measure; what later questions do not use is removed at once, since it fills the memory."""
    for data, source in bench.available(DATA):
        for turn, tool in bench.turns(TOOLS):
            home = bench.fresh(tool, data)
            bench.snapshot(home, source, Run(data=data, tool=tool.name, round=turn))
            if tool.name in (UNVERIFIED, "tar-zstd"):
                bench.drop(tool, data)
