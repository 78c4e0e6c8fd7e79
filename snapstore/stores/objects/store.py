"""A store in object storage: S3 and its like, Google Cloud Storage, Azure Blob Storage.

Here: `ObjectStorageStore`. Not here: what an address means (place.py), the requests (bucket.py), the wording of
failures (failures.py), and trying again, which is a wrapper's work.

Rules:
- An object is one PUT, never an upload in parts: it is there whole or not at all, and there is nothing temporary.
- A put looks first whether the name is free, and asks the service to refuse it otherwise. Where a service does not
  know that request, or ignores it, two writers of one name at the same moment are not told apart. Names are random and
  used once, so nothing rests on this.
- A put whose answer is lost raises `put_uncertain`: it may still arrive. It is never sent again under that name.
- What was put is asked for again: its size, and all of it where it is small.
- A 404 says "no object" or "no bucket", and a HEAD does not say which. Where it matters, a listing decides.
- A listing is believed to be empty, or to have ended after several pages, only from a service that at the same time
  knows that an object is absent: obstore takes any well-formed page, such as a proxy's, for a listing of nothing.
- The bucket is never made here, and a prefix needs no making.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO, Final, Self

from ...errors import SnapstoreError, StoreError, StoreUnavailableError
from ...limits import LISTING_MAX_NAMES, REMOTE_READ_BACK_BYTES
from ..address import RemoteAddress
from ..options import StoreOptions
from ..protocol import (
    TEMPORARY_FOLDER,
    StoredObject,
    check_name,
    check_prefix,
    check_range,
    check_station,
    endless_listing_error,
    existing_name_error,
    is_name,
    missing_object_error,
    read_back_error,
    short_object_error,
    uncertain_put_error,
)
from ..source import ObjectSource
from .bucket import PAGE_ITEMS, Bucket, Page, RequestFailedError
from .failures import Failure, store_error
from .place import Place

_LOOK_FOLDER: Final = "config"  # small in every repository
_ANSWER_LOST: Final = "the answer to it was lost"


class ObjectStorageStore:
    """Objects below a prefix of a bucket.

    `create` and `station` are taken as all stores take them and change nothing: a prefix needs no making, and there
    are no temporaries. Opening looks whether the bucket is there and takes the keys.
    """

    def __init__(
        self, address: RemoteAddress, options: StoreOptions, *, create: bool = False, station: str = "unnamed"
    ) -> None:
        del create
        check_station(station)
        self._place = Place.of(address)
        self._url = address.shown
        self._lanes = max(2, options.connections)
        self._bucket = Bucket(self._place, options)
        self._only_new = True  # until the service says that it does not know this request
        self._look("open the store")

    @property
    def url(self) -> str:
        """The address; it has no keys in it."""
        return self._url

    @property
    def lanes(self) -> int:
        """See `RemoteStore.lanes`."""
        return self._lanes

    @property
    def notices(self) -> tuple[tuple[str, str], ...]:
        """What a user should know of this store, each with a code."""
        if not self._bucket.in_clear:
            return ()
        return (
            (
                "endpoint_in_clear",
                f"{self._url} is reached by http: others on the way see the names and sizes of what is stored, and can "
                "hinder it. The content is encrypted all the same, and keys are not sent. Use https where you can.",
            ),
        )

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        """See `Store.put`."""
        check_name(name)
        source = ObjectSource(data, name, size)
        doing = f"store {name}"
        if self._stored_size(name, doing) is not None:
            raise existing_name_error(name, self._url)
        content = source.read_all()
        failure = self._uploaded(name, content)
        if failure is not None:
            if failure.exists:
                raise existing_name_error(name, self._url)
            if failure.put_refused:
                raise self._error(failure, doing)
            raise uncertain_put_error(name, self._url, _ANSWER_LOST)
        self._see_stored(name, content)

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        """See `Store.get`."""
        check_name(name)
        check_range(offset, size)
        doing = f"read {name}"
        if size == 0:  # which is no range that could be asked for
            self._see_whole(name, b"", self._existing_size(name, doing), offset, size)
            return b""
        try:
            data, stored = self._bucket.read(self._key(name), offset, size)
        except RequestFailedError as error:
            failure = error.failure
        else:
            self._see_whole(name, data, stored, offset, size)
            return data
        if failure.absent:
            if not failure.surely_no_object:
                self._look(doing)
            raise missing_object_error(name, self._url)
        if not failure.range_refused:
            raise self._error(failure, doing)
        stored = self._existing_size(name, doing)
        self._see_whole(name, b"", stored, offset, size)  # raises unless nothing was asked for, at the very end
        return b""

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """See `Store.list`."""
        return self._listed(check_prefix(prefix))

    def delete(self, name: str) -> None:
        """See `Store.delete`. Services delete what is absent without a word, so it is looked for before and after."""
        check_name(name)
        doing = f"delete {name}"
        self._existing_size(name, doing)
        failure = self._deleted(name)
        if failure is not None:
            raise self._error(failure, doing)
        if self._stored_size(name, doing) is not None:
            raise StoreError(
                f"Object {name} is still in {self._url} after it was deleted: see whether the bucket is set to keep "
                "its objects.",
                code="delete_without_effect",
            )

    def free_bytes(self) -> int | None:
        """Services do not say."""
        return None

    def clean_temporaries(self, station: str) -> None:
        """There are none: a put is one request."""
        check_station(station)

    def close(self) -> None:
        """Let the connections go."""
        self._bucket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _key(self, name: str) -> str:
        return f"{self._place.prefix}/{name}" if self._place.prefix else name

    def _error(self, failure: Failure, doing: str) -> SnapstoreError:
        return store_error(failure, doing, scheme=self._place.scheme, bucket=self._place.bucket, where=self._url)

    def _uploaded(self, name: str, content: bytes) -> Failure | None:
        """Send an object once, and once more if the service surely refused it for the way it was asked."""
        key, only_new = self._key(name), self._only_new
        try:
            self._bucket.put(key, content, only_new=only_new)
        except RequestFailedError as error:
            if not only_new or not error.failure.condition_refused:
                return error.failure
        else:
            return None
        try:
            self._bucket.put(key, content, only_new=False)
        except RequestFailedError as error:
            return error.failure
        self._only_new = False
        return None

    def _deleted(self, name: str) -> Failure | None:
        try:
            self._bucket.delete(self._key(name))
        except RequestFailedError as error:
            return error.failure
        return None

    def _see_stored(self, name: str, content: bytes) -> None:
        """Ask the service for what was put. Raises `put_uncertain` where it does not answer."""
        key = self._key(name)
        try:
            if len(content) <= REMOTE_READ_BACK_BYTES:
                same = self._bucket.read(key)[0] == content
            else:
                same = self._bucket.size(key) == len(content)
        except RequestFailedError as error:
            if not error.failure.absent:
                raise uncertain_put_error(name, self._url, _ANSWER_LOST) from None
            same = False
        if not same:
            self._deleted(name)  # as well as can be
            raise read_back_error(name, self._url)

    def _see_whole(self, name: str, data: bytes, stored: int, offset: int, size: int | None) -> None:
        """Raise unless these are all bytes of the range."""
        end = max(stored, offset) if size is None else offset + size
        if end > stored:
            raise short_object_error(name, self._url, end, stored)
        if len(data) != end - offset:
            raise StoreUnavailableError(
                f"Could not read {name} in {self._url}: {len(data)} bytes came and {end - offset} were asked for. "
                "Try again.",
                code="connection_lost",
            )

    def _stored_size(self, name: str, doing: str) -> int | None:
        """The size of an object, or None where the service says 404, which may be for want of the bucket."""
        try:
            return self._bucket.size(self._key(name))
        except RequestFailedError as error:
            failure = error.failure
        if failure.absent:
            return None
        if failure.status is not None and 400 <= failure.status < 500:
            self._look(doing)  # says why, which the answer to a HEAD cannot
        raise self._error(failure, doing)

    def _existing_size(self, name: str, doing: str) -> int:
        """The size of an object. Raises ObjectNotFoundError only if the bucket is there."""
        size = self._stored_size(name, doing)
        if size is None:
            self._look(doing)
            raise missing_object_error(name, self._url)
        return size

    def _look(self, doing: str) -> None:
        """Raise what a listing says of the bucket and the keys, if it says anything."""
        next(self._pages(_LOOK_FOLDER, doing), None)

    def _pages(self, folder: str, doing: str) -> Iterator[Page]:
        try:
            yield from self._bucket.pages(self._key(folder).rstrip("/"))
        except RequestFailedError as error:
            failure = error.failure
        else:
            return
        raise self._error(failure, doing)

    def _listed(self, folder: str) -> Iterator[StoredObject]:
        doing = f"list {folder or 'the store'}"
        start = len(self._key(""))
        count = 0
        for page in self._pages(folder, doing):
            count += len(page)
            if count > LISTING_MAX_NAMES:
                raise endless_listing_error(folder, self._url)
            for key, size in page:
                name = key[start:]
                # Some tools keep "packs/a/" as an empty object to show a folder; obstore gives it without the slash.
                if is_name(name) and (size or self._stored_size(name, doing) is not None):
                    yield StoredObject(name, size)
        if count == 0 or count >= PAGE_ITEMS:
            self._see_that_listings_mean_something(doing)

    def _see_that_listings_mean_something(self, doing: str) -> None:
        """Raise unless what answers knows that an object is absent which is never there."""
        never = f"{TEMPORARY_FOLDER}/{secrets.token_hex(8)}"  # drawn each time, so that nothing on the way knows it
        if self._stored_size(never, doing) is not None:
            raise StoreUnavailableError(
                f"Could not {doing} in {self._url}: what answers there is no object storage, since it finds objects "
                "that were never stored. See that the endpoint is right, and that nothing on the way answers instead.",
                code="answer_not_understood",
            )
