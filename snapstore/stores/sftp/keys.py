"""What the user can show to be let in: a password, and key files that a password locks.

Here: `Password` and `KeyFiles`. Not here: the order in which things are tried, which is asyncssh's (the agent, open
keys, locked keys, then passwords).

Rules: a password is asked for once, when it is known that it would help; it is in no message and no repr. Locked key
files are opened with it only where no other key was taken. Keys are opened outside the loop's thread: that takes half
a second on purpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncssh

DEFAULT_FILES: Final = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")


class Password:
    """The password of one server, as far as it is known. `askable` is whether somebody could be asked for it."""

    def __init__(self, value: str | None = None, *, askable: bool = False) -> None:
        self.value = value
        self.askable = askable and value is None
        self.missed = False
        """Whether the server would have taken one."""

    def set(self, value: str | None) -> None:
        """Note the answer of whoever was asked; nobody is asked again."""
        self.value = value
        self.askable = False


class KeyFiles:
    """The user's key files; none given means the usual ones."""

    def __init__(self, files: Sequence[str], password: Password) -> None:
        self._files = [Path(file).expanduser() for file in files or DEFAULT_FILES]
        self._password = password
        self._tried = False
        self._useless: list[Path] = []
        self.missed = False
        """Whether a key file is locked and there is no password for it."""

    def existing(self) -> list[str]:
        """The files that are there: ssh passes over the others as well."""
        return [str(file) for file in self._files if file.is_file()]

    def unlocked(self) -> list[asyncssh.SSHKey] | None:
        """The locked keys, opened; None if there are none, or when asked again."""
        import asyncssh

        if self._tried:
            return None
        self._tried = True
        keys = []
        for file in filter(Path.is_file, self._files):
            if not _is_locked(file):
                continue
            self.missed = True
            if self._password.value is None:
                self._useless.append(file)
                continue
            try:
                keys.append(asyncssh.read_private_key(str(file), self._password.value))
            except (ValueError, OSError):  # the password is for the server then, or for another key
                self._useless.append(file)
        return keys or None

    def hint(self) -> str:
        """What to say when nothing worked."""
        if not self._useless:
            return ""
        return f" The key {self._useless[0]} is locked and was not opened: give its passphrase, or use an agent."


def _is_locked(file: Path) -> bool:
    import asyncssh

    try:
        asyncssh.read_private_key(str(file))
    except asyncssh.KeyEncryptionError:
        return True
    except (ValueError, OSError) as error:
        return "passphrase" in str(error).lower()
    return False
