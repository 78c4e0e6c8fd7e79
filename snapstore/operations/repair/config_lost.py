"""A medium that has lost its configuration, and gets another one from a twin.

Here: `lend_config`. Not here: configs of which there is another one on the medium (`vital`).

Rules: a config is made only where none is whole, and only where what lies there is of the same repository: a manifest
or keyset that says so, under the hash of its name. It gets a new medium id, since nobody knows the old one any more;
what rosters said of the old medium is no witness for the new one, so what is missing is known by comparing with the
twin, which the next copy does. Where two stations do this at once, both configs stay and the newer one counts. Bad
config objects stay until the medium is repaired.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from ...blobs.naming import put_named
from ...blobs.places import get_from_place
from ...crypto.derivation import digest
from ...errors import DamageError, InputError, RepositoryNotFoundError, StoreError, UnsupportedFormatError
from ...format.config import encode_config
from ...format.keyset import decode_keyset
from ...format.manifest import decode_manifest
from ...format.names import CONFIG, DOSSIERS, OK, SNAPSHOTS, name_matches, object_path
from ...stores.options import StoreOptions
from ...stores.protocol import Store
from ...stores.url import open_store
from ..clones import config_key, next_config
from ..configs import read_configs, repository_ids
from ..context import RepositoryContext, station_mark
from ..opening import put_readme


def lend_config(twin: RepositoryContext, to: str | os.PathLike[str], options: StoreOptions | None) -> None:
    """Put a config into the medium at `to`, which is of the same repository and has none that is whole.

    Raises InputError where there is one, or nothing shows that it is the same repository; StoreError."""
    mark = station_mark(twin.state)
    store = open_store(to, create=False, station=mark, identify=repository_ids, options=options)
    try:
        if _has_config(store):
            raise InputError(f"{store.url} has a configuration that is whole.", code="config_whole")
        if twin.config.repository_id not in _repositories_of(store):
            raise InputError(
                f"Nothing in {store.url} shows that it is a medium of the repository in {twin.store.url}.",
                code="not_a_twin",
            )
        data = encode_config(next_config(twin.config), config_key(twin))
        put_readme(store)
        put_named(store, lambda name: object_path(CONFIG, name), data)
    finally:
        store.close()


def _has_config(store: Store) -> bool:
    try:
        return bool(read_configs(store, []))
    except (DamageError, RepositoryNotFoundError):
        return False


def _repositories_of(store: Store) -> Iterator[bytes]:
    """Yield the repository that each signed object names which has the bytes of its name."""
    for folder, decode in ((DOSSIERS, decode_keyset), (SNAPSHOTS, decode_manifest), (OK, decode_manifest)):
        for item in list(store.list(folder)):
            try:
                data = get_from_place(store, item.name)
                if name_matches(item.name.rpartition("/")[2], digest(data)):
                    yield decode(data).repository_id
            except (DamageError, UnsupportedFormatError, StoreError):
                continue
