"""Reading the config objects of a repository, of which there may be several.

Here: reading them from a store, and the ids in a folder. Not here: whether they can be believed (`opening`), making
new ones (`opening`, `clones`, `copy`).

Rules: an object that does not decode is passed over as long as another one is whole (docs/format/03-config.md).
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from ..blobs.places import get_from_place
from ..crypto.derivation import digest
from ..errors import DamageError, ObjectNotFoundError, RepositoryNotFoundError, SnapstoreError
from ..format.config import Config, DecodedConfig, decode_config, newest_config
from ..format.names import name_matches
from ..stores.protocol import Store
from ..types import Problem


def repository_ids(folder: Path) -> set[str]:
    """Return the ids, hexadecimal, of the repository and the medium in a folder; none if there is no repository."""
    configs: list[Config] = []
    config_folder = folder / "config"
    if config_folder.is_dir():
        for path in config_folder.iterdir():
            with contextlib.suppress(SnapstoreError, OSError):
                configs.append(decode_config(path.read_bytes()).config)
    repositories = {config.repository_id for config in configs}
    media = {newest_config([item for item in configs if item.repository_id == one]).medium_id for one in repositories}
    return {found.hex() for found in (*repositories, *media)}


def read_configs(store: Store, problems: list[Problem]) -> list[DecodedConfig]:
    """Read every config object that is whole; the others become `problems`."""
    names = [item.name for item in store.list("config")]
    if not names:
        raise RepositoryNotFoundError(
            f"There is no snapstore repository in {store.url}. Check the address, or make one with init."
        )
    decoded: list[DecodedConfig] = []
    failures: list[DamageError] = []
    for name in names:
        try:
            data = get_from_place(store, name)
            if not name_matches(name.rpartition("/")[2], digest(data)):
                raise DamageError(f"{name} does not have the bytes it was stored with.", object_name=name)
            decoded.append(decode_config(data))
        except ObjectNotFoundError:
            continue
        except DamageError as error:
            failures.append(error)
            problems.append(Problem(code=error.code, path=name, message=str(error)))
    if not decoded:
        raise failures[0] if failures else RepositoryNotFoundError(f"The repository in {store.url} is gone.")
    return decoded
