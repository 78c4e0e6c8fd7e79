"""The driver behind `benchmarks/run`: options, programs, questions in turn, the report.

Here: `main` and the loading of a question's folder. Not here: measuring (`bench`), anything of a single question.

Rules: a question is a folder beside this one with a README.md and a run.py that names `QUESTION`, `DATA`, `LIMITS` and
`run(bench)`. After each question result.json (raw) and result.txt (tables) lie in its folder. Tiny runs are for trying
the driver: their results go elsewhere unless a folder is named, so that they never replace real ones. A data set or a
program that cannot be had is said, and what needs it is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, cast

import platformdirs

from . import programs
from .bench import Bench, Places
from .datasets import FULL, ROOT, TINY, UnavailableError
from .plot import plot_text
from .results import Limit, Result, judge
from .tables import report_text, result_text
from .tools import Borg, Restic, Snapstore, TarZstd, Tool

QUESTIONS = (
    "first-snapshot",
    "unchanged-snapshot",
    "one-file-changed",
    "restore-all",
    "restore-one-file",
    "list-and-ls",
    "daily-increments",
    "second-dossier",
    "memory",
    "remote",
    "upkeep",
    "micro",
)
FOLDER = ROOT / "benchmarks"
RAM_FOLDER = Path("/dev/shm")


class Question(Protocol):
    """What a question's run.py offers."""

    QUESTION: str
    DATA: tuple[str, ...]
    LIMITS: tuple[Limit, ...]
    run: Callable[[Bench], None]


def load(name: str) -> Question:
    """Import a question's script; its folder's name is no name for a module."""
    specification = importlib.util.spec_from_file_location(name.replace("-", "_"), FOLDER / name / "run.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return cast("Question", module)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    cache = platformdirs.user_cache_path("snapstore-benchmarks")
    parser = argparse.ArgumentParser(prog="benchmarks/run", description="Measure snapstore and its peers.")
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=f"all, or some of: {', '.join(QUESTIONS)}")
    parser.add_argument("--rounds", type=int, help="how often everything is run (3; tiny: 1)")
    parser.add_argument("--data", type=Path, default=cache, metavar="DIR", help="where data sets and programs lie")
    parser.add_argument("--ram", type=Path, default=RAM_FOLDER, metavar="DIR", help="a folder on a RAM file system")
    parser.add_argument("--disk", type=Path, default=cache, metavar="DIR", help="a folder on a real disk")
    parser.add_argument("--restic", type=Path, metavar="PATH")
    parser.add_argument("--borg", type=Path, metavar="PATH", help="a Borg 1.4")
    parser.add_argument("--snapstore", type=Path, default=ROOT, metavar="DIR", help="the checkout that is measured")
    parser.add_argument("--only", action="append", metavar="TOOL", help="leave all other tools out; may be repeated")
    parser.add_argument("--tiny", action="store_true", help="some MB of data, to try the driver")
    parser.add_argument("--results", type=Path, metavar="DIR", help="where result files go (the questions' folders)")
    parser.add_argument("--report", action="store_true", help="measure nothing; write RESULTS.md and RESULTS.svg")
    options = parser.parse_args(arguments)
    unknown = set(options.questions) - set(QUESTIONS)
    if unknown:
        parser.error(f"no such question: {', '.join(sorted(unknown))}")
    options.programs = options.data.absolute() / "programs"
    options.data = options.data.absolute() / ("tiny" if options.tiny else "")
    options.rounds = options.rounds or (1 if options.tiny else 3)
    return options


def find_tools(options: argparse.Namespace) -> list[Tool]:
    """Return the tools that are wanted and can be had."""
    folder = options.programs
    checkout = options.snapstore.absolute()
    makers: dict[str, Callable[[], Tool]] = {
        "snapstore": lambda: Snapstore(checkout=checkout),
        "snapstore-unverified": lambda: Snapstore(checkout=checkout, verify=False),
        "restic": lambda: Restic(program=programs.find_restic(options.restic, folder)),
        "borg": lambda: Borg(program=programs.find_borg(options.borg, folder)),
        "tar-zstd": lambda: TarZstd(zstd=programs.find_zstd(folder)),
    }
    unknown = set(options.only or ()) - set(makers)
    if unknown:
        sys.exit(f"error: no such tool: {', '.join(sorted(unknown))}; there are {', '.join(makers)}")
    found: list[Tool] = []
    for name in options.only or makers:
        try:
            found.append(makers[name]())
        except UnavailableError as error:
            print(f"== {name} is left out: {error}", file=sys.stderr)
    return found


def describe_machine() -> dict[str, str | int]:
    """Return what the figures depend on, and nothing that names the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processors": os.cpu_count() or 0,
        "memory GB": round(memory / 1e9),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "Python": platform.python_version(),
    }


def answer(bench: Bench, names: Sequence[str], versions: dict[str, str], results: Path) -> bool:
    """Run the questions, write their results; return whether every restore was identical."""
    modules = {name: load(name) for name in names}
    good = True
    for position, (name, module) in enumerate(modules.items()):
        print(f"== {name}: {module.QUESTION}", file=sys.stderr, flush=True)
        bench.result = Result(
            question=name, scale=bench.scale.name, rounds=bench.rounds, versions=versions, machine=describe_machine()
        )
        try:
            module.run(bench)
        except UnavailableError as error:
            print(f"== {name} stays unanswered: {error}", file=sys.stderr)
            continue
        write_result(bench.result, module, results)
        good = good and all(run.identical is not False for run in bench.result.runs)
        later = {data for other in names[position + 1 :] for data in modules[other].DATA}
        for data in set(module.DATA) - later:  # repositories that nobody needs any more only fill the memory
            bench.drop_all_of(data)
    return good


def write_result(result: Result, module: Question, results: Path) -> None:
    """Write result.json and result.txt."""
    folder = results / result.question
    folder.mkdir(parents=True, exist_ok=True)
    result.write(folder / "result.json")
    text = f"{module.QUESTION}\n\n{result_text(result, judge(module.LIMITS, result.runs))}"
    (folder / "result.txt").write_text(text, encoding="utf-8")


def report(results: Path) -> None:
    """Write RESULTS.md and RESULTS.svg from all raw results."""
    parts = []
    for name in QUESTIONS:
        path = results / name / "result.json"
        if path.exists():
            module, result = load(name), Result.read(path)
            write_result(result, module, results)
            parts.append((module.QUESTION, result, judge(module.LIMITS, result.runs)))
    if not parts:
        sys.exit("error: there are no results yet")
    (results / "RESULTS.svg").write_text(plot_text([result for _, result, _ in parts]), encoding="utf-8")
    (results / "RESULTS.md").write_text(report_text(parts, "RESULTS.svg"), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; 1 if a restore was not identical."""
    options = parse(arguments)
    results = options.results or (options.data / "results" if options.tiny else FOLDER)
    if options.report:
        report(results)
        return 0
    if not options.ram.is_dir():
        sys.exit(f"error: {options.ram} is no folder; name one on a RAM file system with --ram")
    # Asked to end, it leaves the way an error does: some GB on the RAM file system are to be removed.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    tools = find_tools(options)
    options.disk.mkdir(parents=True, exist_ok=True)
    ram = Path(tempfile.mkdtemp(prefix="snapstore-benchmarks-", dir=options.ram))
    disk = Path(tempfile.mkdtemp(prefix="restores-", dir=options.disk))
    try:
        places = Places(data=options.data, ram=ram, disk=disk)
        bench = Bench(places, tools, scale=TINY if options.tiny else FULL, rounds=options.rounds)
        versions = {tool.name: tool.version() for tool in tools}
        names = [name for name in QUESTIONS if not options.questions or name in options.questions]
        good = answer(bench, names, versions, results)
    finally:
        for folder in (ram, disk):
            shutil.rmtree(folder, ignore_errors=True)
    report(results)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
