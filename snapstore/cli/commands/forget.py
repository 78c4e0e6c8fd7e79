"""`snapstore forget [SNAPSHOT...]`: let snapshots go, by name or by a policy.

Here: options to a `RetentionPolicy`, and the decisions as text. Not here: what the rules mean
(docs/guide/space.md), and how the space comes back (`prune`).

Rules: --dry-run prints for every snapshot why it stays or goes; without it one sees what went. --keep options add to
what a preset keeps, and take the place of its figure for the same rule. No secret is needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ...errors import InputError
from ...upkeep_types import ForgetReport, PruneReport, RetentionDecision, RetentionPolicy
from ..context import Session, global_options
from ..exit_codes import exit_code_of_problems
from ..output import count, human_size, local_time, printable, table
from ..progress import show_progress

if TYPE_CHECKING:
    from ... import Dossier

F = TypeVar("F", bound=Callable[..., Any])

_PERIODS = {"last": "", "hourly": "hour", "daily": "day", "weekly": "week", "monthly": "month", "yearly": "year"}
_REPORTED = tuple(field.name for field in fields(ForgetReport))
_SPAN = re.compile(r"(\d+)\s*([hdwmy])", re.IGNORECASE)
_DAYS = {"h": 1 / 24, "d": 1, "w": 7, "m": 31, "y": 366}  # at least as long as any month or year


def parse_span(text: str) -> timedelta:
    """Return the time that "12h", "30d", "2w", "6m", "1y" or "1y6m" means. ValueError for anything else."""
    parts = _SPAN.findall(text)
    if not parts or _SPAN.sub("", text).strip():
        raise ValueError(f"{text!r} is not a span of time")
    return sum((timedelta(days=int(number) * _DAYS[unit.lower()]) for number, unit in parts), timedelta())


def _span_option(ctx: click.Context, parameter: click.Parameter, value: str | None) -> timedelta | None:
    if value is None:
        return None
    try:
        return parse_span(value)
    except (ValueError, OverflowError):
        message = f"{value!r} is not a span of time; write it like 30d, 8w or 1y."
        raise click.BadParameter(message, ctx=ctx, param=parameter) from None


def _keep_options(function: F) -> F:
    for name, unit in reversed(_PERIODS.items()):
        what = "The newest N." if name == "last" else f"The newest of each {unit}, for the last N that have any."
        option = click.option(f"--keep-{name}", type=click.IntRange(min=-1), metavar="N", help=f"{what} -1 is all.")
        function = option(function)
    return function


@click.command("forget")
@click.argument("snapshots", nargs=-1, metavar="[SNAPSHOT...]")
@_keep_options
@click.option("--keep-within", callback=_span_option, metavar="SPAN", help="All of the last 30d, 8w, 6m, 1y.")
@click.option("--keep-label", "labels", multiple=True, metavar="LABEL", help="All with this label; may be repeated.")
@click.option("--preset", metavar="NAME", help="accounting, shop or minimal.")
@click.option("--dry-run", is_flag=True, help="Change nothing; say why each snapshot stays or goes.")
@click.option("--allow-last", is_flag=True, help="Forget the last whole snapshot too if it is named.")
@click.option("--prune", "prune_too", is_flag=True, help="Prune afterwards.")
@click.option("--all-dossiers", is_flag=True, help="In every dossier that this computer knows.")
@global_options()
@click.pass_obj
def command(
    session: Session,
    /,
    snapshots: tuple[str, ...],
    keep_within: timedelta | None,
    labels: tuple[str, ...],
    preset: str | None,
    dry_run: bool,
    allow_last: bool,
    all_dossiers: bool,
    prune_too: bool,
    **counts: int | None,
) -> int:
    """Forget SNAPSHOT..., or all that no --keep option keeps. The space comes back with a prune."""
    policy = _policy(preset, counts, keep_within, labels)
    if all_dossiers and snapshots:
        raise InputError("Name snapshots of one dossier, or use --all-dossiers with a policy.")
    reports = [
        dossier.forget(policy, snapshots=snapshots, dry_run=dry_run, allow_last=allow_last)
        for dossier in _dossiers(session, every=all_dossiers)
    ]
    for report in reports:
        session.output.problems(report.problems)
        if not session.output.json:
            _tell(session, report, named=all_dossiers, prune_follows=prune_too)
    problems = [problem for report in reports for problem in report.problems]
    pruned = _prune(session) if prune_too and not dry_run else None
    if pruned is not None:
        problems += pruned.problems
    if session.output.json:
        given = {"dossiers": reports} if all_dossiers else {name: getattr(reports[0], name) for name in _REPORTED}
        session.output.data(given if pruned is None else given | {"prune": pruned})
    return int(exit_code_of_problems(problems))


def _prune(session: Session) -> PruneReport:
    with show_progress("auto", session.output) as shown, session.interruption.patience() as cancel:
        report = session.repository().prune(progress=shown, cancel=cancel)
    session.output.problems(report.problems)
    session.output.summary(f"Pruned: {human_size(report.freed_bytes)} freed.")
    return report


def _policy(
    preset: str | None, counts: dict[str, int | None], within: timedelta | None, labels: Sequence[str]
) -> RetentionPolicy | None:
    """Return what the options say, or None if they say nothing."""
    given: dict[str, Any] = {
        name.removeprefix("keep_"): number for name, number in counts.items() if number is not None
    }
    if within is not None:
        given["within"] = within
    if labels:
        given["labels"] = frozenset(labels)
    if preset is None and not given:
        return None
    return replace(RetentionPolicy() if preset is None else RetentionPolicy.preset(preset), **given)


def _dossiers(session: Session, *, every: bool) -> list[Dossier]:
    if not every:
        return [session.dossier()]
    repository = session.repository()
    known = [repository.dossier(info.name) for info in repository.dossiers() if info.enrolled and info.name is not None]
    if not known:
        raise InputError("This computer knows no dossier of the repository yet. Type the secret of one.")
    return known


def _tell(session: Session, report: ForgetReport, *, named: bool, prune_follows: bool) -> None:
    output = session.output
    if named and not output.quiet:
        output.line(f"{printable(report.dossier)}:")
    everything = report.dry_run or output.verbose
    shown = [decision for decision in report.decisions if everything or not decision.keep]
    if shown and not output.quiet:
        output.lines(table(("ID", "DATE", "", "WHY"), map(_row, shown)))
    verb = "would be forgotten" if report.dry_run else "forgotten"
    stay = sum(decision.keep for decision in report.decisions)
    waits = report.forgotten and not report.dry_run and not prune_follows
    later = " Prune gives their space back." if waits else ""
    output.summary(f"{count(len(report.forgotten), 'snapshot')} {verb}, {stay:,} kept.{later}")


def _row(decision: RetentionDecision) -> tuple[str, ...]:
    snapshot = decision.snapshot
    why = ", ".join(decision.reasons)
    if decision.counted_as.date() != snapshot.time.date():
        why += f" (counted as {local_time(decision.counted_as)})"
    return snapshot.name[:8], local_time(snapshot.time), "stays" if decision.keep else "goes", printable(why)
