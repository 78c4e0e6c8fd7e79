"""`snapstore hold SNAPSHOT...`: let no policy forget snapshots.

Here: the command. Not here: what forgets them (`forget`), and how records of stations that hold and let go at once
add up (docs/format/09-records.md).

Rules: no secret is needed. `snapstore list` marks what is held.
"""

from __future__ import annotations

import click

from ..context import Session, global_options
from ..output import count


@click.command("hold")
@click.argument("snapshots", nargs=-1, required=True, metavar="SNAPSHOT...")
@global_options()
@click.pass_obj
def command(session: Session, snapshots: tuple[str, ...]) -> None:
    """Let no policy forget SNAPSHOT..., until unhold."""
    dossier = session.dossier()
    found = {snapshot.id: snapshot for snapshot in map(dossier.find, snapshots)}
    dossier.hold(*found.values())
    if session.output.json:
        session.output.data({"dossier": dossier.name, "held": list(found)})
    session.output.summary(f"{count(len(found), 'snapshot')} held.")
