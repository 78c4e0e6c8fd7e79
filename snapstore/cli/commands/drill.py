"""`snapstore drill [SNAPSHOT]`: rehearse a restore.

Here: options to `Dossier.drill`, and its report as text. Not here: restoring for good (`restore`).

Rules: files come back to a scratch folder and are gone again when the command ends, also after Ctrl-C. The secret is
asked for as in a restore: the newest snapshot that this computer made needs none. What does not come back as the
snapshot says, and a database that SQLite finds damaged, are exit code 13.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ...upkeep_types import DrillReport
from ..context import Session, global_options
from ..exit_codes import ExitCode, exit_code_of_problems
from ..output import PROBLEMS_SHOWN, count, human_size, local_time, printable
from ..parameters import size_option
from ..progress import MODES, show_progress

if TYPE_CHECKING:
    from ... import Dossier


@click.command("drill")
@click.argument("snapshot", default="latest", metavar="[SNAPSHOT]")
@click.option("--max-size", callback=size_option, metavar="SIZE", help="Restore at most so much: 100M, 2G.")
@click.option("--scratch", metavar="DIR", help="Where the scratch folder is made.")
@click.option("--no-record", is_flag=True, help="Do not keep the date and result in the repository.")
@click.option("--progress", type=click.Choice(MODES), default="auto", help="How to show progress.")
@global_options()
@click.pass_obj
def command(
    session: Session, snapshot: str, max_size: int | None, scratch: str | None, no_record: bool, progress: str
) -> int:
    """Restore a random sample of SNAPSHOT (the newest, unless it is named), look at it, and remove it again."""

    def run(dossier: Dossier) -> DrillReport:
        with show_progress(progress, session.output) as shown, session.interruption.patience() as cancel:
            return dossier.drill(
                snapshot=snapshot,
                max_bytes=max_size,
                scratch=scratch,
                record=not no_record,
                progress=shown,
                cancel=cancel,
            )

    report = session.reading(run)
    _tell(session, report)
    return ExitCode.DAMAGE if not report.whole else exit_code_of_problems(report.problems)


def _tell(session: Session, report: DrillReport) -> None:
    output = session.output
    output.problems(report.problems)
    if output.json:
        output.data(report)
        return
    shown = report.differing if output.verbose else report.differing[:PROBLEMS_SHOWN]
    output.lines(f"differs: {printable(path)}" for path in shown)
    if len(shown) < len(report.differing):
        output.line(f"... and {len(report.differing) - len(shown):,} more; -v shows all")
    for path in report.broken_databases:
        output.line(f"broken database: {printable(path)}")
    when = local_time(report.snapshot.time)
    output.summary(
        f"Restored {count(report.files, 'file')} ({human_size(report.total_bytes)}) of snapshot "
        f"{report.snapshot.name[:8]} of {when} and removed them again; "
        f"{count(report.databases, 'database')} opened and in order."
    )
    if report.whole:
        output.summary("All of them came back as they were saved.")
