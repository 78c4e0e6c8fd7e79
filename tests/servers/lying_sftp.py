"""A subsystem for sshd that speaks for a real sftp-server, and lies when told to.

    Subsystem sftp python lying_sftp.py FILE PROGRAM        PROGRAM is the real one

FILE says the lie of the moment in one word, or is empty or absent:

    short      the last bytes of each write do not arrive, and are confirmed
    lost       no write arrives, and all are confirmed
    full       no write arrives: FAILURE, as for a full disk
    listing    a folder's listing fails where its first names should come
    later      a folder's listing gives names and then fails instead of ending

Rules: messages are passed on one by one and whole; what is made up has the number of the request it answers.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import BinaryIO, Final

WRITE: Final = 6
READDIR: Final = 12
STATUS: Final = 101
NAME: Final = 104
OK: Final = 0
EOF: Final = 1
FAILURE: Final = 4
LOST_BYTES: Final = 5


class Liar:
    """Stands between a client and a server, each with a stream in and out."""

    def __init__(self, lie_file: Path, server: subprocess.Popen[bytes]) -> None:
        assert server.stdin is not None
        assert server.stdout is not None
        self._lie_file = lie_file
        self._to_server, self._from_server = server.stdin, server.stdout
        self._from_client, self._to_client = sys.stdin.buffer, sys.stdout.buffer
        self._lock = threading.Lock()
        self._listings: set[bytes] = set()  # numbers of requests for names

    def run(self) -> None:
        answers = threading.Thread(target=self._pass_answers, daemon=True)
        answers.start()
        while message := read_message(self._from_client):
            changed = self._request(message)
            if changed:
                write_message(self._to_server, changed)
        self._to_server.close()
        answers.join()

    def _pass_answers(self) -> None:
        while message := read_message(self._from_server):
            self._say(self._answer(message))

    def _say(self, message: bytes) -> None:
        with self._lock:
            write_message(self._to_client, message)

    def _lie(self) -> str:
        try:
            return self._lie_file.read_text(encoding="ascii").strip()
        except OSError:
            return ""

    def _request(self, message: bytes) -> bytes:
        """What is passed on of a request; nothing if it was answered here."""
        kind, number = message[0], message[1:5]
        if kind == READDIR:
            self._listings.add(number)
        if kind != WRITE:
            return message
        match self._lie():
            case "lost":
                self._say(status(number, OK))
                return b""
            case "full":
                self._say(status(number, FAILURE))
                return b""
            case "short":
                handle_size = struct.unpack_from(">I", message, 5)[0]
                start = 9 + handle_size + 8 + 4
                kept = message[start : max(start, len(message) - LOST_BYTES)]
                return message[: start - 4] + struct.pack(">I", len(kept)) + kept
        return message

    def _answer(self, message: bytes) -> bytes:
        kind, number = message[0], message[1:5]
        if number not in self._listings:
            return message
        self._listings.discard(number)
        lie = self._lie()
        ends = kind == STATUS and struct.unpack_from(">I", message, 5)[0] == EOF
        if (lie == "listing" and kind == NAME) or (lie == "later" and ends):
            return status(number, FAILURE)
        return message


def status(number: bytes, code: int) -> bytes:
    return bytes([STATUS]) + number + struct.pack(">III", code, 0, 0)


def read_message(stream: BinaryIO) -> bytes:
    head = stream.read(4)
    return stream.read(struct.unpack(">I", head)[0]) if len(head) == 4 else b""


def write_message(stream: BinaryIO, message: bytes) -> None:
    stream.write(struct.pack(">I", len(message)) + message)
    stream.flush()


def main() -> None:
    lie_file, program = sys.argv[1:]
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        try:
            Liar(Path(lie_file), server).run()
        except OSError:
            server.kill()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
