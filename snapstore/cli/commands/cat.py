"""`snapstore cat SNAPSHOT PATH`: the content of one file to standard output.

Here: the copying. Not here: whole folders (`restore`).

Rules: bytes are written as they are, whatever the terminal thinks of them. Only what belongs to the file is read from
the repository, and what is written has been verified before.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, BinaryIO

import click

from ..context import Session, global_options

if TYPE_CHECKING:
    from ... import Dossier

COPY_BYTES = 1024 * 1024  # what the library fetches at a time anyway


@click.command("cat")
@click.argument("snapshot")
@click.argument("path")
@global_options()
@click.pass_obj
def command(session: Session, snapshot: str, path: str) -> None:
    """Write the file PATH of SNAPSHOT to standard output."""

    def begin(dossier: Dossier) -> BinaryIO:
        return dossier.open_file(snapshot, path)

    with session.reading(begin) as file:
        shutil.copyfileobj(file, sys.stdout.buffer, COPY_BYTES)
    sys.stdout.buffer.flush()
