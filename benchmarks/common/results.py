"""Raw results, what is asked of them, and what they answer.

Here: `Run`, `Result` with its JSON file, `Limit` and `judge`. Not here: measuring (`bench`), showing
(`tables`, `plot`).

Rules: the raw figures of every run are kept, and everything else is computed from them. A ratio is taken between two
runs of the same round (and step), which saw the same machine in the same minute; the median of those ratios counts. A
limit in bytes is held by the worst run. What was not run is "not measured", never a success.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one program on one data set. Seconds and bytes; None where there is nothing of the kind."""

    data: str
    tool: str
    round: int
    step: str = ""
    wall: float | None = None
    user: float | None = None
    system: float | None = None
    memory: int | None = None
    repository_bytes: int | None = None
    added_bytes: int | None = None
    rate: float | None = None
    """Bytes or pieces a second, in questions that measure a part and not a program."""
    round_trips: int | None = None
    """The longest chain of requests over a network in which each waited for the answer to the one before."""
    identical: bool | None = None
    """For restores: what came back is what was saved."""

    def figure(self, name: str) -> float | None:
        """Return a figure by name; "cpu" is user and system together."""
        if name == "cpu":
            return None if self.user is None or self.system is None else self.user + self.system
        value: float | None = getattr(self, name)
        return value


@dataclass(slots=True, kw_only=True)
class Result:
    """All runs of one question."""

    question: str
    scale: str
    rounds: int
    versions: dict[str, str]
    machine: dict[str, str | int]
    runs: list[Run] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write the result, one line for each run."""
        head = {key: value for key, value in asdict(self).items() if key != "runs"}
        lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
        shown = (asdict(run) for run in self.runs)
        runs = [json.dumps({key: value for key, value in run.items() if value not in (None, "")}) for run in shown]
        text = "{\n" + "\n".join(lines) + '\n  "runs": [\n    ' + ",\n    ".join(runs) + "\n  ]\n}\n"
        path.write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Result:
        """Read what `write` wrote."""
        record = json.loads(path.read_text(encoding="utf-8"))
        runs = [Run(**run) for run in record.pop("runs")]
        return cls(**record, runs=runs)

    def groups(self) -> list[tuple[str, str]]:
        """Return data set and step of all runs, in the order they were run."""
        return list(dict.fromkeys((run.data, run.step) for run in self.runs))

    def tools(self) -> list[str]:
        """Return the names of all tools, in the order they were run."""
        return list(dict.fromkeys(run.tool for run in self.runs))

    def median(self, figure: str, *, data: str, step: str, tool: str) -> float | None:
        """Return the median over the rounds, or None where nothing was measured."""
        found = [
            value
            for run in self.runs
            if (run.data, run.step, run.tool) == (data, step, tool) and (value := run.figure(figure)) is not None
        ]
        return statistics.median(found) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Some of the runs: of a tool, on a data set, in one step or in all of them."""

    data: str
    tool: str = "snapstore"
    step: str | None = None

    def values(self, runs: Iterable[Run], figure: str) -> dict[tuple[int, str], float]:
        """Return the figure by round and, unless one is named, step."""
        return {
            (run.round, run.step if self.step is None else ""): value
            for run in runs
            if (run.data, run.tool) == (self.data, self.tool)
            and self.step in (None, run.step)
            and (value := run.figure(figure)) is not None
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What is asked of one figure: against the least of others (a ratio), or by itself.

    With `at_least` the ratio is others to ours ("so many times faster"), with `at_most` ours to others.
    """

    asked: str
    of: Which
    figure: str = "wall"
    against: tuple[Which, ...] = ()
    at_least: float | None = None
    at_most: float | None = None


def faster(data: str, peer: str, times: float, *, tool: str = "snapstore", step: str | None = None) -> Limit:
    """Ask that `tool` takes so many times less wall time than `peer`."""
    asked = f"{tool} on {data}{f', {step}' if step else ''}: at least {times:g} times faster than {peer}"
    of, other = Which(data=data, tool=tool, step=step), Which(data=data, tool=peer, step=step)
    return Limit(asked=asked, of=of, against=(other,), at_least=times)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A limit and what was measured; `met` is None where that is nothing."""

    limit: Limit
    measured: float | None
    met: bool | None


def judge(limits: Sequence[Limit], runs: Sequence[Run]) -> list[Verdict]:
    """Hold the runs against the limits."""
    return [_verdict(limit, runs) for limit in limits]


def _verdict(limit: Limit, runs: Sequence[Run]) -> Verdict:
    ours = limit.of.values(runs, limit.figure)
    if limit.against:
        others = [which.values(runs, limit.figure) for which in limit.against]
        shared = ours.keys() & set.intersection(*(set(values) for values in others))
        pairs = [(ours[key], min(values[key] for values in others)) for key in sorted(shared)]
        if limit.at_least is not None:
            pairs = [(other, our) for our, other in pairs]
        measured = statistics.median(upper / lower for upper, lower in pairs) if pairs else None
    elif limit.at_least is not None:
        measured = min(ours.values(), default=None)
    else:
        measured = max(ours.values(), default=None)
    if measured is None:
        return Verdict(limit=limit, measured=None, met=None)
    met = (limit.at_least is None or measured >= limit.at_least) and (
        limit.at_most is None or measured <= limit.at_most
    )
    return Verdict(limit=limit, measured=measured, met=met)
