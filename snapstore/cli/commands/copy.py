"""`snapstore copy --to ADDRESS [SNAPSHOT...]`: bring snapshots to another medium.

Here: options to `Repository.copy_to` and `Dossier.copy_to`, and the report as text. Not here: what a twin is.

Rules: without -d and without SNAPSHOT everything is copied. Neither a twin nor a look (--dry-run) asks for a secret;
sealing anew asks for the dossier's, and for that of the dossier at the destination where this computer does not know it
yet. Snapshots that could not be copied have exit code 13 if they are damaged, else 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from ...errors import InputError, SecretRequiredError
from ...types import CopiedSnapshot, CopyMode, CopyReport
from ..context import Session, global_options
from ..exit_codes import exit_code_of_problems
from ..output import count, human_seconds, human_size, local_time, printable, table
from ..progress import MODES, show_progress

if TYPE_CHECKING:
    from ... import Dossier


@click.command("copy")
@click.argument("snapshots", nargs=-1, metavar="[SNAPSHOT...]")
@click.option("--to", "address", required=True, metavar="ADDRESS", help="Where to: a folder, a stick, a server.")
@click.option("--twin", is_flag=True, help="Make the destination a twin if nothing is there: same secrets, same keys.")
@click.option("--independent", is_flag=True, help="Seal anew for the other repository that is there.")
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would be copied.")
@click.option("--new-secret-file", metavar="FILE", help="The secret that the dossier has, or gets, at the destination.")
@click.option("--new-secret-command", metavar="COMMAND", help="The same from what a command prints.")
@click.option("--progress", type=click.Choice(MODES), default="auto", help="How to show progress.")
@global_options()
@click.pass_obj
def command(
    session: Session,
    snapshots: tuple[str, ...],
    address: str,
    twin: bool,
    independent: bool,
    dry_run: bool,
    new_secret_file: str | None,
    new_secret_command: str | None,
    progress: str,
) -> int:
    """Copy SNAPSHOT..., or all snapshots, to another medium; those that it lacks."""
    if twin and independent:
        raise InputError("A copy is either a twin or independent: leave one of the two out.")
    mode = CopyMode.TWIN if twin else CopyMode.INDEPENDENT if independent else None
    to = session.access.address(address)
    options = replace(session.access.options(), read_only=False)
    given = session.secrets.other(new_secret_file, new_secret_command)

    def copy(dossier: Dossier | None, new_secret: str | None) -> CopyReport:
        with show_progress(progress, session.output) as shown, session.interruption.patience() as cancel:
            if dossier is None:
                return session.repository().copy_to(
                    to, mode=mode, options=options, dry_run=dry_run, progress=shown, cancel=cancel
                )
            return dossier.copy_to(
                to,
                snapshots,
                mode=mode,
                new_secret=new_secret,
                options=options,
                dry_run=dry_run,
                progress=shown,
                cancel=cancel,
            )

    whole = not snapshots and session.dossier_name is None
    report = _copied(session, copy, whole=whole, new_secret=given)
    _tell(session, report, to)
    return int(exit_code_of_problems(report.problems))


def _copied(
    session: Session, copy: Callable[[Dossier | None, str | None], CopyReport], *, whole: bool, new_secret: str | None
) -> CopyReport:
    """Copy, asking for secrets only when it shows that they are needed."""
    if whole:
        try:
            return copy(None, None)
        except SecretRequiredError:  # another repository: then it is a dossier that is copied
            pass
    dossier = session.dossier()
    if session.secrets.configured:
        session.unlocked(dossier)
    for _ in range(2):
        try:
            return copy(dossier, new_secret)
        except SecretRequiredError as error:
            if error.code == "new_secret_required":
                new_secret = session.secrets.chosen_other(dossier.name)
            else:
                session.unlocked(dossier)
    return copy(dossier, new_secret)


def _tell(session: Session, report: CopyReport, to: str) -> None:
    output = session.output
    output.problems(report.problems)
    if output.json:
        output.data(report)
        return
    if report.copied and not output.quiet:
        output.lines(table(("DOSSIER", "SNAPSHOT", "TIME", "FILES", "SIZE"), map(_row, report.copied), right=(3, 4)))
    verb = "would be copied" if report.dry_run else "copied"
    made = "The twin was made. " if report.created else ""
    output.summary(
        f"{made}{count(len(report.copied), 'snapshot')} {verb}, {report.present:,} there already; "
        f"{human_size(report.added_bytes)} added in {human_seconds(report.duration_seconds)}."
    )
    if report.safe_to_unplug and to.lower().startswith("usb:"):
        output.summary("The medium may be unplugged now.")
    elif report.safe_to_unplug is False:
        output.warn("The copies are stored; do not unplug the medium before the system has released it.")
    if report.forgotten:
        output.summary(f"{count(report.forgotten, 'snapshot')} left out, forgotten at the destination.")


def _row(item: CopiedSnapshot) -> tuple[str, ...]:
    return (
        printable(item.dossier or item.dossier_id.hex()[:8]),
        item.id.hex()[:8],
        local_time(item.time),
        f"{item.files:,}",
        human_size(item.total_bytes),
    )
