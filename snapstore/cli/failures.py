"""What becomes of an exception: one line on stderr, and an exit code.

Here: `report_failure`. Not here: the codes themselves (`exit_codes.py`).

Rules: errors that snapstore raises on purpose are printed with their own message; those of the operating system with
the system's; anything else is a mistake in the program, whose message might hold anything, so that only its class is
named. Tracebacks only with `-v -v`, and with every known secret and password taken out. With --json it is one object
`{"error": {"code": ..., "message": ...}}`. A reader that went away (`| head`) is no reason to say anything.
"""

from __future__ import annotations

import os
import sys
import traceback

import click

from ..errors import SnapstoreError
from .context import Session
from .exit_codes import ExitCode, exit_code_of
from .output import json_line, printable

_HELP_WAS_SHOWN: type[click.UsageError] | tuple[()] = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""click has it since 8.2; before, a call without arguments shows the help by itself."""


def report_failure(error: BaseException, session: Session, *, as_json: bool) -> int:
    """Tell about `error` and return the exit code."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        _drop_stdout()
        return ExitCode.FAILED
    if isinstance(error, _HELP_WAS_SHOWN):
        error.show()
        return ExitCode.USAGE
    code, message = _describe(error)
    message = session.redact(message)
    if as_json:
        print(json_line({"error": {"code": code, "message": message}}), file=sys.stderr)
    else:
        print(f"snapstore: {printable(message)}", file=sys.stderr)
    if session.output.verbose > 1:
        text = "".join(traceback.format_exception(error))
        print(session.redact(text), end="", file=sys.stderr)
    return ExitCode.USAGE if isinstance(error, click.UsageError) else exit_code_of(error)


def _describe(error: BaseException) -> tuple[str, str]:
    if isinstance(error, SnapstoreError):
        return error.code, str(error)
    if isinstance(error, click.UsageError):
        name = error.ctx.command_path if error.ctx is not None else "snapstore"
        return "usage", f"{error.format_message()} See: {name} --help"
    if isinstance(error, click.ClickException):
        return "error", error.format_message()
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "Interrupted."
    if isinstance(error, EOFError):
        return "interrupted", "Nothing was typed."
    if isinstance(error, OSError):
        where = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, (str, bytes)) else ""
        return "os_error", f"{error.strerror or type(error).__name__}{where}"
    name = type(error).__name__
    return "unexpected", f"This is a mistake in snapstore ({name}). Please report it, with what -v -v shows."


def _drop_stdout() -> None:
    # The interpreter flushes stdout when it ends, and would complain about the same broken pipe.
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
