"""`snapstore prune`: give back the space of what no snapshot needs.

Here: options to `Repository.plan_prune` and `Repository.prune`, and plan and report as text. Not here: what is safe to
delete.

Rules: --dry-run shows the plan and changes nothing. What is freed now and what is left for another time are told apart.
No secret is asked for. A prune that met what it cannot read ends with 13 and has deleted nothing after that.
"""

from __future__ import annotations

import click

from ...upkeep_types import PruneOptions, PrunePlan, PruneReport
from ..context import Session, global_options
from ..exit_codes import exit_code_of_problems
from ..output import count, human_size
from ..parameters import size_option
from ..progress import MODES, show_progress


@click.command("prune")
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would be deleted.")
@click.option(
    "--max-unused",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help=f"How much of what is left may be of no use (default {PruneOptions().max_unused * 100:g}).",
)
@click.option(
    "--max-repack-size",
    callback=size_option,
    metavar="SIZE",
    help="Write at most so much anew (such as 500M); the next prune goes on.",
)
@click.option("--progress", type=click.Choice(MODES), default="auto", help="How to show progress.")
@global_options()
@click.pass_obj
def command(
    session: Session, *, dry_run: bool, max_unused: float | None, max_repack_size: int | None, progress: str
) -> int:
    """Delete what no snapshot needs; other computers may go on saving meanwhile."""
    share = PruneOptions().max_unused if max_unused is None else max_unused / 100
    options = PruneOptions(max_unused=share, max_repack_bytes=max_repack_size)
    output, repository = session.output, session.repository()
    result: PrunePlan | PruneReport
    with show_progress(progress, output) as shown, session.interruption.patience() as cancel:
        if dry_run:
            result = repository.plan_prune(options, progress=shown, cancel=cancel)
        else:
            result = repository.prune(options=options, progress=shown, cancel=cancel)
    output.problems(result.problems)
    if output.json:
        output.data(result)
    elif isinstance(result, PrunePlan):
        _tell_plan(session, result)
    else:
        _tell_report(session, result)
    return int(exit_code_of_problems(result.problems))


def _tell_plan(session: Session, plan: PrunePlan) -> None:
    output = session.output
    output.summary(
        f"{count(plan.packs, 'pack')} of {human_size(plan.stored_bytes)}, of which {human_size(plan.used_bytes)} are "
        "needed."
    )
    output.summary(
        f"{count(plan.delete_packs, 'pack')} of {human_size(plan.delete_bytes)} would be deleted, and "
        f"{human_size(plan.repack_bytes)} out of {count(plan.repack_packs, 'pack')} written anew: "
        f"{human_size(plan.freed_bytes)} would be freed, {human_size(plan.later_bytes)} left for later."
    )


def _tell_report(session: Session, report: PruneReport) -> None:
    freed = f"{human_size(max(0, report.freed_bytes))} freed"
    later = f", {human_size(report.later_bytes)} left for later" if report.later_bytes else ""
    session.output.summary(f"{count(report.deleted_packs, 'pack')} deleted, {freed}{later}.")
    if report.withdrawn_packs:
        session.output.summary(f"{count(report.withdrawn_packs, 'pack')} came into use meanwhile and stayed.")
    if report.removed_manifests:
        session.output.summary(f"{count(report.removed_manifests, 'unfinished snapshot')} removed.")
