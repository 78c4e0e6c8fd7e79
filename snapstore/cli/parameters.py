"""Kinds of command-line values that click does not have.

Here: sizes such as "100M". Not here: global options (`context.py`).

Rules: a value that does not parse is a usage error (exit code 2) that says what would. Units are binary, because the
sizes that the command prints are.
"""

from __future__ import annotations

import re

import click

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_size(text: str) -> int:
    """Return bytes for "100", "64K", "1.5G", "20MiB". ValueError for anything else."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size")
    number, unit = match.groups()
    return int(float(number) * 1024 ** _POWERS[unit.upper()]) if unit or "." in number else int(number)


def size_option(ctx: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Return the bytes that an option's text means; a callback for `click.option`."""
    if value is None:
        return None
    try:
        return parse_size(value)
    except ValueError:
        message = f"{value!r} is not a size; write it like 500K, 100M or 1.5G."
        raise click.BadParameter(message, ctx=ctx, param=parameter) from None
