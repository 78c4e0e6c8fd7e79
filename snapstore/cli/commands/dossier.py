"""`snapstore dossier add|list|rename|remove`: the sets of files that have one history and one secret each.

Here: the four commands. Not here: snapshots, which have verbs of their own.

Rules: a secret that is chosen is typed twice. Removing a dossier takes all its snapshots with it, so it asks first;
where nobody can be asked it does nothing without --yes.
"""

from __future__ import annotations

import sys

import click

from ...errors import InputError
from ..context import Session, global_options
from ..output import printable, table


@click.group("dossier")
@global_options()
def command() -> None:
    """Add, list, rename and remove dossiers."""


@command.command("add")
@click.argument("name")
@click.option("--recovery-code", is_flag=True, help="Print a code that opens the dossier if the secret is lost.")
@global_options()
@click.pass_obj
def add(session: Session, name: str, recovery_code: bool) -> None:
    """Add the dossier NAME; its secret is asked for twice."""
    repository = session.repository()
    secret = session.secrets.chosen(name) if repository.protected else None
    dossier = repository.create_dossier(name, secret=secret)
    code = dossier.add_recovery_code(secret=secret) if recovery_code else None
    if session.output.json:
        session.output.data({"dossier": dossier.id, "name": dossier.name, "recovery_code": code})
        return
    session.output.summary(f"Added the dossier {printable(dossier.name)}.")
    if code is not None:
        session.output.line(f"Recovery code: {code}")
    if repository.protected:
        session.output.remark("Keep the secret safe: without it nobody can restore this dossier.")


@command.command("list")
@global_options()
@click.pass_obj
def list_dossiers(session: Session) -> None:
    """List the dossiers. Those that this computer has not been let into have no name here."""
    infos = session.repository().dossiers()
    if session.output.json:
        session.output.data({"dossiers": infos})
        return
    rows = [
        (
            info.id.hex()[:8],
            printable(info.name) if info.name is not None else "?",
            "yes" if info.protected else "no",
            "yes" if info.enrolled else "no",
        )
        for info in infos
    ]
    session.output.lines(table(("ID", "NAME", "PROTECTED", "KNOWN HERE"), rows))


@command.command("rename")
@click.argument("old")
@click.argument("new")
@global_options()
@click.pass_obj
def rename(session: Session, old: str, new: str) -> None:
    """Give the dossier OLD the name NEW."""
    session.unlocked(session.dossier(old)).rename(new)
    if session.output.json:
        session.output.data({"old": old, "new": new})
    session.output.summary(f"Renamed {printable(old)} to {printable(new)}.")


@command.command("remove")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@global_options()
@click.pass_obj
def remove(session: Session, name: str, yes: bool) -> None:
    """Remove the dossier NAME with all its snapshots."""
    if not yes:
        _ask_whether_to_remove(name)
    dossier = session.dossier(name)
    secret = session.secrets.existing(name) if dossier.repository.protected else None
    dossier.repository.remove_dossier(dossier.name, secret=secret)
    if session.output.json:
        session.output.data({"removed": name})
    session.output.summary(f"Removed the dossier {printable(name)}.")


def _ask_whether_to_remove(name: str) -> None:
    if not sys.stdin.isatty():
        raise InputError("Removing a dossier asks first, and there is nobody to ask. Use --yes.")
    print(f"Remove the dossier {printable(name)} and all its snapshots? Type its name: ", end="", file=sys.stderr)
    sys.stderr.flush()
    if sys.stdin.readline().rstrip("\r\n") != name:
        raise InputError("That was not its name. Nothing was removed.", code="not_confirmed")
