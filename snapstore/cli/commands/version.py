"""`snapstore version`: the version, and what it runs on, for reports of mistakes.

Here: versions of snapstore, Python and the system. Not here: anything of a repository.

Rules: opens nothing, and needs no global option. `snapstore --version` is the short form.
"""

from __future__ import annotations

import platform

import click

from ..context import Session, global_options


@click.command("version")
@global_options()
@click.pass_obj
def command(session: Session) -> None:
    """Print the version."""
    from ... import __version__

    if session.output.json:
        session.output.data(
            {"version": __version__, "python": platform.python_version(), "system": platform.platform(terse=True)}
        )
        return
    session.output.line(f"snapstore {__version__}")
    if session.output.verbose:
        session.output.line(f"Python {platform.python_version()} on {platform.platform(terse=True)}")
