"""The entry point `main()`: makes the streams safe, checks that click is there, hands over.

Here: what must happen before anything heavy is imported. Not here: commands (`commands/`), their loading (`group.py`),
what becomes of errors (`failures.py`).

Rules: nothing but the standard library is imported at the top, and of that only what every Python start loads anyway:
`snapstore --version` has 150 ms including the start of the interpreter, and is answered without click. A missing extra
is told in one line with the cure, never as a traceback.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

_MISSING = 'snapstore: the command needs the package "{name}". Install it with: pip install "snapstore[cli]"'


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (default: those of the process) and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _let_any_name_be_printed()
    if given == ["--version"]:
        from .. import __version__

        print(f"snapstore {__version__}")
        return 0
    # A snapshot makes and drops a few small objects for each file, none of them in cycles: looking for cycles after
    # each 700 took a thirtieth of its time. This process is the command's own; the library never touches the collector.
    gc.set_threshold(50_000, 20, 50)
    try:
        import click  # noqa: F401  # only to see that it is there
    except ModuleNotFoundError as error:
        print(_MISSING.format(name=error.name), file=sys.stderr)
        return 1
    from .group import run

    return run(given)


def _let_any_name_be_printed() -> None:
    # A code page that lacks a letter must not end a backup with UnicodeEncodeError.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
