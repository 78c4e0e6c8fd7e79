"""Whether the repository on a medium is the one that belongs at its address.

Here: `expect_known_repository`. Not here: what is remembered (`snapstore.station.addresses`), and copies of a medium
that have its id (`operations.clones`).

Rules: an address that goes to a medium by its label or by a drive's path says nothing of which medium is plugged in
there today. This station remembers which repositories it saw at such an address; another one is refused when it is
opened. Twins, which have the same repository id, are what weekday sticks are, and always welcome. An address with the
id in it needs no memory, and a folder on a disk of the computer neither.
"""

from __future__ import annotations

import os
import re

from ...errors import StoreError
from ...station.addresses import KnownAddresses, Sighting
from ...stores.local import LocalStore
from ...stores.media import ID_PREFIX_MIN_CHARS, REPOSITORY_FOLDER, Medium, medium_at
from ...stores.medium_store import MediumStore
from ...stores.protocol import Store
from ...stores.wrapper import innermost
from ..context import RepositoryContext

_SHOWN_DIGITS = 8


def expect_known_repository(
    context: RepositoryContext, url: str | os.PathLike[str], known: KnownAddresses, *, accept_other: bool
) -> None:
    """Remember which repository is at an address that goes to a medium; refuse one that was not there before.

    Raises StoreError with the code "other_repository" unless `accept_other`.
    """
    medium = _medium_of(context.store)
    if medium is None:
        return
    ids = context.config.repository_id.hex(), context.config.medium_id.hex()
    address = _address(url, innermost(context.store).url, ids)
    if address is None:
        return
    seen = known.at(address)
    if seen and not accept_other and all(item.repository != ids[0] for item in seen):
        context.close()
        raise _other_repository(os.fspath(url), seen[0], medium, ids[0])
    known.remember(address, repository=ids[0], medium=ids[1], label=medium.label)


def _medium_of(store: Store) -> Medium | None:
    inner = innermost(store)
    if isinstance(inner, MediumStore):
        return inner.medium
    return medium_at(inner.root) if isinstance(inner, LocalStore) else None


def _address(url: str | os.PathLike[str], folder: str, ids: tuple[str, str]) -> str | None:
    """Return what an address is remembered by; None for one that names the repository itself. Paths go by `folder`."""
    scheme, _, rest = os.fspath(url).partition(":")
    if not isinstance(url, str) or scheme.lower() != "usb":
        return os.path.normcase(folder)
    wanted, _, below = rest.strip("/").partition("/")
    is_id = re.fullmatch(rf"[0-9a-fA-F]{{{ID_PREFIX_MIN_CHARS},32}}", wanted) is not None
    if is_id and any(name.startswith(wanted.lower()) for name in ids):
        return None
    return f"usb:{wanted.casefold()}/{below or REPOSITORY_FOLDER}"


def _other_repository(url: str, expected: Sighting, medium: Medium, found: str) -> StoreError:
    label = f"{expected.label!r}, " if expected.label else ""
    return StoreError(
        f"Another repository is at {url} than before. Expected: {label}repository "
        f"{expected.repository[:_SHOWN_DIGITS]}, last seen here on {expected.time.astimezone():%Y-%m-%d %H:%M}. Found: "
        f"{medium}, repository {found[:_SHOWN_DIGITS]}. Plug in the right medium, name this one by its id "
        f"(usb:{found[:_SHOWN_DIGITS]}), or accept it here from now on (--accept-other, StoreOptions.accept_other).",
        code="other_repository",
    )
