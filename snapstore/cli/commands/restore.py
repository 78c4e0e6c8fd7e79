"""`snapstore restore SNAPSHOT --to DIR [PATH...]`: bring files back.

Here: options to `Dossier.restore`, and its report as text. Not here: how files are replaced safely (the library does
it).

Rules: without --overwrite the target must be new or empty. --delete removes files that the snapshot does not have and
is only taken together with --overwrite. What the target could not hold is a problem: told, and exit code 3; data that
could not be read because the repository is damaged is exit code 13, with --partial too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ...types import Overwrite, RestoreReport
from ..context import Session, global_options
from ..exit_codes import exit_code_of_problems
from ..output import count, human_seconds, human_size, printable
from ..progress import MODES, show_progress

if TYPE_CHECKING:
    from ... import Dossier


@click.command("restore")
@click.argument("snapshot")
@click.argument("paths", nargs=-1, metavar="[PATH...]")
@click.option("--to", required=True, metavar="DIR", help="The folder to restore into.")
@click.option(
    "--overwrite",
    type=click.Choice(["never", "if-changed", "if_changed", "always"]),
    metavar="never|if-changed|always",
    help="Allow a DIR that is not empty, and say what happens to files that are there.",
)
@click.option("--delete", is_flag=True, help="Delete what the snapshot does not have (with --overwrite).")
@click.option("-e", "--exclude", multiple=True, metavar="PATTERN", help="Leave out what fits (gitignore syntax).")
@click.option("--partial", is_flag=True, help="Restore files that are partly lost too, with zeros for what is lost.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--progress", type=click.Choice(MODES), default="auto", help="How to show progress.")
@global_options()
@click.pass_obj
def command(
    session: Session,
    snapshot: str,
    paths: tuple[str, ...],
    to: str,
    overwrite: str | None,
    delete: bool,
    exclude: tuple[str, ...],
    partial: bool,
    dry_run: bool,
    progress: str,
) -> int:
    """Restore SNAPSHOT (an id, its beginning, or "latest"), or only PATH... of it, to DIR."""
    from ... import RestoreOptions

    if delete and overwrite is None:
        raise click.UsageError("--delete needs --overwrite.")
    options = RestoreOptions(
        overwrite=Overwrite(overwrite.replace("-", "_")) if overwrite else None,
        delete=delete,
        dry_run=dry_run,
        exclude=exclude,
        partial=partial,
    )

    def run(dossier: Dossier) -> RestoreReport:
        with show_progress(progress, session.output) as shown, session.interruption.patience() as cancel:
            return dossier.restore(snapshot, to=to, paths=paths, options=options, progress=shown, cancel=cancel)

    report = session.reading(run)
    _tell(session, report)
    return exit_code_of_problems(report.problems)


def _tell(session: Session, report: RestoreReport) -> None:
    session.output.problems(report.problems)
    if session.output.json:
        session.output.data(report)
        return
    verb = "Would restore" if report.dry_run else "Restored"
    session.output.summary(
        f"{verb} {count(report.files_restored, 'file')} ({human_size(report.bytes_written)}) of snapshot "
        f"{report.snapshot.hex()[:8]} to {printable(report.target)} in {human_seconds(report.duration_seconds)}."
    )
    others = [f"{report.files_unchanged:,} were already right"] if report.files_unchanged else []
    others += [f"{report.deleted:,} deleted"] if report.deleted else []
    others += [count(len(report.problems), "problem")] if report.problems else []
    if others:
        session.output.summary(", ".join(others) + ".")
