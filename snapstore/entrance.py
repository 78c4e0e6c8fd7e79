"""The two ways to a repository: `init` makes one, `open` opens one.

Here: both, as functions. Not here: what a repository can do (repository/), and how addresses become stores
(stores/url.py).

Rules: what a store has to say to its user (that a password travels in clear) is among the repository's problems. No
address in an error or a problem holds a password.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from .errors import RepositoryNotFoundError, StoreError
from .limits import KDF_TARGET_SECONDS
from .repository import Repository
from .stores.options import StoreOptions
from .types import Problem

if TYPE_CHECKING:
    from .operations.context import RepositoryContext
    from .station import StateFolder
    from .stores.protocol import Store

PathLike = str | os.PathLike[str]


def init(  # noqa: PLR0913 - each is a decision of its own, and all but the first have a default
    url: PathLike,
    *,
    protected: bool = True,
    share: bool = False,
    state_dir: PathLike | None = None,
    station_name: str | None = None,
    kdf_seconds: float = KDF_TARGET_SECONDS,
    options: StoreOptions | None = None,
) -> Repository:
    """Make a repository at `url`, a folder's path or an address such as "usb:LABEL" or "sftp://me@host/backup".

    `protected=False` makes one whose dossiers have no secret: whoever holds the medium reads everything. `share=True`
    lets files of 256 KiB and more that several dossiers hold be stored once. Both are for ever. `state_dir` is where
    this station keeps its keys (default: the user's data folder), `station_name` what others see it as (default: the
    host's name). `kdf_seconds` is how long one try of a secret should take here; 0 gives the least allowed. `options`
    say how the store is reached: passwords, time-outs, limits.

    Raises RepositoryExistsError, StoreError, InputError for an address that is none.
    """
    from .operations import opening
    from .station import StateFolder

    def make(store: Store, state: StateFolder) -> RepositoryContext:
        return opening.init_repository(store, state, protected=protected, share=share, kdf_seconds=kdf_seconds)

    return _enter(url, StateFolder(state_dir, station_name=station_name), options, make, create=True)


def open(
    url: PathLike,
    *,
    state_dir: PathLike | None = None,
    station_name: str | None = None,
    options: StoreOptions | None = None,
) -> Repository:
    """Open the repository at `url`. No secret is needed for this. `options` say how the store is reached.

    Raises RepositoryNotFoundError, UnsupportedFormatError, DamageError if its configuration is damaged, StoreError.
    """
    from .operations import opening
    from .station import StateFolder
    from .stores.url import redact_url

    state = StateFolder(state_dir, station_name=station_name)
    try:
        return _enter(url, state, options, opening.open_repository, create=False)
    except StoreError as error:
        if error.code != "store_absent":
            raise
        raise RepositoryNotFoundError(
            f"There is no snapstore repository at {redact_url(os.fspath(url))}. "
            "Check the address, or make one with init."
        ) from error


def _enter(
    url: PathLike,
    state: StateFolder,
    options: StoreOptions | None,
    action: Callable[[Store, StateFolder], RepositoryContext],
    *,
    create: bool,
) -> Repository:
    from .operations.configs import repository_ids
    from .operations.context import station_mark
    from .operations.media.expected import expect_known_repository
    from .operations.media.finder import put_readme_at_root
    from .stores.url import open_store
    from .stores.wrapper import notices_of

    store = open_store(url, create=create, station=station_mark(state), identify=repository_ids, options=options)
    try:
        context = action(store, state)
        accept_other = create or (options is not None and options.accept_other)
        expect_known_repository(context, url, state.addresses, accept_other=accept_other)
        if create:
            put_readme_at_root(store)
        context.problems += [Problem(code=code, path=store.url, message=text) for code, text in notices_of(store)]
        return Repository(context)
    except BaseException:
        store.close()
        raise
