"""How each program is called: the same verbs for snapstore, restic, Borg, and `tar | zstd`.

Here: `Tool` and its four kinds. Not here: where the programs come from (`programs`), measuring (`measure`).

Rules: peers at equal strength: encryption on (restic has no other way; Borg repokey-blake2), compression on: zstd level
3 for Borg as for snapstore, restic's default ("auto", which is zstd's default level). All a program keeps (repository,
caches, keys) lies in the one folder `home`. A peer is given the source as its working folder and stores ".", so that
what is restored has no path before it. Snapstore gets the secret only where it asks for it: a computer that saves needs
none.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from .measure import Command, run_quietly

SECRET = "correct horse battery staple"


class Tool(Protocol):
    """A program that saves a folder. Paths are absolute; `inner` is a path below the source."""

    @property
    def name(self) -> str: ...

    def version(self) -> str: ...

    def make_repository(self, home: Path) -> list[Command]: ...

    def snapshot(self, home: Path, source: Path, *, label: str) -> Command:
        """`label` is new at each call in one repository."""

    def list_snapshots(self, home: Path) -> Command: ...

    def list_files(self, home: Path, *, label: str) -> Command: ...

    def restore(self, home: Path, target: Path, *, label: str, inner: str | None = None) -> Command:
        """Restore the snapshot `label`, which is the newest, into the empty folder `target`."""


class UpkeepTool(Tool, Protocol):
    """A program that also looks after what it has stored."""

    def check(self, home: Path, *, read_data: bool) -> Command: ...

    def forget_all_but_newest(self, home: Path) -> Command:
        """Take older snapshots out of the list."""

    def prune(self, home: Path) -> Command:
        """Give back the space that no snapshot needs."""


def stored_bytes(home: Path) -> int:
    """Return the sum of the sizes of all files of the repository in `home`."""
    return sum(path.stat().st_size for path in (home / "repository").rglob("*") if path.is_file())


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapstore:
    """This project, run from a checkout as `python -m snapstore`."""

    checkout: Path
    verify: bool = True
    shares: bool = False
    dossiers: tuple[str, ...] = ("benchmark",)

    @property
    def name(self) -> str:
        return "snapstore" if self.verify else "snapstore-unverified"

    def version(self) -> str:
        return run_quietly(self._command(Path(), "version")).split()[-1]

    def _command(self, home: Path, *arguments: str, secret: str | None = None) -> Command:
        environment = {
            "PYTHONPATH": str(self.checkout),
            "SNAPSTORE_REPO": str(home / "repository"),
            "SNAPSTORE_STATE_DIR": str(home / "state"),
        }
        if secret is not None:
            environment["SNAPSTORE_SECRET"] = secret
        return Command(arguments=(sys.executable, "-m", "snapstore", "--quiet", *arguments), environment=environment)

    def make_repository(self, home: Path) -> list[Command]:
        add = [self._command(home, "dossier", "add", name, secret=SECRET + name) for name in self.dossiers]
        return [self._command(home, "init", *(["--share"] if self.shares else [])), *add]

    def snapshot(self, home: Path, source: Path, *, label: str) -> Command:
        return self.snapshot_of(self.dossiers[0], home, source, label=label)

    def snapshot_of(self, dossier: str, home: Path, source: Path, *, label: str) -> Command:
        """Save into one of several dossiers."""
        options = ["--dossier", dossier, "--label", label]
        if not self.verify:
            options.append("--no-verify-writes")
        return self._command(home, "snapshot", *options, str(source))

    def list_snapshots(self, home: Path) -> Command:
        return self._command(home, "list")

    def list_files(self, home: Path, *, label: str) -> Command:
        return self._command(home, "ls", "--recursive", "latest")

    def restore(self, home: Path, target: Path, *, label: str, inner: str | None = None) -> Command:
        paths = [] if inner is None else [inner]
        secret = SECRET + self.dossiers[0]
        return self._command(home, "restore", "latest", *paths, "--to", str(target), secret=secret)

    def check(self, home: Path, *, read_data: bool) -> Command:
        return self._command(home, "check", *(["--read-data"] if read_data else []))

    def forget_all_but_newest(self, home: Path) -> Command:
        return self._command(home, "forget", "--keep-last", "1")

    def prune(self, home: Path) -> Command:
        return self._command(home, "prune")

    def add_parity(self, home: Path) -> Command:
        """Write parity for packs that have none."""
        return self._command(home, "parity", "add")


@dataclass(frozen=True, slots=True, kw_only=True)
class Restic:
    """restic, with a cache of its own."""

    program: Path
    name: ClassVar[str] = "restic"

    def version(self) -> str:
        return run_quietly(Command(arguments=(str(self.program), "version"))).split()[1]

    def _command(self, home: Path, *arguments: str, folder: Path | None = None) -> Command:
        environment = {
            "RESTIC_PASSWORD": SECRET,
            "RESTIC_CACHE_DIR": str(home / "cache"),
            "RESTIC_REPOSITORY": str(home / "repository"),
        }
        return Command(arguments=(str(self.program), "--quiet", *arguments), environment=environment, folder=folder)

    def make_repository(self, home: Path) -> list[Command]:
        return [self._command(home, "init")]

    def snapshot(self, home: Path, source: Path, *, label: str) -> Command:
        return self._command(home, "backup", "--tag", label, ".", folder=source)

    def list_snapshots(self, home: Path) -> Command:
        return self._command(home, "snapshots")

    def list_files(self, home: Path, *, label: str) -> Command:
        return self._command(home, "ls", "latest")

    def restore(self, home: Path, target: Path, *, label: str, inner: str | None = None) -> Command:
        paths = [] if inner is None else ["--include", f"/{inner}"]
        return self._command(home, "restore", "latest", *paths, "--target", str(target))

    def check(self, home: Path, *, read_data: bool) -> Command:
        return self._command(home, "check", *(["--read-data"] if read_data else []))

    def forget_all_but_newest(self, home: Path) -> Command:
        return self._command(home, "forget", "--keep-last", "1", "--group-by", "")

    def prune(self, home: Path) -> Command:
        return self._command(home, "prune")


@dataclass(frozen=True, slots=True, kw_only=True)
class Borg:
    """Borg 1.4."""

    program: Path
    name: ClassVar[str] = "borg"

    def version(self) -> str:
        return run_quietly(Command(arguments=(str(self.program), "--version"))).split()[1]

    def _command(self, home: Path, *arguments: str, folder: Path | None = None) -> Command:
        environment = {"BORG_BASE_DIR": str(home), "BORG_PASSPHRASE": SECRET, "BORG_REPO": str(home / "repository")}
        return Command(arguments=(str(self.program), *arguments), environment=environment, folder=folder)

    def make_repository(self, home: Path) -> list[Command]:
        return [self._command(home, "init", "--encryption", "repokey-blake2")]

    def snapshot(self, home: Path, source: Path, *, label: str) -> Command:
        return self._command(home, "create", "--compression", "zstd,3", f"::{label}", ".", folder=source)

    def list_snapshots(self, home: Path) -> Command:
        return self._command(home, "list")

    def list_files(self, home: Path, *, label: str) -> Command:
        return self._command(home, "list", f"::{label}")

    def restore(self, home: Path, target: Path, *, label: str, inner: str | None = None) -> Command:
        paths = [] if inner is None else [inner]
        return self._command(home, "extract", f"::{label}", *paths, folder=target)


@dataclass(frozen=True, slots=True, kw_only=True)
class TarZstd:
    """`tar | zstd`: no encryption, no deduplication, no check; what reading and compressing alone take."""

    zstd: Path
    name: ClassVar[str] = "tar-zstd"

    def version(self) -> str:
        return run_quietly(Command(arguments=("tar", "--version"))).split("\n")[0].split()[-1]

    def make_repository(self, home: Path) -> list[Command]:
        return [Command(arguments=("mkdir", "-p", str(home / "repository")))]

    def snapshot(self, home: Path, source: Path, *, label: str) -> Command:
        script = 'set -o pipefail; tar -C "$1" -cf - . | "$2" -3 -T2 -q -f -o "$3"'
        archive = home / "repository" / f"{label}.tar.zst"
        return Command(arguments=("bash", "-c", script, "bash", str(source), str(self.zstd), str(archive)))

    def list_snapshots(self, home: Path) -> Command:
        return Command(arguments=("ls", str(home / "repository")))

    def list_files(self, home: Path, *, label: str) -> Command:
        return self._opened(home, label, "-tf", "-")

    def restore(self, home: Path, target: Path, *, label: str, inner: str | None = None) -> Command:
        return self._opened(home, label, "-C", str(target), "-xf", "-", *([] if inner is None else [f"./{inner}"]))

    def _opened(self, home: Path, label: str, *arguments: str) -> Command:
        script = 'set -o pipefail; "$1" -dcq "$2" | tar "${@:3}"'
        archive = home / "repository" / f"{label}.tar.zst"
        return Command(arguments=("bash", "-c", script, "bash", str(self.zstd), str(archive), *arguments))
