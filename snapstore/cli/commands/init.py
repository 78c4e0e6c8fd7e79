"""`snapstore init`: make a repository.

Here: the options of `snapstore.init`, the only decisions that cannot be changed later. Not here: dossiers; a new
repository has none until `snapstore dossier add`, which is where a secret is chosen.

Rules: never touches a place that already holds a repository.
"""

from __future__ import annotations

import click

from ..context import Session, global_options
from ..output import printable


@click.command("init")
@click.option("--unprotected", is_flag=True, help="No dossier has a secret: whoever holds the medium can read it.")
@click.option("--share", is_flag=True, help="Store large files that several dossiers have only once.")
@global_options()
@click.pass_obj
def command(session: Session, unprotected: bool, share: bool) -> None:
    """Make a repository at the address given with -r."""
    from ... import init

    url = session.url()
    options = session.access.options()
    repository = init(url, protected=not unprotected, share=share, state_dir=session.state_dir, options=options)
    session.hold(repository)
    if session.output.json:
        session.output.data(
            {
                "repository": repository.id,
                "medium": repository.medium_id,
                "url": repository.url,
                "protected": repository.protected,
                "shared": repository.shared,
            }
        )
        return
    session.output.summary(f"Made a repository at {printable(repository.url)}.")
    if url.lower().startswith("usb:"):
        # Sticks that lie about their size are found before anything relies on them, or when it is too late.
        word = f'"{url}"' if " " in url else url  # every shell, and Windows', takes these quotes
        session.output.summary(f"A new stick? Test it once: snapstore media test {printable(word)}")
    session.output.summary("Next: snapstore dossier add NAME")
