"""Copies of a medium that were made behind our back: noticing them, and giving them an id of their own.

Here: `notice_clone`, for whoever opens a repository, `see_medium`, for whoever has had one open for long, and
`claim_medium`, for whoever is about to write. Not here: what a place is recognised by
(`snapstore.stores.media.fingerprint`), twins that were made on purpose (`operations.copy`).

Rules: a folder copied in a file manager has the id of the medium it was copied from, and what one of them holds would
count as missing on the other. A medium whose id this station has seen in another place is therefore taken for a clone.
That is a problem and no error: reading works. What a station remembers of the medium's last snapshot says nothing of
the clone. The first write gives it a new id, by a config object of the next generation (docs/format/03-config.md);
where two stations do that at once, the greater id wins and both look. A medium that was moved to another disk gets a
new id as well, which costs one run of a cache. Stores in which places cannot be told apart have no clones.

A program may hold a repository open all day while sticks are changed, and the system gives the next one the number of
the last. So each verb looks whether the medium is the one that was opened: a twin is gone on with, as if it were
opened now, and anything else is refused.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from ..blobs.naming import put_named
from ..crypto.entropy import random_bytes
from ..crypto.keys import MaintenanceKeys
from ..errors import RepositoryNotFoundError, TamperedError
from ..format.config import Config, DecodedConfig, encode_config, newest_config
from ..format.names import object_path
from ..stores.local import LocalStore
from ..stores.media.fingerprint import fingerprint
from ..stores.oserrors import vanished
from ..stores.protocol import Store
from ..stores.wrapper import innermost
from ..types import MediumId, Problem
from .configs import read_configs
from .context import RepositoryContext, take_configs


def notice_clone(context: RepositoryContext) -> None:
    """Compare where the medium is with where this station saw it last; remember the place of one that is new."""
    here = place_of(context.store)
    if here is None:
        return
    place = context.state.place(context.config.repository_id, context.config.medium_id)
    known = place.read()
    if known is None:
        place.write(here)
    elif known != here:
        context.is_clone = True
        message = (
            f"What is in {context.store.url} was copied from another medium of this repository, or moved to another "
            "disk. It can be read; the next time something is written to it, it becomes a medium of its own."
        )
        context.problems.append(Problem(code="cloned_medium", path=context.store.url, message=message))


def see_medium(context: RepositoryContext) -> None:
    """See that the medium is still the one that was opened; go on with a twin that took its place.

    Raises StoreUnavailableError if it is another repository now, or none, TamperedError."""
    if not isinstance(innermost(context.store), LocalStore):  # servers are not exchanged, and asking costs a round trip
        return
    try:
        configs = read_configs(context.store, [])
    except RepositoryNotFoundError as error:
        raise vanished(context.store.url) from error
    config = newest_config([item.config for item in configs])
    if config.repository_id != context.config.repository_id:
        raise vanished(context.store.url)
    if config.medium_id != context.config.medium_id:
        keys = [MaintenanceKeys(item.epoch, item.maintenance) for item in context.held_keys().epochs]
        check_config_macs(configs, keys, context.store.url)
        take_configs(context, configs)
        context.is_clone = False
        notice_clone(context)


def check_config_macs(configs: Iterable[DecodedConfig], keys: Iterable[MaintenanceKeys], url: str) -> None:
    """Check every whole config object against these keys. TamperedError if one was not made with any of them."""
    macs = [item.config for item in keys]
    if macs and not all(any(item.verify(key) for key in macs) for item in configs):
        raise TamperedError(
            f"The configuration in {url} was not written by this repository's owners. "
            "Do not write to it; restore from another medium."
        )


def claim_medium(context: RepositoryContext, keys: Iterable[MaintenanceKeys] = ()) -> None:
    """Before anything is written: see that the medium is the one that was opened, and give a clone an id of its own.

    `keys` are maintenance keys that this station does not hold yet. Raises NotEnrolledError without any, StoreError."""
    see_medium(context)
    if not context.is_clone:
        return
    mac_key = config_key(context, keys)
    config = next_config(context.config)
    put_named(context.store, lambda name: object_path("config", name), encode_config(config, mac_key))
    take_configs(context, read_configs(context.store, []))
    context.is_clone = False
    here = place_of(context.store)
    if here is not None:
        context.state.place(context.config.repository_id, context.config.medium_id).write(here)


def next_config(config: Config) -> Config:
    """Return the config of a medium with a new id: of the next generation, so that its id counts where others lie."""
    return replace(
        config, medium_id=MediumId(random_bytes(16)), generation=config.generation + 1, created_ns=time.time_ns()
    )


def config_key(context: RepositoryContext, keys: Iterable[MaintenanceKeys] = ()) -> bytes:
    """Return the key that the present config was made with. Raises NotEnrolledError, TamperedError."""
    for key in list(keys) or context.maintenance().values():
        if any(item.verify(key.config) for item in context.configs):
            return key.config
    raise TamperedError(f"The configuration in {context.store.url} was not written by this repository's owners.")


def place_of(store: Store) -> str | None:
    """Return what tells the place of a store's folder from others, or None where nothing does."""
    inner = innermost(store)
    return fingerprint(inner.root) if isinstance(inner, LocalStore) else None
