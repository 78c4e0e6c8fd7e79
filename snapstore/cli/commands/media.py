"""`snapstore media list|test`: the sticks and disks that are plugged in.

Here: the two commands. Not here: how media are found, and what the test writes.

Rules: neither needs a repository or a secret. A medium that fails the test has the exit code of damage: use another
one. A quick test that could not reach all over the medium says what it has not shown.
"""

from __future__ import annotations

import click

from ...types import MediumInfo, MediumTestReport
from ..context import Session, global_options
from ..exit_codes import ExitCode
from ..output import human_seconds, human_size, local_time, printable, table
from ..progress import MODES, show_progress

_SHOWN_DIGITS = 8


@click.group("media")
@global_options()
def command() -> None:
    """List the media that are plugged in, and test one."""


@command.command("list")
@global_options()
@click.pass_obj
def list_media(session: Session) -> None:
    """List the sticks and disks that are plugged in, and the repository on each."""
    from ... import media

    found = media(state_dir=session.state_dir)
    if session.output.json:
        session.output.data({"media": found})
        return
    titles = ("LABEL", "PATH", "FILE SYSTEM", "SIZE", "FREE", "REPOSITORY", "MEDIUM", "LAST USED")
    session.output.lines(table(titles, map(_row, found), right=(3, 4)))
    if not found:
        session.output.remark("No removable medium is plugged in and mounted.")


def _row(info: MediumInfo) -> tuple[str, ...]:
    return (
        printable(info.label) or "-",
        printable(info.path),
        (info.file_system or "-") + (" (read-only)" if info.read_only else ""),
        "-" if info.total_bytes is None else human_size(info.total_bytes),
        "-" if info.free_bytes is None else human_size(info.free_bytes),
        "-" if info.repository_id is None else info.repository_id.hex()[:_SHOWN_DIGITS],
        "-" if info.medium_id is None else info.medium_id.hex()[:_SHOWN_DIGITS],
        local_time(info.last_used),
    )


@command.command("test")
@click.argument("path", metavar="PATH|usb:LABEL")
@click.option("--full", is_flag=True, help="Write all free space: finds every medium that lies about its size.")
@click.option("--progress", type=click.Choice(MODES), default="auto", help="How to show progress.")
@global_options()
@click.pass_obj
def test(session: Session, path: str, full: bool, progress: str) -> int:
    """Write to a medium, read it back, and say whether it kept everything.

    What is on the medium is not touched, and what is written is removed again.
    """
    from ... import test_medium

    with show_progress(progress, session.output) as shown, session.interruption.patience() as cancel:
        report = test_medium(path, full=full, progress=shown, cancel=cancel)
    session.output.problems(report.problems)
    if session.output.json:
        session.output.data(report)
    else:
        _tell(session, report)
    return ExitCode.DONE if report.passed else ExitCode.DAMAGE


def _tell(session: Session, report: MediumTestReport) -> None:
    speeds = [
        f"{human_size(rate)}/s {verb}"
        for rate, verb in ((report.write_bytes_per_second, "written"), (report.read_bytes_per_second, "read"))
        if rate is not None
    ]
    session.output.summary(
        f"{human_size(report.written_bytes)} written to {printable(report.path)}, {human_size(report.verified_bytes)} "
        f"came back as written, in {human_seconds(report.duration_seconds)} ({', '.join(speeds) or 'nothing done'})."
    )
    if not report.passed:
        session.output.line("The medium FAILED. Do not keep backups on it.")
    elif report.full:
        session.output.summary("The medium kept everything.")
    elif report.spread:
        session.output.summary("The medium kept everything, at places all over its free space. --full tests all of it.")
    else:
        session.output.summary(
            "The medium kept everything. Its size was not tested: this file system does not let a quick test reach "
            "the end of the free space. --full tests all of it."
        )
