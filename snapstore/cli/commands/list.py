"""`snapstore list`: the snapshots of a dossier, newest first.

Here: the table and its marks. Not here: the content of a snapshot (`ls`).

Rules: snapshots that should be there and are gone are told on stderr, and the exit code is that of damage: somebody,
or a failing medium, took them away. So it is with manifests that cannot be read. The table is printed all the same.
An unconfirmed snapshot is one whose writer did not live to see it whole; it is marked, and can be restored.
"""

from __future__ import annotations

import click

from ...types import HistoryReview, Snapshot
from ..context import Session, global_options
from ..exit_codes import ExitCode, exit_code_of_problems
from ..output import count, human_size, local_time, printable, table


@click.command("list")
@global_options()
@click.pass_obj
def command(session: Session) -> int:
    """List the snapshots of the dossier, newest first."""
    dossier = session.dossier()
    review = dossier.review()
    snapshots = sorted(review.snapshots, key=lambda snapshot: (snapshot.number, snapshot.time), reverse=True)
    if session.output.json:
        session.output.data(
            {
                "dossier": dossier.name,
                "snapshots": snapshots,
                "missing": review.missing,
                "problems": review.problems,
                "last_check": review.last_check,
                "last_drill": review.last_drill,
            }
        )
        return _exit_code(review)
    rows = [_row(snapshot) for snapshot in snapshots]
    session.output.lines(table(("ID", "DATE", "FILES", "SIZE", "ADDED", "LABEL"), rows, right=(2, 3, 4)))
    for what, result in (("check", review.last_check), ("drill", review.last_drill)):
        if result is not None:
            verdict = "all was whole" if result.whole else "DAMAGE WAS FOUND"
            session.output.summary(f"Last {what} {local_time(result.time)}: {verdict}.")
    _warn(session, review)
    return _exit_code(review)


def _exit_code(review: HistoryReview) -> ExitCode:
    return ExitCode.DAMAGE if review.missing else exit_code_of_problems(review.problems)


def _row(snapshot: Snapshot) -> tuple[str, ...]:
    marks = [printable(snapshot.label)] if snapshot.label else []
    if not snapshot.confirmed:
        marks.append("(unconfirmed)")
    if snapshot.held:
        marks.append("(held)")
    if snapshot.problem_count:
        marks.append(f"({count(snapshot.problem_count, 'problem')})")
    return (
        snapshot.name[:8],
        local_time(snapshot.time),
        f"{snapshot.files:,}",
        human_size(snapshot.total_bytes),
        human_size(snapshot.added_bytes),
        " ".join(marks),
    )


def _warn(session: Session, review: HistoryReview) -> None:
    session.output.problems(review.problems)
    if review.missing:
        names = ", ".join(missing.hex()[:8] for missing in review.missing)
        session.output.warn(
            f"{count(len(review.missing), 'snapshot')} should be there and cannot be found: {names}. "
            "Nobody asked for this; keep the other copies of this repository safe."
        )
