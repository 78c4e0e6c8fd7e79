"""`snapstore store probe|login|logout`: try out a server, and keep its password in the system's keyring.

Here: the three commands. Not here: what is tried (`snapstore.probe`), and where else a password may come from
(`store_options.py`).

Rules: a probe writes to a folder of its own, which it removes; its exit code is 0 only if snapshots and prune are safe
at that address. `login` keeps what was typed and does not connect. A password is never an argument of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ...errors import InputError
from ..context import Session, global_options
from ..exit_codes import ExitCode
from ..output import human_seconds, human_size, printable
from ..progress import MODES, show_progress
from ..store_options import keyring_delete, keyring_set

if TYPE_CHECKING:
    from ... import ProbeReport

_ABILITIES = {
    "fsync": "what was stored is forced onto the server's disk; without it a power cut there may lose the last minutes",
    "posix_rename": "renaming that replaces; not needed",
    "statvfs": "free space; without it a full disk is noticed only when it is full",
    "mlsd": "listings made for programs; without them snapstore lists name by name",
    "rest": "reading from the middle of a file; without it a restore reads more than it needs",
    "avbl": "free space; without it a full disk is noticed only when it is full",
    "size": "the size of what was stored; without it nothing stored there can be trusted",
    "tls": "encryption on the way; without it names, sizes and the password travel in clear",
}


@click.group("store")
@global_options()
def command() -> None:
    """Try out a server, and keep its password."""


@command.command("probe")
@click.argument("address", required=False)
@click.option("--progress", type=click.Choice(MODES), default="auto", show_default=True, help="How to show progress.")
@global_options()
@click.pass_obj
def probe_store(session: Session, address: str | None, progress: str) -> int:
    """Try out the server at ADDRESS (default: the repository's) for up to a minute.

    A folder with a random name is made there and removed again. Says whether snapshots and prune are safe there.
    """
    from ... import probe

    url = session.access.address(address, main=True) if address else session.url()
    with show_progress(progress, session.output) as shown, session.interruption.patience() as cancel:
        report = probe(url, options=session.access.options(), progress=shown, cancel=cancel)
    if session.output.json:
        session.output.data({"probe": report, "safe": report.safe})
    else:
        _show(session, report)
    return ExitCode.DONE if report.safe else ExitCode.PROBLEMS


@command.command("login")
@click.argument("address", required=False)
@global_options()
@click.pass_obj
def login(session: Session, address: str | None) -> None:
    """Ask for the password of the server at ADDRESS and keep it in the system's keyring."""
    server = _server(session, address)
    keyring_set(server, session.access.chosen(server))
    _done(session, server, f"The keyring has the password of {server} now.")


@command.command("logout")
@click.argument("address", required=False)
@global_options()
@click.pass_obj
def logout(session: Session, address: str | None) -> None:
    """Remove the password of the server at ADDRESS from the system's keyring."""
    server = _server(session, address)
    if not keyring_delete(server):
        raise InputError(f"The keyring has no password of {server}.", code="password_missing")
    _done(session, server, f"The keyring has no password of {server} any more.")


def _server(session: Session, address: str | None) -> str:
    from ... import RemoteAddress

    return RemoteAddress.parse(session.access.address(address, main=True) if address else session.url()).server


def _done(session: Session, server: str, text: str) -> None:
    if session.output.json:
        session.output.data({"server": server})
    session.output.summary(printable(text))


def _show(session: Session, report: ProbeReport) -> None:
    output = session.output
    for rule in report.rules:
        if rule.outcome != "passed" or output.verbose:
            detail = f": {rule.detail}" if rule.detail else ""
            output.line(printable(output.redact(f"{rule.outcome:8}{rule.words}{detail}")))
    passed = sum(rule.outcome == "passed" for rule in report.rules)
    output.line(f"{passed} of {len(report.rules)} rules hold at {printable(report.url)}.")
    for name, there in sorted(report.abilities.items()):
        if not there or output.verbose:
            meaning = _ABILITIES.get(name, "")
            output.line(f"{'has' if there else 'lacks'} {printable(name)}" + (f" ({meaning})" if meaning else ""))
    output.lines(_figures(report))
    output.line(f"Snapshots are {_safe(report.snapshots)} here; prune is {_safe(report.prune)} here.")
    if report.left_behind:
        output.warn(f"Something was left there; remove it by hand: {report.left_behind}")


def _figures(report: ProbeReport) -> list[str]:
    figures = []
    if report.round_trip_seconds is not None:
        figures.append(f"one small read {report.round_trip_seconds * 1000:.1f} ms")
    if report.upload_bytes_per_second is not None:
        figures.append(f"up {human_size(report.upload_bytes_per_second)}/s")
    if report.download_bytes_per_second is not None:
        figures.append(f"down {human_size(report.download_bytes_per_second)}/s")
    figures.append(f"tried for {human_seconds(report.seconds)}")
    if report.retries:
        figures.append(f"{report.retries:,} calls had to be made again")
    return [f"Measured: {', '.join(figures)}."]


def _safe(outcome: str) -> str:
    return {"passed": "safe", "failed": "NOT safe"}.get(outcome, "perhaps not safe (not all could be tried)")
