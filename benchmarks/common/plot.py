"""The plot: for every question and data set, each tool's wall time as a multiple of snapstore's. SVG, by hand.

Here: `plot_text`. Not here: any other drawing, and no library for it: bars and words are all there is.

Rules: medians of the raw results; the axis is linear and ends at `LONGEST`, and a longer bar is cut and says its value.
Steps of one data set that are days are drawn as their mean.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from .results import Result

WIDTH, LABEL, BAR, GAP = 980, 270, 15, 12
LONGEST = 12.0
COLOURS = {
    "snapstore": "#1b6e4b",
    "snapstore-unverified": "#6fb694",
    "restic": "#c06c2b",
    "borg": "#3f67a8",
    "tar-zstd": "#8a8a8a",
}
OTHER_COLOUR = "#444444"


class Group(NamedTuple):
    """The bars of one question, data set and step: tool, seconds, multiple of ours."""

    title: str
    bars: list[tuple[str, float, float]]


def groups_of(results: Sequence[Result]) -> list[Group]:
    """Return what is to be drawn: where our own time and at least one other is known."""
    groups = []
    for result in results:
        steps: dict[tuple[str, str], list[str]] = {}
        for data, step in result.groups():
            steps.setdefault((data, "a day" if step.startswith("day ") else step), []).append(step)
        for (data, name), members in steps.items():
            seconds = {tool: _mean(result, data, members, tool) for tool in result.tools()}
            ours = seconds.get("snapstore")
            if ours and sum(value is not None for value in seconds.values()) > 1:
                title = ", ".join(part for part in (result.question, data, name) if part)
                groups.append(Group(title, [(tool, value, value / ours) for tool, value in seconds.items() if value]))
    return groups


def _mean(result: Result, data: str, steps: Sequence[str], tool: str) -> float | None:
    values = [result.median("wall", data=data, step=step, tool=tool) for step in steps]
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def plot_text(results: Sequence[Result]) -> str:
    """Return the SVG file's text."""
    parts, at = [], 50.0
    for group in groups_of(results):
        middle = at + BAR * len(group.bars) / 2
        parts.append(_text(LABEL - 10, middle + 4, group.title, anchor="end"))
        for tool, seconds, multiple in group.bars:
            width = (WIDTH - LABEL - 260) * min(multiple, LONGEST) / LONGEST
            colour = COLOURS.get(tool, OTHER_COLOUR)
            parts.append(f'<rect x="{LABEL}" y="{at:.0f}" width="{width:.1f}" height="{BAR - 2}" fill="{colour}"/>')
            said = f"{tool} {multiple:.2f} ({seconds:.2f} s){' ...' if multiple > LONGEST else ''}"
            parts.append(_text(LABEL + width + 6, at + 11, said))
            at += BAR
        at += GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {at:.0f}" width="{WIDTH}" height="{at:.0f}" '
        'font-family="sans-serif" font-size="11">'
    )
    title = _text(10, 24, "Wall time as a multiple of snapstore's: shorter is faster", size=15)
    background = f'<rect width="{WIDTH}" height="{at:.0f}" fill="white"/>'
    return "\n".join([head, background, title, *parts, "</svg>"]) + "\n"


def _text(x: float, y: float, content: str, *, anchor: str = "start", size: int = 11) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(content)}</text>'
