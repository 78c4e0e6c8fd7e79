"""`snapstore repair [--from ADDRESS] [--source PATH...] [--apply]`: mend a medium, by a plan.

Here: options to `Repository.plan_repair` and `Repository.repair`, and both as text. Not here: what can be mended.

Rules: without --apply the plan is printed and nothing is changed. Exit code 13 says that something cannot be mended, or
that there is something to be done and it was not asked for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from ...errors import DamageError, RepositoryNotFoundError
from ...upkeep_types import Finding, HurtSnapshot, RepairPlan, RepairReport
from ..context import Session, global_options
from ..exit_codes import ExitCode
from ..output import count, human_size, local_time, printable
from ..progress import MODES, show_progress

if TYPE_CHECKING:
    from ... import Repository


@click.command("repair")
@click.option("--from", "twin", metavar="ADDRESS", help="Another medium of the same repository to heal from.")
@click.option("--source", "sources", multiple=True, metavar="PATH", help="Files that snapshots saved, to heal from.")
@click.option("--quarantine", multiple=True, metavar="NAME", help="Go on without an object that cannot be read.")
@click.option("--apply", "do_it", is_flag=True, help="Do it; without this the plan is printed.")
@click.option("--progress", type=click.Choice(MODES), default="auto", help="How to show progress.")
@global_options()
@click.pass_obj
def command(
    session: Session,
    twin: str | None,
    sources: tuple[str, ...],
    quarantine: tuple[str, ...],
    do_it: bool,
    progress: str,
) -> int:
    """Mend what is damaged from what is left, a twin, or the files themselves."""
    address = None if twin is None else session.access.address(twin)
    repository = _opened(session, address, do_it=do_it)
    if repository is None:
        return int(ExitCode.DAMAGE)
    options = replace(session.access.options(), read_only=True) if twin is not None else None
    with show_progress(progress, session.output) as shown, session.interruption.patience() as cancel:
        plan = repository.plan_repair(
            twin=address, sources=sources, quarantine=quarantine, options=options, progress=shown, cancel=cancel
        )
    if not do_it or not plan.steps:
        return _tell_plan(session, plan)
    with show_progress(progress, session.output) as shown, session.interruption.patience() as cancel:
        report = repository.repair(
            plan,
            twin=address,
            sources=sources,
            quarantine=quarantine,
            options=options,
            progress=shown,
            cancel=cancel,
        )
    return _tell_report(session, report)


def _opened(session: Session, twin: str | None, *, do_it: bool) -> Repository | None:
    """Return the repository; one without a whole config gets a new one first, if that is to be done."""
    try:
        return session.repository()
    except (DamageError, RepositoryNotFoundError):
        if twin is None or not session.url():
            raise
    from ... import open as open_repository

    options = session.access.options()
    with open_repository(twin, state_dir=session.state_dir, options=replace(options, read_only=True)) as lender:
        if not do_it:
            session.output.line(f"{'restore_copy':16} The configuration is made anew from the twin's.")
            session.output.summary("1 step; nothing was changed. Add --apply to do this and see what else there is.")
            return None
        lender.lend_config_to(session.url(), options=options)
    session.output.summary("The configuration was made anew from the twin's; the medium has a new id.")
    return session.repository()


def _tell_plan(session: Session, plan: RepairPlan) -> int:
    output = session.output
    if output.json:
        output.data(plan)
    else:
        for step in plan.steps:
            output.line(f"{step.code:16} {printable(step.message)}")
        _tell_rest(session, plan.unhealable, plan.hurt)
        if plan.steps:
            output.summary(f"{count(len(plan.steps), 'step')}; nothing was changed. Add --apply to do this.")
        elif not plan.unhealable:
            output.summary("Nothing to repair.")
    return int(ExitCode.DAMAGE if plan.steps or plan.unhealable or plan.hurt else ExitCode.DONE)


def _tell_report(session: Session, report: RepairReport) -> int:
    output = session.output
    if output.json:
        output.data(report)
    else:
        _tell_rest(session, report.failed, report.hurt)
        output.summary(f"{count(len(report.done), 'step')} done, {human_size(report.added_bytes)} added.")
    return int(ExitCode.DAMAGE if report.failed or report.hurt else ExitCode.DONE)


def _tell_rest(session: Session, findings: tuple[Finding, ...], hurt: tuple[HurtSnapshot, ...]) -> None:
    for finding in findings:
        session.output.line(f"{'cannot be mended':16} {printable(finding.message)}")
    for snapshot in hurt:
        time, name = local_time(snapshot.time), printable(snapshot.dossier)
        session.output.line(f"{'stays hurt':16} snapshot {snapshot.snapshot_id.hex()[:8]} of {name}, {time}")
