"""Operating system errors of a source as `Problem`s.

Here: the codes, and the words for them. Not here: what is done about them; a snapshot goes on without the file.

Rules: codes are stable and only ever added. `vanished` and `replaced` mean that the source changed under the walk;
`unreadable` that this user may not read; `read_error` that the disk or the system failed.
"""

from __future__ import annotations

import errno
from typing import Final

from ..types import Problem

_CODES: Final = {
    errno.EACCES: "unreadable",
    errno.EPERM: "unreadable",
    errno.ENOENT: "vanished",
    errno.ENOTDIR: "replaced",
    errno.ELOOP: "replaced",
    errno.ESTALE: "replaced",
}
_SHARING_VIOLATIONS: Final = (32, 33)  # Windows: another program holds the file, or a part of it, for itself alone


def replaced(path: str) -> OSError:
    """Return the error that says: what is at `path` now is not what was scanned."""
    return OSError(errno.ESTALE, "it was replaced by something else while it was being saved", path)


def problem_from_error(error: OSError, path: str) -> Problem:
    """Return `error`, met at `path`, as data for the report."""
    if getattr(error, "winerror", None) in _SHARING_VIOLATIONS:
        return Problem(code="in_use", path=path, message="Another program holds it open for itself alone.")
    code = _CODES.get(error.errno or 0, "read_error")
    return Problem(code=code, path=path, message=f"It could not be read: {error.strerror or type(error).__name__}.")


def unsupported_type(path: str) -> Problem:
    """Return the problem for a socket, or for a kind of file that this version does not know."""
    return Problem(
        code="unsupported_type", path=path, message="A socket or an unknown kind of file: it cannot be saved."
    )
