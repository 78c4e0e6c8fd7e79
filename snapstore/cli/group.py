"""The command group: names of commands, and the loading of each only when it is called.

Here: `COMMANDS`, `run`. Not here: the commands (`commands/`, one module per verb, each with an object `command`).

Rules: a command's module is imported when its name is given (or the help is shown), and imports of the library's
operations happen inside it. click's own `main` is not used, because it turns errors and Ctrl-C into messages and exit
codes of its own.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from .context import Session, global_options
from .exit_codes import ExitCode
from .failures import report_failure

COMMANDS = {
    "init": "init",
    "dossier": "dossier",
    "station": "station",
    "snapshot": "snapshot",
    "list": "list",
    "ls": "ls",
    "cat": "cat",
    "restore": "restore",
    "check": "check",
    "drill": "drill",
    "repair": "repair",
    "copy": "copy",
    "prune": "prune",
    "forget": "forget",
    "hold": "hold",
    "unhold": "unhold",
    "parity": "parity",
    "media": "media",
    "store": "store",
    "version": "version",
}


class LazyGroup(click.Group):
    """A group whose commands are modules of `commands/`, in the order in which one needs them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, as the help shows them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f".commands.{COMMANDS[cmd_name]}", __package__)
        command: click.Command = module.command
        return command


def _version(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
    if value:
        from .. import __version__

        click.echo(f"snapstore {__version__}")
        ctx.exit(0)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version)
@global_options(environment=True)
def snapstore() -> None:
    """Encrypted backups that go on from where they were, in a folder, on a stick or on a server.

    The global options may stand before or after the command's name.
    """


def run(arguments: Sequence[str]) -> int:
    """Run the command line `arguments` and return the exit code. Nothing is raised."""
    session = Session()
    session.interruption.install()
    try:
        try:
            with session, snapstore.make_context("snapstore", list(arguments), obj=session) as context:
                result = snapstore.invoke(context)
            sys.stdout.flush()
        finally:
            session.interruption.uninstall()
    except BaseException as error:
        # Options may not have been read yet when the command line itself is wrong.
        as_json = session.output.json or "--json" in arguments
        return int(report_failure(error, session, as_json=as_json))
    return int(result) if isinstance(result, int) else int(ExitCode.DONE)
