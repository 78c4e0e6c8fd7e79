"""The few requests that a store makes of a bucket, each a single one.

Here: `Bucket`, keys to bytes, and `RequestFailedError`. Not here: names, prefixes, what is put and looked for in which
order, and the store errors (store.py).

Rules: an exception of obstore goes no further than this module, not even as the context of another one. A request that
the main thread waits for can be interrupted; it may still come to its end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from typing import Final, TypeVar

from ...errors import SnapstoreError, StoreError
from ...limits import MAX_OBJECT_BYTES
from ..extras import extra_package
from ..options import StoreOptions
from .clients import Clients
from .failures import Failure
from .place import Place

T = TypeVar("T")
Page = list[tuple[str, int]]

_LISTEN_SECONDS: Final = 0.5  # Windows hears Ctrl-C only between two waits
PAGE_ITEMS: Final = 1000  # the most that the services give at once


class RequestFailedError(Exception):
    """A request failed. It holds the facts, and nothing of obstore's text."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.kind)
        self.failure = failure


class Bucket:
    """Every method raises RequestFailedError, or a store error where the request could not even be made."""

    def __init__(self, place: Place, options: StoreOptions) -> None:
        self._obstore = extra_package("obstore", extra="s3", wanted_by=f"Object storage ({place.scheme}://)")
        self._clients = Clients(place, options)

    @property
    def in_clear(self) -> bool:
        """Whether others on the way can read what is sent."""
        return self._clients.in_clear

    def size(self, key: str) -> int:
        """The bytes stored under a key, by a HEAD."""
        return _made(lambda: int(self._obstore.head(self._clients.reader(), key)["size"]))

    def read(self, key: str, offset: int = 0, size: int | None = None) -> tuple[bytes, int]:
        """The bytes of a range as far as the object reaches, and the size of the whole object. `size` is not 0."""
        return _made(lambda: self._read(key, offset, size))

    def put(self, key: str, content: bytes, *, only_new: bool) -> None:
        """Store an object; with `only_new` the service is asked to refuse a key that exists."""
        client, mode = self._clients.writer(len(content)), "create" if only_new else "overwrite"
        _made(lambda: self._obstore.put(client, key, content, mode=mode, use_multipart=False))

    def delete(self, key: str) -> None:
        """Delete an object; most services say nothing where there is none."""
        _made(lambda: self._obstore.delete(self._clients.reader(), key))

    def pages(self, folder: str) -> Iterator[Page]:
        """Keys and sizes of what is below a folder, "" for the bucket; page by page, as they come."""
        stream = _made(lambda: self._obstore.list(self._clients.reader(), folder or None, chunk_size=PAGE_ITEMS))
        while (page := _made(lambda: next(stream, None))) is not None:
            yield [(found["path"], found["size"]) for found in page]

    def close(self) -> None:
        """Let the connections go."""
        self._clients.close()

    def _read(self, key: str, offset: int, size: int | None) -> tuple[bytes, int]:
        options: dict[str, object] = {}
        if size is not None:
            options["range"] = (offset, offset + size)
        elif offset:
            options["range"] = {"offset": offset}
        result = self._obstore.get(self._clients.reader(), key, options=options)
        start, end = result.range
        if end - start > MAX_OBJECT_BYTES:
            raise StoreError(
                f"Under the key {key} there are {result.meta['size']} bytes, more than any object has: they were not "
                "put there by snapstore. Check the repository.",
                code="object_too_large",
            )
        return bytes(result.bytes().to_bytes()), int(result.meta["size"])


def _made(request: Callable[[], T]) -> T:
    """Make a request. Its failure is raised outside the handler, so that no chain leads to obstore's text."""
    main = threading.current_thread() is threading.main_thread()
    try:
        return _aside(request) if main else request()
    except SnapstoreError:
        raise
    except Exception as error:
        failure = Failure.of(error)
    raise RequestFailedError(failure)


def _aside(request: Callable[[], T]) -> T:
    """Make a request in a thread of its own: obstore does not come back before its end, and Ctrl-C must be heard."""
    answer: Future[T] = Future()

    def make() -> None:
        try:
            answer.set_result(request())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=make, name="snapstore-request", daemon=True).start()
    while not answer.done():
        wait([answer], timeout=_LISTEN_SECONDS)
    return answer.result()
