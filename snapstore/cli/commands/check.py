"""`snapstore check`: is everything there, and is it what it was?

Here: options to `Repository.check`, and its report as text. Not here: mending (`repair`), restoring a sample (`drill`).

Rules: no secret is needed, and none is asked for unless --content says so or this computer knows nothing of the
repository; one that was given is used. --read-data takes a share (10%), a size (2G) or a time (20m), or stands alone
for everything. Damage goes to stdout, as the result that it is, and the exit code is 13. What costs only time or space
is shown with -v.
"""

from __future__ import annotations

import re

import click

from ...errors import NotEnrolledError
from ...upkeep_types import CheckOptions, CheckReport, HurtSnapshot
from ..context import Session, global_options
from ..exit_codes import ExitCode, exit_code_of_problems
from ..output import count, human_size, local_time, printable
from ..parameters import parse_size
from ..progress import MODES, show_progress

_SHOWN = 20
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h)")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600}
_ALL = "all"


def read_options(text: str | None) -> CheckOptions:
    """Return what "all", "10%", "2G" or "20m" means. ValueError for anything else."""
    if text is None:
        return CheckOptions()
    text = text.strip()
    if text == _ALL:
        return CheckOptions(read_data=True)
    if text.endswith("%"):
        share = float(text[:-1]) / 100
        if not 0 < share <= 1:
            raise ValueError(f"{text!r} is not a share")
        return CheckOptions(read_data=True, share=share)
    match = _TIME.fullmatch(text)
    if match is not None:
        return CheckOptions(read_data=True, max_seconds=float(match.group(1)) * _SECONDS[match.group(2)])
    return CheckOptions(read_data=True, max_bytes=parse_size(text))


def _read_data(ctx: click.Context, parameter: click.Parameter, value: str | None) -> CheckOptions:
    try:
        return read_options(value)
    except ValueError:
        message = f"{value!r} says not how much: write 10% (a share), 2G (a size; megabytes are 500M) or 20m (a time)."
        raise click.BadParameter(message, ctx=ctx, param=parameter) from None


@click.command("check")
@click.option(
    "--read-data",
    "options",
    is_flag=False,
    flag_value=_ALL,
    callback=_read_data,
    metavar="[N%|SIZE|TIME]",
    help="Read the packs too: all, or 10%, 2G, 20m of them; what was read longest ago first.",
)
@click.option("--content", is_flag=True, help="Ask for the secret, and open what the snapshots hold.")
@click.option("--no-record", is_flag=True, help="Do not keep the date and result in the repository.")
@click.option("--progress", type=click.Choice(MODES), default="auto", help="How to show progress.")
@global_options()
@click.pass_obj
def command(session: Session, options: CheckOptions, content: bool, no_record: bool, progress: str) -> int:
    """See that the repository is whole: all snapshots of all dossiers."""
    repository = session.repository()
    wanted = repository.protected and (content or session.secrets.configured)

    def run(secret: str | None) -> CheckReport:
        with show_progress(progress, session.output) as shown, session.interruption.patience() as cancel:
            return repository.check(
                options,
                secret=secret,
                dossier=session.dossier_name,
                record=not no_record,
                progress=shown,
                cancel=cancel,
            )

    try:
        report = run(session.secrets.existing(session.dossier_name) if wanted else None)
    except NotEnrolledError:
        if wanted or not repository.protected:
            raise
        report = run(session.secrets.existing(session.dossier_name))
    _tell(session, report)
    return ExitCode.DAMAGE if not report.whole else exit_code_of_problems(report.problems)


def _tell(session: Session, report: CheckReport) -> None:
    output = session.output
    output.problems(report.problems)
    if output.json:
        output.data(report)
        return
    damage = [item for item in report.findings if item.is_damage]
    notes = [item for item in report.findings if not item.is_damage]
    for item in damage if output.verbose else damage[:_SHOWN]:
        output.line(f"damage: {printable(item.message)}")
    if len(damage) > _SHOWN and not output.verbose:
        output.line(f"... and {len(damage) - _SHOWN:,} more; -v shows all")
    for snapshot in report.hurt:
        _tell_hurt(session, snapshot)
    for item in notes if output.verbose else ():
        output.line(f"note: {printable(item.message)}")
    output.summary(_figures(report))
    if notes and not output.verbose:
        output.summary(f"{count(len(notes), 'thing')} noted that cost no data; -v shows them.")
    if report.whole:
        output.summary("Everything that was looked at is whole.")
    else:
        output.line("This repository is damaged. Keep its other copies safe; snapstore repair says what can be mended.")


def _tell_hurt(session: Session, snapshot: HurtSnapshot) -> None:
    files = f", {count(snapshot.file_count, 'file')}" if snapshot.file_count else ""
    when = f" of {local_time(snapshot.time)}" if snapshot.time is not None else ""
    session.output.line(f"hurt: snapshot {snapshot.snapshot_id.hex()[:8]}{when} ({printable(snapshot.dossier)}){files}")
    shown = snapshot.files if session.output.verbose else snapshot.files[:_SHOWN]
    session.output.lines(f"    {printable(path)}" for path in shown)
    if len(shown) < snapshot.file_count:
        session.output.line(f"    ... and {snapshot.file_count - len(shown):,} more")


def _figures(report: CheckReport) -> str:
    read = f"{human_size(report.read_bytes)} of {human_size(report.stored_bytes)} read"
    if report.oldest_verified is not None:
        ever = f"all of it since {local_time(report.oldest_verified)}"
    elif report.verified_bytes > report.read_bytes:
        ever = f"{human_size(report.verified_bytes)} by this computer so far"
    else:
        ever = ""
    opened = ", content opened" if report.content else ""
    return (
        f"Checked {count(report.snapshots, 'snapshot')}, {count(report.objects, 'object')}, "
        f"{count(report.packs, 'pack')}{opened}; {read}{f', {ever}' if ever else ''}."
    )
