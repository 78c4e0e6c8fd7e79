"""What a server is asked about a path: is it a folder, how large is the file.

Here: functions on a control connection. Not here: listings (listing.py).

Rules: an answer of "no such file" is `False` or `None`, and means that nothing can be seen there; whether something is
truly absent is for place.py to find out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ...errors import StoreError, StoreUnavailableError
from .control import ControlConnection
from .replies import NO_SUCH_FILE, UNKNOWN_COMMAND, RefusedError, number_of

_COMMANDS_AT_ONCE: Final = 32


def _answers_to(client: ControlConnection, lines: Sequence[str]) -> list[str | RefusedError]:
    """Send commands at once and give the reply or the refusal of each."""
    client.putlines(lines)
    found: list[str | RefusedError] = []
    for line in lines:
        client.verb = line.partition(" ")[0]
        try:
            found.append(client.getresp())
        except RefusedError as refusal:
            found.append(refusal)
        except StoreUnavailableError as error:
            # There may be servers that forget what came too early. Asked one by one, the next time goes well.
            client.traits.one_by_one |= error.code == "store_timeout"
            raise
    client.in_step = True
    return found


def is_folder(client: ControlConnection, path: str) -> bool:
    """Whether one can change to the folder; it is the current one then."""
    try:
        client.voidcmd(f"CWD {path}")
    except RefusedError as refusal:
        if refusal.code in NO_SUCH_FILE:
            return False
        raise
    return True


def size_of(client: ControlConnection, path: str) -> int | None:
    """The size of a file; None where the server knows no file there, or does not tell."""
    try:
        reply = client.voidcmd(f"SIZE {path}")
    except RefusedError as refusal:
        if refusal.code in NO_SUCH_FILE:
            return None
        if refusal.code in UNKNOWN_COMMAND and "MLST" in client.features:
            return _size_by_facts(client, path)
        raise
    return _size_in(client, reply)


def _size_in(client: ControlConnection, reply: str) -> int:
    """The number in a reply to SIZE."""
    number = number_of(reply[3:])
    if reply[:3] != "213" or number is None:
        raise client.odd(reply)
    return number


def _size_by_facts(client: ControlConnection, path: str) -> int | None:
    try:
        reply = client.voidcmd(f"MLST {path}")
    except RefusedError as refusal:
        if refusal.code in NO_SUCH_FILE:
            return None
        raise
    for line in reply.split("\n")[1:-1]:
        facts = dict(fact.lower().partition("=")[::2] for fact in line.strip().partition(" ")[0].split(";"))
        if facts.get("type") == "file" and (size := number_of(facts.get("size", ""))) is not None:
            return size
    return None


def is_well(client: ControlConnection) -> bool:
    """Ask whether the server is still there and in step."""
    try:
        return client.voidcmd("NOOP")[:3] in ("200", "250")
    except (StoreError, RefusedError):
        return False


def sizes_of(client: ControlConnection, paths: Sequence[str]) -> Iterator[int | None]:
    """The size of each, asked for many at a time: else a listing takes as many ways over the network as names."""
    at_once = 1 if client.traits.one_by_one or "SIZE" not in client.features else _COMMANDS_AT_ONCE
    for start in range(0, len(paths), at_once):
        batch = paths[start : start + at_once]
        if len(batch) == 1:
            yield size_of(client, batch[0])
            continue
        for answer in _answers_to(client, [f"SIZE {path}" for path in batch]):
            if isinstance(answer, str):
                yield _size_in(client, answer)
            elif answer.code in NO_SUCH_FILE:
                yield None
            else:
                raise answer
