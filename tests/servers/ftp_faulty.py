"""An FTP server that misbehaves when told to: pyftpdlib, with faults.

Run as `python ftp_faulty.py SETTINGS.json`, in a process of its own. The settings say where and how to serve; the
faults are read anew from a file before each command, so that a test changes them while the server runs:

    {"truncate": 5}               uploads lose their last 5 bytes, and are confirmed
    {"size_lie": 3}               SIZE says 3 more
    {"break_listing": "426"}      a listing ends in the middle, with 426; "kill": with the connection
    {"short_download": [9, "226"]} a download ends after 9 bytes, with this reply
    {"full": true}                an upload is answered with 452
    {"full_after": 1000}          the disk is full after as many bytes of an upload
    {"mute": ["STOR"]}            these commands are never answered
    {"refuse": {"DELE": "550 no"}} these commands are answered so
    {"kill_at": 7}                the connection is closed at the 7th command from now on, once
    {"drop_reply": "RNTO"}        this command is carried out and the connection closed instead of a reply, once
    {"kill_idle": true}           all connections are closed now

What was received is appended to a log, one verb a line.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any, ClassVar

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import DTPHandler, FTPHandler, TLS_DTPHandler, TLS_FTPHandler
from pyftpdlib.servers import FTPServer

SETTINGS: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text()) if __name__ == "__main__" else {}


class Faults:
    """The faults wished for now. A fault that happens once is over until the file changes."""

    def __init__(self) -> None:
        self.text = ""
        self.now: dict[str, Any] = {}
        self.commands = 0

    def read(self) -> dict[str, Any]:
        try:
            text = Path(SETTINGS["faults"]).read_text()
        except OSError:
            text = "{}"
        if text != self.text:
            self.text, self.now, self.commands = text, json.loads(text or "{}"), 0
        return self.now


FAULTS = Faults()


class FaultyData:
    """A data connection with faults; mixed into the real one."""

    broken: str | None = None

    def handle_read(self) -> None:
        limit = FAULTS.now.get("full_after")
        if limit is not None and self.tot_bytes_received > limit:
            self._resp = ("426 No space left on device; transfer aborted.", logging.debug)
            self.close()
        else:
            super().handle_read()

    handle_read_event = handle_read

    def handle_close(self) -> None:
        if self.broken == "kill":
            self._resp = None
            self.close()
            self.cmd_channel.close()
        elif self.broken and not self._closed:
            self._resp = (f"{self.broken} Broken off.", logging.debug)
            self.close()
        else:
            super().handle_close()


class FaultyControl:
    """A control connection with faults; mixed into the real one."""

    def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
        faults = FAULTS.read()
        FAULTS.commands += 1
        with open(SETTINGS["log"], "a") as log:
            log.write(f"{cmd}\n")
        if faults.get("kill_at") == FAULTS.commands:
            self.close()
        elif cmd in faults.get("refuse", {}):
            self.respond(faults["refuse"][cmd])
        elif cmd in faults.get("mute", []):
            pass
        elif cmd == "STOR" and faults.get("full"):
            self.respond("452 Insufficient storage space.")
        elif faults.get("drop_reply") == cmd:
            faults.pop("drop_reply")
            self.respond = lambda *words, **options: None
            super().pre_process_command(line, cmd, arg)
            self.close()
        else:
            super().pre_process_command(line, cmd, arg)

    def ftp_PASS(self, line: str) -> None:
        if SETTINGS.get("echo_password") and line != SETTINGS["password"]:
            self.respond(f"530 Wrong password {line}.")
        else:
            super().ftp_PASS(line)

    def ftp_SIZE(self, path: str) -> None:
        lie = FAULTS.now.get("size_lie")
        if lie and os.path.isfile(path):
            self.respond(f"213 {os.path.getsize(path) + lie}")
        else:
            super().ftp_SIZE(path)

    def ftp_AVBL(self, line: str) -> None:
        self.respond("213 123456789")

    def push_dtp_data(self, data: Any, isproducer: bool = False, file: Any = None, cmd: str | None = None) -> None:  # noqa: FBT002
        listing, download = FAULTS.now.get("break_listing"), FAULTS.now.get("short_download")
        if cmd in ("MLSD", "NLST") and listing:
            whole = _all_of(data) if isproducer else data
            self.broken_data(whole[: whole.index(b"\n", len(whole) // 2) + 1], listing)
        elif cmd == "RETR" and download:
            self.broken_data(file.read(download[0]), download[1])
            file.close()
        else:
            super().push_dtp_data(data, isproducer=isproducer, file=file, cmd=cmd)

    def broken_data(self, part: bytes, how: str) -> None:
        self.respond("125 Transfer starting.")
        self.data_channel.broken = how
        self.data_channel.push(part)
        self.data_channel.close_when_done()

    def on_file_received(self, file: str) -> None:
        lost = FAULTS.now.get("truncate")
        if lost:
            os.truncate(file, max(0, os.path.getsize(file) - lost))


def _all_of(producer: Any) -> bytes:
    return b"".join(iter(producer.more, b""))


def handler_class() -> Any:
    tls = SETTINGS["certificate"] is not None
    control, data = (TLS_FTPHandler, TLS_DTPHandler) if tls else (FTPHandler, DTPHandler)

    class Data(FaultyData, data):
        pass

    class Control(FaultyControl, control):
        dtp_handler = Data
        proto_cmds: ClassVar = {
            verb: rules for verb, rules in control.proto_cmds.items() if verb not in SETTINGS["missing"]
        }
        timeout = 300

    if SETTINGS["avbl"]:
        Control.proto_cmds["AVBL"] = {"perm": "l", "auth": True, "arg": None, "help": ""}
        Control.__init__ = _with_feature(Control.__init__)
    if tls:
        from OpenSSL import SSL

        Control.certfile = SETTINGS["certificate"]
        Control.tls_control_required = Control.tls_data_required = True
        if SETTINGS["tls"] == "1.2":
            Control.ssl_options |= SSL.OP_NO_TLSv1_3
        if SETTINGS["implicit"]:
            Control.handle = lambda self: self.secure_connection(self.ssl_context)
            Control.handle_ssl_established = control.handle
    return Control


def _with_feature(before: Any) -> Any:
    def initialise(self: Any, *arguments: Any, **options: Any) -> None:
        before(self, *arguments, **options)
        if hasattr(self, "_extra_feats"):
            self._extra_feats = [*self._extra_feats, "AVBL"]

    return initialise


def main() -> None:
    logging.basicConfig(level=logging.CRITICAL)
    authorizer = DummyAuthorizer()
    authorizer.add_user(SETTINGS["user"], SETTINGS["password"], SETTINGS["folder"], perm="elradfmwMT")
    handler = handler_class()
    handler.authorizer = authorizer
    server = FTPServer((SETTINGS["host"], SETTINGS["port"]), handler)
    server.max_cons_per_ip = SETTINGS["connections_per_ip"]
    server.serve_forever(handle_exit=False)


if __name__ == "__main__":
    main()
