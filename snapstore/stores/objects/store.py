"""A store in object storage: S3 and its like, Google Cloud Storage, Azure Blob Storage.

Here: `ObjectStorageStore`. Not here: what an address means (place.py), clients (clients.py), the wording of failures
(failures.py), and trying again, which is a wrapper's work.

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
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, BinaryIO, Final, NoReturn, Self, TypeVar

from ...errors import SnapstoreError, StoreError, StoreUnavailableError
from ...limits import MAX_OBJECT_BYTES, REMOTE_READ_BACK_BYTES
from ..address import RemoteAddress
from ..options import StoreOptions
from ..protocol import (
    TEMPORARY_FOLDER,
    StoredObject,
    check_name,
    check_prefix,
    check_range,
    check_station,
    existing_name_error,
    is_name,
    missing_object_error,
    read_back_error,
    short_object_error,
)
from ..source import ObjectSource
from .clients import Clients, obstore_functions
from .failures import Failure, store_error, uncertain_error
from .place import Place

T = TypeVar("T")

_PAGE_ITEMS: Final = 1000  # the most that the services give at once
_LOOK_FOLDER: Final = "config"  # small in every repository


class _CallFailed(Exception):
    """A call of obstore failed; holds the facts and nothing of obstore's text."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.kind)
        self.failure = failure


class ObjectStorageStore:
    """Objects below a prefix of a bucket.

    `create` and `station` are taken as all stores take them and change nothing: a prefix needs no making, and there
    are no temporaries. That the bucket exists is seen with the first call.
    """

    def __init__(
        self, address: RemoteAddress, options: StoreOptions, *, create: bool = False, station: str = "unnamed"
    ) -> None:
        del create
        check_station(station)
        self._place = Place.of(address)
        self._url = address.shown
        self._lanes = max(2, options.connections)
        self._clients = Clients(self._place, options)
        self._conditional = True  # until the service says that it does not know conditions

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
        if not self._clients.in_clear:
            return ()
        return (
            (
                "endpoint_in_clear",
                f"{self._url} is reached by http: others on the way see the names and sizes of what is stored and can "
                "hinder it. The content is encrypted all the same, and the keys are not sent. Use https where you can.",
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
        self._upload(name, content, doing)
        self._see_stored(name, content, doing)

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        """See `Store.get`."""
        check_name(name)
        check_range(offset, size)
        doing = f"read {name}"
        if size == 0:
            stored = self._existing_size(name, doing)
            if offset > stored:
                raise short_object_error(name, self._url, offset, stored)
            return b""
        try:
            data, stored = self._called(lambda: self._download(name, offset, size))
        except _CallFailed as error:
            failure = error.failure
        else:
            end = stored if size is None else offset + size
            if end > stored:
                raise short_object_error(name, self._url, end, stored)
            if len(data) != end - offset:
                raise StoreUnavailableError(
                    f"Could not {doing} in {self._url}: {len(data)} bytes came and {end - offset} were asked for. "
                    "Try again.",
                    code="connection_lost",
                )
            return data
        if failure.range_refused:
            stored = self._existing_size(name, doing)
            if offset == stored and size is None:
                return b""
            raise short_object_error(name, self._url, offset + (size or 0), stored)
        if failure.absent:
            if not failure.surely_no_object:
                self._look(doing)
            raise missing_object_error(name, self._url)
        self._fail(failure, doing)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """See `Store.list`."""
        return self._listed(check_prefix(prefix))

    def delete(self, name: str) -> None:
        """See `Store.delete`. Services delete what is absent without a word, so it is looked for before and after."""
        check_name(name)
        doing = f"delete {name}"
        self._existing_size(name, doing)
        key = self._key(name)
        self._call(doing, lambda: obstore_functions().delete(self._clients.reader(), key))
        if self._stored_size(name, doing) is not None:
            raise StoreUnavailableError(
                f"Object {name} is still in {self._url} after it was deleted: see whether the bucket keeps objects from "
                "being deleted.",
                code="delete_without_effect",
                retryable=False,
            )

    def free_bytes(self) -> int | None:
        """Services do not say."""
        return None

    def clean_temporaries(self, station: str) -> None:
        """There are none: a put is one request."""
        check_station(station)

    def close(self) -> None:
        """Let the clients go, and with them their connections."""
        self._clients.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _key(self, name: str) -> str:
        return f"{self._place.prefix}/{name}" if self._place.prefix else name

    def _upload(self, name: str, content: bytes, doing: str) -> None:
        """Send an object once; once more without the condition if the service refused that."""
        key, client = self._key(name), self._clients.writer(len(content))

        def put(*, conditional: bool) -> object:
            mode = "create" if conditional else "overwrite"
            return obstore_functions().put(client, key, content, mode=mode, use_multipart=False)

        conditional = self._conditional
        failure = self._failure_of(lambda: put(conditional=conditional))
        if failure is not None and conditional and failure.condition_refused:
            failure = self._failure_of(lambda: put(conditional=False))
            if failure is None:
                self._conditional = False
        if failure is None:
            return
        if failure.exists:
            raise existing_name_error(name, self._url)
        if not failure.put_refused:
            raise uncertain_error(name, self._url)
        self._fail(failure, doing)

    def _see_stored(self, name: str, content: bytes, doing: str) -> None:
        """Ask the service for what was put."""
        if len(content) <= REMOTE_READ_BACK_BYTES:
            look: Callable[[], bool] = lambda: self._download(name, 0, None)[0] == content  # noqa: E731
        else:
            look = lambda: self._head(name)["size"] == len(content)  # noqa: E731
        try:
            same = self._called(look)
        except _CallFailed as error:
            if not error.failure.absent:
                raise uncertain_error(name, self._url) from None
            same = False
        if same:
            return
        key = self._key(name)
        self._failure_of(lambda: obstore_functions().delete(self._clients.reader(), key))  # as well as can be
        raise read_back_error(name, self._url)

    def _download(self, name: str, offset: int, size: int | None) -> tuple[bytes, int]:
        """The bytes of a range as far as the object reaches, and the object's size. Raises what obstore raises."""
        client, key, obstore = self._clients.reader(), self._key(name), obstore_functions()
        if size is not None:
            result = obstore.get(client, key, options={"range": (offset, offset + size)})
        elif offset:
            result = obstore.get(client, key, options={"range": {"offset": offset}})
        else:
            result = obstore.get(client, key)
        stored = result.meta["size"]
        start, end = result.range
        if end - start > MAX_OBJECT_BYTES:
            raise StoreError(
                f"Object {name} in {self._url} has {stored} bytes, more than any object: it was not put there by "
                "snapstore. Check the repository.",
                code="object_too_large",
            )
        return bytes(result.bytes().to_bytes()), stored

    def _head(self, name: str) -> Any:
        return obstore_functions().head(self._clients.reader(), self._key(name))

    def _stored_size(self, name: str, doing: str) -> int | None:
        """The size of an object, or None where the service says 404, which may be for want of the bucket."""
        try:
            return self._called(lambda: int(self._head(name)["size"]))
        except _CallFailed as error:
            failure = error.failure
        if failure.absent:
            return None
        if failure.status is not None and 400 <= failure.status < 500:
            self._look(doing)  # says why, which the answer to a HEAD cannot
        self._fail(failure, doing)

    def _existing_size(self, name: str, doing: str) -> int:
        """The size of an object. Raises ObjectNotFoundError only if the bucket is there."""
        size = self._stored_size(name, doing)
        if size is None:
            self._look(doing)
            raise missing_object_error(name, self._url)
        return size

    def _look(self, doing: str) -> None:
        """Raise what a listing says of the bucket and the keys, if it says anything."""
        stream = self._stream(_LOOK_FOLDER)
        self._call(doing, lambda: next(stream, None))

    def _listed(self, folder: str) -> Iterator[StoredObject]:
        doing = f"list {folder or 'the store'}"
        start = len(self._key(""))
        stream = self._stream(folder)
        count = 0
        while (page := self._call(doing, lambda: next(stream, None))) is not None:
            for found in page:
                count += 1
                name, size = found["path"][start:], found["size"]
                # Some tools keep "packs/a/" as an empty object to show a folder; obstore gives it without the slash.
                if is_name(name) and (size or self._stored_size(name, doing) is not None):
                    yield StoredObject(name, size)
        if count == 0 or count >= _PAGE_ITEMS:
            self._see_that_listings_mean_something(doing)

    def _stream(self, folder: str) -> Any:
        prefix = self._key(folder).rstrip("/") or None
        return obstore_functions().list(self._clients.reader(), prefix, chunk_size=_PAGE_ITEMS)

    def _see_that_listings_mean_something(self, doing: str) -> None:
        """Raise unless what answers knows that an object is absent which is never there."""
        never = f"{TEMPORARY_FOLDER}/{secrets.token_hex(8)}"  # drawn each time, so that nothing on the way knows it
        if self._stored_size(never, doing) is not None:
            raise StoreUnavailableError(
                f"Could not {doing} in {self._url}: what answers there is no object storage, it finds objects that "
                "were never stored. See that the endpoint is right, and that nothing on the way answers instead.",
                code="answer_not_understood",
            )

    def _call(self, doing: str, function: Callable[[], T]) -> T:
        """Call obstore; its failures come out as store errors, with nothing of it in their chain."""
        try:
            return self._called(function)
        except _CallFailed as error:
            failure = error.failure
        self._fail(failure, doing)

    def _failure_of(self, function: Callable[[], object]) -> Failure | None:
        try:
            self._called(function)
        except _CallFailed as error:
            return error.failure
        return None

    def _called(self, function: Callable[[], T]) -> T:
        """Call obstore. Raises _CallFailed outside the handler, so that no chain leads to obstore's text."""
        try:
            return function()
        except SnapstoreError:
            raise
        except Exception as error:
            failure = Failure.of(error)
        raise _CallFailed(failure)

    def _fail(self, failure: Failure, doing: str) -> NoReturn:
        raise store_error(failure, doing, scheme=self._place.scheme, bucket=self._place.bucket, where=self._url)
