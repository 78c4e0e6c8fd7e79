"""Results as text: one table of medians and ratios, one of what was asked and what was measured.

Here: `result_text` for one question's result.txt, `report_text` for RESULTS.md. Not here: the plot.

Rules: nothing is written that does not come from the raw results. MB are millions of bytes. A ratio is to snapstore's
run of the same round, and the median of the rounds; above 1 the other one takes more.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .results import Result, Verdict, Which

OURS = "snapstore"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A figure, how it is shown, and its heading."""

    figure: str
    title: str
    show: Callable[[float], str]


COLUMNS = (
    Column(figure="wall", title="wall s", show=lambda value: f"{value:.2f}"),
    Column(figure="cpu", title="CPU s", show=lambda value: f"{value:.2f}"),
    Column(figure="memory", title="peak MB", show=lambda value: f"{value / 1e6:.0f}"),
    Column(figure="repository_bytes", title="repository MB", show=lambda value: f"{value / 1e6:,.1f}"),
    Column(figure="added_bytes", title="added MB", show=lambda value: f"{value / 1e6:,.2f}"),
    Column(figure="round_trips", title="round trips", show=lambda value: f"{value:.0f}"),
    Column(figure="rate", title="a second", show=lambda value: f"{value:,.0f}"),
)
RATIOS = ("wall", "added_bytes")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns also line up when read as text."""
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in padded) + "\n"


def result_text(result: Result, verdicts: Sequence[Verdict]) -> str:
    """Return everything there is to say about one question."""
    parts = [_conditions(result), figures_table(result)]
    if verdicts:
        parts.append(verdict_table(verdicts))
    wrong = [f"{run.tool} on {run.data}, round {run.round}" for run in result.runs if run.identical is False]
    restores = sum(run.identical is not None for run in result.runs)
    if wrong:
        parts.append(f"NOT IDENTICAL after restoring: {'; '.join(wrong)}\n")
    elif restores:
        parts.append(f"All {restores} restored trees and files are identical with what was saved.\n")
    return "\n".join(parts)


def figures_table(result: Result) -> str:
    """Return the table of medians; a column without any figure is left out."""
    shown = [column for column in COLUMNS if any(run.figure(column.figure) is not None for run in result.runs)]
    ratios = [column for column in shown if column.figure in RATIOS and len(result.tools()) > 1]
    head = ["data", "step", "tool", *(column.title for column in shown)]
    head += [f"{column.title.removesuffix(' MB').removesuffix(' s')} to {OURS}" for column in ratios]
    rows = []
    for data, step in result.groups():
        for tool in result.tools():
            values = [result.median(column.figure, data=data, step=step, tool=tool) for column in shown]
            if all(value is None for value in values):
                continue
            cells = ["" if value is None else c.show(value) for value, c in zip(values, shown, strict=True)]
            cells += [_ratio(result, column.figure, data, step, tool) for column in ratios]
            rows.append([data, step, tool, *cells])
    return table(head, rows)


def _ratio(result: Result, figure: str, data: str, step: str, tool: str) -> str:
    theirs = Which(data=data, tool=tool, step=step).values(result.runs, figure)
    ours = Which(data=data, tool=OURS, step=step).values(result.runs, figure)
    ratios = [theirs[key] / ours[key] for key in theirs.keys() & ours.keys() if ours[key]]
    return f"{statistics.median(ratios):.2f}" if ratios else ""


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """Return the table of limits."""
    words = {True: "met", False: "NOT MET", None: "not measured"}
    rows = [[verdict.limit.asked, _measured(verdict), words[verdict.met]] for verdict in verdicts]
    return table(["asked", "measured", ""], rows)


def _measured(verdict: Verdict) -> str:
    if verdict.measured is None:
        return "-"
    if verdict.limit.against:
        return f"{verdict.measured:.2f}" if verdict.measured >= 0.1 else f"{verdict.measured:.4f}"
    columns = {column.figure: column for column in COLUMNS}
    column = columns[verdict.limit.figure]
    return f"{column.show(verdict.measured)} {column.title.split()[-1]}"


def _conditions(result: Result) -> str:
    versions = ", ".join(f"{tool} {version}" for tool, version in result.versions.items())
    machine = ", ".join(f"{key} {value}" for key, value in result.machine.items())
    return f"Medians of {result.rounds} rounds, {result.scale} data. {machine}. {versions}.\n"


def report_text(parts: Sequence[tuple[str, Result, Sequence[Verdict]]], plot: str) -> str:
    """Return RESULTS.md: all limits first, then every question (its text, its result, its verdicts)."""
    verdicts = [verdict for _, _, of_question in parts for verdict in of_question]
    met = sum(verdict.met is True for verdict in verdicts)
    measured = sum(verdict.met is not None for verdict in verdicts)
    lines = [
        "# Results",
        f"Written by `benchmarks/run --report` from the result.json of each question. Of {len(verdicts)} limits "
        f"{measured} were measured and {met} are met.",
        f"![Wall time against snapstore's]({plot})",
        verdict_table(verdicts).rstrip(),
    ]
    for text, result, _ in parts:
        lines += [f"## {result.question}", text, _conditions(result).rstrip(), figures_table(result).rstrip()]
    return "\n\n".join(lines) + "\n"
