"""`snapstore parity add`: parity for packs that have none.

Here: options to `Repository.add_parity`, and the report as text. Not here: healing by parity (`repair`).

Rules: it needs no secret and reads every pack that has no parity yet. Packs that are damaged are problems, exit code 3.
"""

from __future__ import annotations

import click

from ..context import Session, global_options
from ..exit_codes import ExitCode
from ..output import count, human_size
from ..progress import MODES, show_progress


@click.group("parity")
@global_options()
def command() -> None:
    """Store what heals damaged places of the medium."""


@command.command("add")
@click.option("--progress", type=click.Choice(MODES), default="auto", help="How to show progress.")
@global_options()
@click.pass_obj
def add(session: Session, progress: str) -> int:
    """Store parity for all packs that have none; from then on new ones get it too."""
    repository = session.repository()
    with show_progress(progress, session.output) as shown, session.interruption.patience() as cancel:
        report = repository.add_parity(progress=shown, cancel=cancel)
    session.output.problems(report.problems)
    if session.output.json:
        session.output.data(report)
    else:
        session.output.summary(
            f"Parity added for {count(report.added, 'pack')}, {human_size(report.added_bytes)}; "
            f"{count(report.packs, 'pack')} {'has' if report.packs == 1 else 'have'} parity now."
        )
    return ExitCode.PROBLEMS if report.problems else ExitCode.DONE
