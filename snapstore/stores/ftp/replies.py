"""What a server's replies mean to a store.

Here: `RefusedError`, which a reply of 4xx or 5xx becomes inside this package, and the store's errors made of it. Not
here: reading replies (client.py).

Rules: nothing that a server says is passed on as it is. Its words are cut to one printable line, and left out where
they hold the password, as some servers repeat what they were sent. The replies to a login are never shown. A full disk
has two codes of its own, and servers that use others for it are known by their words.
"""

from __future__ import annotations

from typing import Final

from ...errors import StoreError, StoreFullError, StorePermissionError, StoreUnavailableError

NO_SUCH_FILE: Final = frozenset({450, 550, 553})
"""Codes with which servers answer for something that is not there, and for much else."""
NO_SUCH_FOLDER: Final = NO_SUCH_FILE | {501}  # RFC 3659, chapter 7.2.1: MLSD of what is no folder
UNKNOWN_COMMAND: Final = frozenset({500, 501, 502, 503, 504})
SERVICE_CLOSING: Final = 421
_FULL: Final = frozenset({452, 552})
_LOGIN: Final = frozenset({530, 532})
_WORDS_MAX_CHARS: Final = 160
_NUMBER_MAX_DIGITS: Final = 20  # of 64 bits; Python refuses to read some thousands
# The last one is all that vsftpd says of a write that failed, which is for want of space more often than of anything.
_FULL_WORDS: Final = (
    "no space",
    "disk full",
    "quota",
    "insufficient storage",
    "not enough space",
    "failure writing to local file",
)


class RefusedError(Exception):
    """A reply of 4xx or 5xx. The connection is in step and can go on being used."""

    def __init__(self, code: int, words: str, command: str) -> None:
        super().__init__(f"{code} {words}")
        self.code = code
        self.words = words
        self.command = command
        """The verb that was refused, such as "STOR"."""


def words_of(reply: str, secret: str) -> str:
    """The words of a reply, fit to be shown."""
    line = reply.partition("\n")[0][4:]
    if secret and secret in line:
        return "(words that hold the password)"
    return "".join(letter for letter in line if letter.isprintable()).strip()[:_WORDS_MAX_CHARS]


def number_of(text: str) -> int | None:
    """A number that a server sent; None for what is none, or none of a file."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _NUMBER_MAX_DIGITS else None


def is_lost(error: StoreError) -> bool:
    """Whether a connection ended in the middle of something, so that it is not known what the server did."""
    return isinstance(error, StoreUnavailableError) and error.code in ("connection_lost", "store_timeout")


def lost_error(url: str, reason: str) -> StoreUnavailableError:
    """A connection ended, or what came made no sense."""
    return StoreUnavailableError(
        f"The connection to {url} was lost ({reason}): see that the network is up, and try again.",
        code="connection_lost",
    )


def timeout_error(url: str) -> StoreUnavailableError:
    """A server was silent for too long."""
    return StoreUnavailableError(
        f"{url} did not answer in time: see that the server and the network are well, and try again.",
        code="store_timeout",
    )


def unfit_error(url: str, what: str) -> StoreError:
    """A server that cannot do what a store needs."""
    return StoreError(f"The FTP server of {url} cannot be used as a store: {what}.", code="ftp_server_unfit")


def refused_error(error: RefusedError, doing: str, url: str) -> StoreError:
    """The store's error for a refusal that came while `doing` something, such as "store packs/a/0123"."""
    message = f"Could not {doing} in {url}: the server said {error}."
    words = error.words.lower()
    if error.code in _FULL or any(said in words for said in _FULL_WORDS):
        return StoreFullError(f"{message} Free some space there, or use another store.")
    if error.code in _LOGIN:
        return StorePermissionError(f"{message} See that the user may do this.", code="login_refused")
    if error.code in UNKNOWN_COMMAND:
        return unfit_error(url, f"it does not know {error.command} ({error})")
    if error.code < 500:
        return StoreUnavailableError(f"{message} Try again.")
    return StorePermissionError(f"{message} See that the user may read and write there.")
