"""The global options, and the session that commands work with.

Here: `global_options` (a decorator: the same options stand before and after a command's name), `Session`, which opens
the repository and the dossier that the options name and brings the secret where one is needed. Not here: where the
secret comes from (`secrets.py`).

Rules: environment variables are read for the outermost command only, so that an option always beats its variable. A
secret is asked for as late as possible and derived at most once: a station snapshots without one. But one that was
given by file, command or variable is tried before anything is read from a snapshot, so that a wrong one never goes
unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import AmbiguousError, DossierNotFoundError, InputError, NotEnrolledError, SecretRequiredError
from .interruption import Interruption
from .output import Output
from .secrets import SecretSupply
from .store_options import NAMES as STORE_OPTIONS
from .store_options import OPTIONS as OPTIONS_OF_STORES
from .store_options import StoreAccess

if TYPE_CHECKING:
    from .. import Dossier, Repository

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Session:
    """One run of the command: its options, and what it opened. Closes what it opened."""

    def __init__(self) -> None:
        self.output = Output()
        self.secrets = SecretSupply(self.output.warn)
        self.access = StoreAccess()
        self.output.redact = self.redact
        self.interruption = Interruption()
        self.repository_url: str | None = None
        self.dossier_name: str | None = None
        self.state_dir: str | None = None
        self._repository: Repository | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._repository is not None:
            self._repository.close()
            self._repository = None

    def take(self, name: str, value: object) -> None:
        """Take note of the global option `name`."""
        match name:
            case "json" | "quiet":
                setattr(self.output, name, bool(value))
            case "verbose" if isinstance(value, int):
                self.output.verbose += value
            case "secret_file" | "secret_command":
                setattr(self.secrets, name.removeprefix("secret_"), value)
            case "repository_url" if isinstance(value, str):
                self.repository_url = self.access.address(value, main=True)
            case _ if name in STORE_OPTIONS:
                self.access.take(name, value)
            case _:
                setattr(self, name, value)
        self.interruption.quiet = self.output.quiet or self.output.json

    def redact(self, text: str) -> str:
        """Return `text` without any secret or password that was read so far."""
        return self.access.redact(self.secrets.redact(text))

    def url(self) -> str:
        """Return the address of the repository, without a password."""
        if not self.repository_url:
            raise InputError("No repository was named. Use -r ADDRESS or SNAPSTORE_REPO.", code="no_repository_named")
        return self.repository_url

    def repository(self) -> Repository:
        """Return the open repository."""
        if self._repository is None:
            from .. import open as open_repository

            options = self.access.options()
            self.hold(open_repository(self.url(), state_dir=self.state_dir, options=options))
        assert self._repository is not None
        return self._repository

    def hold(self, repository: Repository) -> Repository:
        """Take over a repository, to close it at the end, and say what its opening found."""
        self._repository = repository
        for problem in repository.problems:
            self.output.warn(problem.message)
        return repository

    def dossier(self, name: str | None = None) -> Dossier:
        """Return the dossier that is meant, enrolling this station with the secret where it is new."""
        repository = self.repository()
        name = name or self.dossier_name
        if name is None:
            return self._only_dossier(repository)
        try:
            return repository.dossier(name)
        except NotEnrolledError:
            return self._enrol(repository, name)
        except DossierNotFoundError:
            # One this station is not enrolled in has no name here; the secret will tell.
            if all(info.enrolled for info in repository.dossiers()):
                raise
            return self._enrol(repository, name)

    def unlocked(self, dossier: Dossier) -> Dossier:
        """Return `dossier` with its secret given, asking for it if need be. Does nothing where none is needed."""
        if dossier.repository.protected and not dossier.unlocked:
            dossier.unlock(self.secrets.existing(dossier.name))
        return dossier

    def reading(self, action: Callable[[Dossier], T]) -> T:
        """Run `action` with the dossier; ask for the secret only if `action` says that it needs one."""
        dossier = self.dossier()
        if self.secrets.configured:
            return action(self.unlocked(dossier))
        try:
            return action(dossier)
        except SecretRequiredError:
            return action(self.unlocked(dossier))

    def _only_dossier(self, repository: Repository) -> Dossier:
        infos = repository.dossiers()
        if not infos:
            raise DossierNotFoundError("The repository has no dossier yet. Make one with: snapstore dossier add NAME")
        known = [info for info in infos if info.enrolled and info.name is not None]
        if len(known) == 1 and known[0].name is not None:
            return repository.dossier(known[0].name)
        if known:
            raise AmbiguousError("The repository has several dossiers. Name one with -d NAME or SNAPSTORE_DOSSIER.")
        return self._enrol(repository, None)

    def _enrol(self, repository: Repository, name: str | None) -> Dossier:
        if not repository.protected:
            raise DossierNotFoundError("Name the dossier with -d NAME or SNAPSTORE_DOSSIER.")
        dossier = repository.unlock(self.secrets.existing(name), dossier=name)
        self.output.remark(f"This computer now knows the dossier {dossier.name!r}.")
        return dossier


def global_options(*, environment: bool = False) -> Callable[[F], F]:
    """Add the global options to a command; with `environment` their variables are read as well."""

    def decorate(function: F) -> F:
        for names, variable, settings in reversed((*_OPTIONS, *OPTIONS_OF_STORES)):
            from_environment = {"envvar": variable, "show_envvar": True} if environment and variable else {}
            option = click.option(
                *names, expose_value=False, callback=_take, hidden=not environment, **settings, **from_environment
            )
            function = option(function)
        return function

    return decorate


def _take(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
    # By value: click 8.4 tells the source of a value only after the callback.
    if value is not None and value is not False and value != 0 and parameter.name:
        session: Session = ctx.find_root().obj
        session.take(parameter.name, value)


_OPTIONS: tuple[tuple[tuple[str, ...], str | None, dict[str, Any]], ...] = (
    (
        ("-r", "--repo", "repository_url"),
        "SNAPSTORE_REPO",
        {"metavar": "ADDRESS", "help": "The repository: a folder, or an address: usb:LABEL, sftp://me@host/path."},
    ),
    (
        ("-d", "--dossier", "dossier_name"),
        "SNAPSTORE_DOSSIER",
        {"metavar": "NAME", "help": "The dossier; not needed where there is only one."},
    ),
    (("--secret-file",), None, {"metavar": "FILE", "help": "Read the secret from a file; - is standard input."}),
    (("--secret-command",), None, {"metavar": "COMMAND", "help": "Read the secret from what a command prints."}),
    (
        ("--state-dir",),
        "SNAPSTORE_STATE_DIR",
        {"metavar": "FOLDER", "help": "Where this computer keeps its keys and caches."},
    ),
    (("--json",), None, {"is_flag": True, "help": "Print results as JSON."}),
    (("-q", "--quiet"), None, {"is_flag": True, "help": "Print results, warnings and errors only."}),
    (("-v", "--verbose"), None, {"count": True, "help": "Print more; twice: tracebacks too."}),
)
