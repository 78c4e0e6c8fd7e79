"""How fast are the parts that a snapshot is made of: cutting, hashing, compressing, sealing, the index?

Here: running `parts.py`, in a process of its own, on the checkout that is measured. Not here: the parts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.common.bench import Bench
from benchmarks.common.measure import Command, run_quietly
from benchmarks.common.results import Limit, Run
from benchmarks.common.tools import Snapstore

QUESTION = "How fast are the parts that a snapshot is made of: cutting, hashing, compressing, sealing, the index?"
DATA: tuple[str, ...] = ()
LIMITS: tuple[Limit, ...] = ()
TINY = ("--megabytes", "2", "--blobs", "2000")


def run(bench: Bench) -> None:
    """Measure; bytes a second, for the index blobs and look-ups a second."""
    script = str(Path(__file__).with_name("parts.py"))
    options = TINY if bench.scale.name == "tiny" else ()
    for turn, tool in bench.turns(("snapstore",)):
        assert isinstance(tool, Snapstore)
        environment = {"PYTHONPATH": str(tool.checkout)}
        printed = run_quietly(Command(arguments=(sys.executable, script, *options), environment=environment))
        for line in printed.splitlines():
            part = json.loads(line)
            data = "index" if "index" in part["step"] else "text"
            bench.record(Run(data=data, tool=tool.name, round=turn, step=part["step"], rate=part["rate"]))
