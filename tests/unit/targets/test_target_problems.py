"""The codes: all in the table, and the right ones for what systems say."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from snapstore.errors import TargetError
from snapstore.targets import problems


def test_every_code_in_use_is_in_the_table() -> None:
    package = Path(problems.__file__).parent
    used = set()
    for module in package.glob("*.py"):
        used |= set(re.findall(r'(?:code: str = |code=|_note\()"(\w+)"', module.read_text(encoding="utf-8")))
    table = set(re.findall(r"^\| `(\w+)` \|", problems.__doc__ or "", re.MULTILINE))
    assert used == table
    assert table > problems.FATAL_CODES


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "target_full"),
        (errno.EDQUOT, "target_full"),
        (errno.EIO, "target_failed"),
        (errno.EROFS, "target_failed"),
        (errno.EFBIG, "file_too_large"),
        (errno.ELOOP, "in_the_way"),
        (errno.EEXIST, "in_the_way"),
        (errno.EPERM, "not_restored"),
    ],
)
def test_what_the_system_says(number: int, code: str) -> None:
    error = problems.translate(OSError(number, "text"), "folder/file")
    assert error.code == code
    assert "folder/file" in str(error)


def test_an_error_that_is_translated_already_stays() -> None:
    error = TargetError("x", code="in_the_way")
    assert problems.translate(error, "y") is error
    assert problems.translate(ValueError("embedded null byte"), "y", code="name_invalid").code == "name_invalid"
