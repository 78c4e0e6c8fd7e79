"""Where a secret comes from: a file, standard input, a command, the environment, or a person at the terminal.

Here: `SecretSupply`, which knows the sources that were asked for and reads the chosen one once. Not here: what a
secret must be like (`snapstore` itself refuses short ones) and who needs one (`context.py`).

Rules: never an argument of the command line, where every user of the machine reads it. The environment variable is
removed as soon as it is read, so that no child process inherits it. Prompts go to the terminal itself, never through
stdin or stdout; a secret that is chosen is typed twice. `redact` takes known secrets out of any text that is about to
be printed. Sources in order: --secret-file or --secret-command, then SNAPSTORE_SECRET, then the prompt.
"""

from __future__ import annotations

import codecs
import os
import shlex
import stat
import sys
from collections.abc import Callable

from ..errors import InputError, SecretRequiredError

ENVIRONMENT_VARIABLE = "SNAPSTORE_SECRET"
_TRIES_TO_CHOOSE = 3
_READ_BYTES = 8192  # more than a secret may have, so that the library sees and refuses one that is too long


class SecretSupply:
    """Gives out the secret. `file` and `command` are set by the options before the first call."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self.file: str | None = None
        self.command: str | None = None
        self._warn = warn
        self._environment = os.environ.pop(ENVIRONMENT_VARIABLE, None) or None
        self._typed: str | None = None
        self._known: list[str] = []

    @property
    def configured(self) -> bool:
        """True if a secret can be had without asking a person."""
        return bool(self.file or self.command or self._environment)

    def existing(self, dossier: str | None) -> str:
        """Return the secret of a dossier that exists, asking once if no source was given."""
        found = self._from_sources() or self._typed
        if found is None:
            found = self._typed = self._remember(ask(f"Secret{_of(dossier)}: "))
        return found

    def chosen(self, dossier: str) -> str:
        """Return the secret for a new dossier, asking twice if no source was given."""
        configured = self._from_sources()
        if configured:
            return configured
        for _ in range(_TRIES_TO_CHOOSE):
            first = self._remember(ask(f"Choose a secret{_of(dossier)} (at least 8 characters): "))
            if first == self._remember(ask("The same again: ")):
                return first
            self._warn("The two were not the same.")
        raise InputError("The secret was not typed twice the same way. Nothing was made.", code="secret_mismatch")

    def other(self, file: str | None, command: str | None) -> str | None:
        """Return a second secret, of a file or a command; None if neither was given."""
        if not file and not command:
            return None
        others = SecretSupply(self._warn)
        others.file, others.command = file, command
        return self._remember(others.existing(None))

    def chosen_other(self, dossier: str) -> str:
        """Return the secret of a dossier in a second repository, typed twice since it may be new."""
        others = SecretSupply(self._warn)
        return self._remember(others.chosen(f"{dossier} (at the destination)"))

    def redact(self, text: str) -> str:
        """Return `text` without any secret that was read so far."""
        for secret in sorted(filter(None, [*self._known, self._environment]), key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    def _from_sources(self) -> str | None:
        if self.file and self.command:
            raise InputError("A secret comes either from a file or from a command: leave one of the two options out.")
        if self.file:
            return self._remember(decoded(self._read_file(self.file), "the secret file"))
        if self.command:
            return self._remember(decoded(command_output(self.command), "the secret command's output"))
        return self._remember(self._environment) if self._environment else None

    def _read_file(self, path: str) -> bytes:
        if path == "-":
            return sys.stdin.buffer.read(_READ_BYTES)
        try:
            with open(path, "rb") as file:
                if os.name == "posix" and os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                    self._warn("Other users may read the secret file. Mend it with: chmod 600 FILE")
                return file.read(_READ_BYTES)
        except OSError as error:
            raise SecretRequiredError(
                f"The secret file cannot be read: {error.strerror}.", code="secret_file_unreadable"
            ) from error

    def _remember(self, secret: str) -> str:
        if secret not in self._known:
            self._known.append(secret)
        return secret


def _of(dossier: str | None) -> str:
    return f" of dossier {dossier!r}" if dossier else ""


def decoded(data: bytes, where: str) -> str:
    """Return a secret as it stood in a file or came from a command."""
    # The rule of docs/format/02-keys.md: a byte order mark and one newline at the end do not belong to the secret.
    data = data.removeprefix(codecs.BOM_UTF8)
    data = data[:-2] if data.endswith(b"\r\n") else data.removesuffix(b"\n")
    if not data:
        raise SecretRequiredError(f"There is nothing in {where}: it is empty.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        # `from None`: the exception carries the bytes, which are the secret.
        raise InputError(f"What is in {where} is not UTF-8 text.", code="secret_not_text") from None


def command_output(command: str, *, what: str = "secret") -> bytes:
    """Return what a command prints. SecretRequiredError if it fails; nothing of its output is in the message."""
    # No shell: quoting is what shlex says on every system but Windows, where programs split their own line.
    import subprocess

    words = command if os.name == "nt" else shlex.split(command)
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    except OSError as error:
        raise SecretRequiredError(
            f"The {what} command did not start: {error.strerror}.", code=f"{what}_command_failed"
        ) from error
    if done.returncode:
        raise SecretRequiredError(
            f"The {what} command ended with exit code {done.returncode}.", code=f"{what}_command_failed"
        )
    return done.stdout


def ask(prompt: str) -> str:
    """Ask a person at the terminal, without showing what is typed."""
    if not has_terminal():
        raise SecretRequiredError(
            "A secret is needed and there is no terminal to ask on. Use --secret-file, --secret-command or "
            f"{ENVIRONMENT_VARIABLE}."
        )
    import getpass

    return getpass.getpass(prompt)


def has_terminal() -> bool:
    """Whether there is a person to ask."""
    if os.name != "posix":
        return sys.stdin is not None and sys.stdin.isatty()
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
