"""What a store is: names to bytes, and nothing more.

Here: the `Store` protocol, what a listing gives, and the rules for names; and what a store may be able to do besides:
build an object in place (`BuildingStore`), do several things at once (`RemoteStore`), have everything on its device
(`SettlingStore`). Not here: any storage (local.py, memory.py), how an address is turned into a store (url.py), or what
the bytes mean; a store never looks into an object.

Rules that every store keeps (checked by `snapstore.testing.StoreConformance`):
- an object is put whole and durable or not at all, is never altered, and its name is used once;
- once a call has returned, whoever asks afterwards, by `list` or `get`, sees what it did;
- a listing that fails raises: it is never shorter than the truth, and an unreachable store is never an empty one;
- names are checked in both directions: a wrong argument is an `InputError`, and a file on the storage whose name no
  object can have (`desktop.ini`, `.DS_Store`, `System Volume Information`, someone's photos) is foreign. Foreign
  files are never returned, never an error, never touched;
- every method may be called from several threads at once;
- failures are `StoreError`s that say what, where, and the next step.

Remote stores keep two more, on which `RetryingStore` and everyone who makes names rely:
- what was put counts when the server has confirmed it, the size that it reports is right, and what is small
  (`REMOTE_READ_BACK_BYTES`) was read back. Whether it outlasts a power cut at the server is the server's matter; only
  SFTP has a sync, and that for the bytes and not for the name;
- a `put` that raises a `retryable` error has not used the name, and never will: it may be put under it again. One of
  which nobody can tell raises the code "put_uncertain", which is not retryable: the object may be there, or come to
  be there, so only who makes names can put it again, under a new one.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Final, Protocol, Self, runtime_checkable

from ..errors import DamagedObjectError, InputError, ObjectNotFoundError, StoreError
from ..limits import MAX_OBJECT_BYTES, NAME_ELEMENT_MAX_CHARS, NAME_MAX_ELEMENTS

README_NAME: Final = "README.txt"
TEMPORARY_FOLDER: Final = "tmp"
PUT_UNCERTAIN: Final = "put_uncertain"
STATION_MAX_CHARS: Final = 26  # a station's id in base32hex; leaves room for "-" and five random digits in an element

_RANDOM_DIGITS: Final = "0123456789abcdefghijklmnopqrstuv"
_ELEMENT = re.compile(rf"[0-9a-z]{{1,{NAME_ELEMENT_MAX_CHARS}}}", re.ASCII)
# Windows opens a device, not a file, under these names, in any folder.
_DEVICES = re.compile(r"con|prn|aux|nul|com[0-9]|lpt[0-9]", re.ASCII)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One line of a listing: the full name, such as "packs/a/...", and the bytes stored under it."""

    name: str
    size: int


@runtime_checkable
class Store(Protocol):
    """The seam between snapstore and any storage."""

    @property
    def url(self) -> str:
        """The address, fit to be printed and logged: without passwords."""
        ...

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        """Store an object. When this returns it is whole, durable, and seen by all; after an error it is not there,
        unless the code is "put_uncertain", which remote stores may raise (see the module).

        A file is taken from its current position to its end, must be seekable, and may be read more than once; `size`
        says how many bytes to expect, and any other number is an `InputError`. A name that exists is refused with
        `InputError` and left as it is. At most 64 MiB.
        """
        ...

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        """The bytes from `offset` on, exactly `size` of them, or all that follow.

        Raises `ObjectNotFoundError`, or `DamagedObjectError` where the object ends before the range does.
        """
        ...

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """All objects below the folder `prefix` ("packs", "packs/a", "" for all), in no order.

        An absent folder of a store that is there is empty. Any error raises, at the call or while iterating. Objects
        put or deleted meanwhile may or may not be listed. Unfinished uploads never are.
        """
        ...

    def delete(self, name: str) -> None:
        """Remove an object; when this returns, no listing shows it. Raises `ObjectNotFoundError` if it is absent."""
        ...

    def free_bytes(self) -> int | None:
        """Bytes that can still be stored, as the storage reports them, or None where it does not say."""
        ...

    def clean_temporaries(self, station: str) -> None:
        """Remove the station's unfinished uploads. For the start of a run: it takes them from one under way, too."""
        ...

    def close(self) -> None:
        """Give back connections and handles. Closing twice does no harm; other use after closing may fail."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


Block = bytes | memoryview
"""Some bytes of an object. A view is good until the next block is asked for: its memory is used again."""


class Comparison(Protocol):
    """Takes all bytes that were read back, in order, and then says whether they were the ones meant."""

    def update(self, block: Block, /) -> object:
        """Take the next bytes."""
        ...

    def holds(self) -> bool:
        """Whether these were the bytes that were meant, all of them and no more."""
        ...


class ObjectBuilder(Protocol):
    """An object that grows in the store and has no name yet. A context manager, which drops what was not published.

    No listing shows it. For one thread at a time. After an error it can only be discarded; what a dead process left is
    for `clean_temporaries`.
    """

    @property
    def size(self) -> int:
        """Bytes written so far."""
        ...

    def write(self, data: Block) -> None:
        """Append bytes. `InputError` where the object would exceed 64 MiB."""
        ...

    def blocks(self) -> Iterator[Block]:
        """What was written so far, from the start. Nothing may be written before the iterator is used up."""
        ...

    def publish(self, name: str, compare: Callable[[], Comparison]) -> None:
        """Give the object its name: a `put`, with all that `put` promises and refuses.

        What the storage holds then is read back and given to a new comparison; if that does not hold, the object is
        removed and a `StoreError` raised. The builder is used up, whatever happens.
        """
        ...

    def discard(self) -> None:
        """Drop what was not published and give its space back. Raises nothing, and twice does no harm."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class BuildingStore(Protocol):
    """What a store has besides if objects can grow in it, so that they are written once and not twice."""

    def begin(self) -> ObjectBuilder | None:
        """Begin an object; None where it can only be put (a wrapper may find that out late)."""
        ...


def begin_object(store: Store) -> ObjectBuilder | None:
    """Begin an object in a store that can build, or None where it has to be put."""
    return store.begin() if isinstance(store, BuildingStore) else None


@runtime_checkable
class SettlingStore(Protocol):
    """What a store has besides if it lies on something that people unplug."""

    def settle(self) -> bool:
        """Have everything of the store on its device; whether it is. Raises nothing."""
        ...


def settled(store: Store) -> bool | None:
    """Have everything on the device, and tell whether it is; None for a store that nobody unplugs."""
    # A wrapper has `settle` in any case and answers None for a store that has not.
    return store.settle() if isinstance(store, SettlingStore) else None


@runtime_checkable
class RemoteStore(Protocol):
    """What a store has besides if each call to it costs the time of a way over a network."""

    @property
    def lanes(self) -> int:
        """How many calls at the same time gain anything, at least 2. More than these wait for each other."""
        ...


def lanes_of(store: Store) -> int:
    """How many calls to a store gain from being made at the same time: 1 for a store that is not remote."""
    return max(1, store.lanes) if isinstance(store, RemoteStore) else 1


def is_folder(name: str) -> bool:
    """Whether a folder that holds objects can have this name."""
    elements = name.split("/")
    return len(elements) < NAME_MAX_ELEMENTS and elements[0] != TEMPORARY_FOLDER and all(map(_is_element, elements))


def is_name(name: str) -> bool:
    """Whether an object can have this full name."""
    if name == README_NAME:
        return True
    folder, _, last = name.rpartition("/")
    return is_folder(folder) and _is_element(last)


def check_name(name: str) -> None:
    """Refuse what cannot be an object's full name: no name leaves the store's folder or fails on another system."""
    if not is_name(name):
        raise InputError(
            f"{name!r} cannot name an object: use one or two folders and a name, of [0-9a-z], such as 'packs/a/0123'.",
            code="invalid_name",
        )


def check_prefix(prefix: str) -> str:
    """The folder that a listing is asked for, without a final slash; "" for the whole store."""
    folder = prefix.removesuffix("/")
    if prefix and folder != TEMPORARY_FOLDER and not is_folder(folder):
        raise InputError(f"{prefix!r} cannot be a folder of objects: use a name such as 'packs'.", code="invalid_name")
    return folder


def check_station(station: str) -> str:
    """The station as it may stand in the name of a temporary."""
    if not re.fullmatch(rf"[0-9a-z]{{1,{STATION_MAX_CHARS}}}", station, re.ASCII):
        raise InputError(f"{station!r} cannot mark temporaries: use 1 to {STATION_MAX_CHARS} of [0-9a-z].")
    return station


def new_temporary(station: str) -> str:
    """A name in tmp/ for an unfinished upload of that station, which nobody else uses."""
    random = "".join(secrets.choice(_RANDOM_DIGITS) for _ in range(5))
    return f"{TEMPORARY_FOLDER}/{station}-{random}"


def existing_name_error(name: str, url: str) -> InputError:
    """What `put` raises for a name that is in use."""
    return InputError(
        f"Object {name} is in {url} already and was left as it is: names are used once, put under a new one.",
        code="object_exists",
    )


def missing_object_error(name: str, url: str) -> ObjectNotFoundError:
    """What `get` and `delete` raise for a name that is not there."""
    return ObjectNotFoundError(f"There is no object {name} in {url}: check the repository, or look on another medium.")


def short_object_error(name: str, url: str, wanted: int, size: int) -> DamagedObjectError:
    """What `get` raises for an object that ends before the range does."""
    return DamagedObjectError(
        f"Object {name} in {url} has {size} bytes and {wanted} are needed: restore it from another medium.",
        code="object_too_short",
        object_name=name,
    )


def oversized_object_error(name: str, url: str, size: int) -> StoreError:
    """What `get` raises for more bytes than an object may have."""
    return StoreError(
        f"Object {name} in {url} has {size} bytes, more than any object: it was not put there by snapstore. Check the "
        "repository.",
        code="object_too_large",
    )


def endless_listing_error(folder: str, url: str) -> StoreError:
    """What `list` raises for more names than any repository has."""
    return StoreError(
        f"The listing of {folder or 'the store'} in {url} does not end: see that the address is right, and the server "
        "is well.",
        code="listing_endless",
    )


def uncertain_put_error(name: str, url: str, why: str) -> StoreError:
    """What the `put` of a remote store raises where nobody can tell whether the object got its name."""
    return StoreError(
        f"Whether object {name} is in {url} is not known: {why}. Put it again under a new name.", code=PUT_UNCERTAIN
    )


def read_back_error(name: str, url: str) -> StoreError:
    """What `put` raises where the storage does not give what was written to it."""
    return StoreError(
        f"Object {name} reads back from {url} with other bytes than were written: the medium is failing, "
        "or its size is faked. Replace it.",
        code="store_read_back_differs",
    )


def check_range(offset: int, size: int | None) -> None:
    """Refuse a range that lies outside every object."""
    if offset < 0 or (size is not None and size < 0):
        raise InputError(
            f"Offset {offset} and size {size} are no range: neither may be negative.", code="invalid_range"
        )


def check_size(name: str, size: int) -> None:
    """Refuse an object that some storage could not take in one piece."""
    if size > MAX_OBJECT_BYTES:
        raise InputError(
            f"Object {name} has {size} bytes and {MAX_OBJECT_BYTES} are allowed: store it in parts.",
            code="object_too_large",
        )


def _is_element(element: str) -> bool:
    return _ELEMENT.fullmatch(element) is not None and _DEVICES.fullmatch(element) is None
