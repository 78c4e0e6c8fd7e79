"""Clients of obstore for one place, made when they are needed.

Here: `Clients`. Not here: any request (bucket.py).

Rules:
- A request is sent once: obstore's own repetitions are off, since a put must not be sent twice, and whether to try
  again is a wrapper's decision.
- A server may be silent for the answer time-out. During an upload nothing is seen of what has got through, so a put
  has that time for each MiB and once more; its client is made for its class of sizes.
- Idle connections are dropped before servers drop them, which would cost a put its answer.
- obstore's threads do not live on in a forked process, where a call would never return: it raises instead.
"""

from __future__ import annotations

import importlib
import os
import threading
from pathlib import Path
from typing import Any, Final

from ...errors import InputError, StoreError
from ...limits import MAX_OBJECT_BYTES, MIB
from ..options import StoreOptions
from .failures import Failure, setup_error
from .place import Place, travels_in_clear, with_bucket
from .settings import S3Settings, current_s3_settings

_PUT_CLASSES: Final = (MIB, 8 * MIB, MAX_OBJECT_BYTES)
_IDLE_SECONDS: Final = 4  # several servers close what was idle for five
_runtime_process: Final[list[int]] = []  # the process that obstore's threads live in, once there are any


class Clients:
    """One client for everything but puts, and one for each class of puts."""

    def __init__(self, place: Place, options: StoreOptions) -> None:
        self._place = place
        self._options = options
        self._settings = current_s3_settings() if place.scheme == "s3" else S3Settings()
        self._endpoint = place.endpoint or self._settings.endpoint
        self._certificate = _certificate(options.ca_file or self._settings.ca_file)
        self._lock = threading.Lock()
        self._made: dict[int, object] = {}

    @property
    def in_clear(self) -> bool:
        """Whether others on the way can read what is sent."""
        return travels_in_clear(self._endpoint)

    def reader(self) -> object:
        """For everything but puts."""
        return self._client(0)

    def writer(self, size: int) -> object:
        """For a put of so many bytes."""
        return self._client(next(limit for limit in _PUT_CLASSES if size <= limit))

    def close(self) -> None:
        """Let go of all; they are made again when needed."""
        with self._lock:
            self._made.clear()

    def _client(self, put_bytes: int) -> object:
        _see_process()
        with self._lock:
            client = self._made.get(put_bytes)
            if client is None:
                client = self._made[put_bytes] = self._new(put_bytes)
        return client

    def _new(self, put_bytes: int) -> object:
        arguments: dict[str, Any] = {
            "client_options": self._client_options(put_bytes),
            "retry_config": {"max_retries": 0},
        }
        try:
            return self._of_scheme(arguments)
        except Exception as error:
            failure = Failure.of(error)
        raise setup_error(failure, self._place.scheme)  # outside, so that obstore's text is not in its chain

    def _of_scheme(self, arguments: dict[str, Any]) -> object:
        stores = importlib.import_module("obstore.store")
        if self._place.scheme == "s3":
            return stores.S3Store(self._place.bucket, config=self._s3_config(), **arguments)
        config: dict[str, Any] = {}
        if self._place.scheme == "gs":
            if self._endpoint is not None:
                config["base_url"] = self._endpoint
            return stores.GCSStore(self._place.bucket, config=config, **arguments)
        if self._endpoint is not None:
            config["endpoint"] = self._endpoint
        if self._place.account is not None:
            config["account_name"] = self._place.account
        return stores.AzureStore(self._place.bucket, config=config, **arguments)

    def _s3_config(self) -> dict[str, Any]:
        settings = self._settings
        given = {
            "access_key_id": settings.access_key_id,
            "secret_access_key": settings.secret_access_key,
            "session_token": settings.session_token,
            "region": self._place.region or settings.region,
        }
        config: dict[str, Any] = {key: text for key, text in given.items() if text is not None}
        # Deleting many at once is not understood everywhere, and we delete one by one.
        config |= {"disable_bulk_delete": True, "unsigned_payload": False}
        # A bucket with a dot in its name has no certificate for a host name of its own.
        virtual = self._endpoint is None and "." not in self._place.bucket
        if self._place.addressing is not None:
            virtual = self._place.addressing == "virtual"
        config["virtual_hosted_style_request"] = virtual
        if self._endpoint is not None:
            endpoint = with_bucket(self._endpoint, self._place.bucket) if virtual else self._endpoint
            # Both: the second is taken from a variable if it is not given, and would win.
            config |= {"endpoint": endpoint, "aws_endpoint_url_s3": endpoint}
        return config

    def _client_options(self, put_bytes: int) -> dict[str, Any]:
        silence = self._options.answer_timeout_seconds
        patience = silence * (1 + (put_bytes or MAX_OBJECT_BYTES) / MIB)
        given: dict[str, Any] = {
            "connect_timeout": _milliseconds(self._options.connect_timeout_seconds),
            "timeout": _milliseconds(self._options.connect_timeout_seconds + patience),
            "pool_idle_timeout": f"{_IDLE_SECONDS}s",
            "allow_http": self._endpoint is not None and self._endpoint.startswith("http://"),
        }
        if not put_bytes:
            given["read_timeout"] = _milliseconds(silence)  # counts from the request's start, so not while putting
        if self._certificate is not None:
            given["root_certificate"] = self._certificate
        return given


def _milliseconds(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"


def _certificate(file: str | os.PathLike[str] | None) -> bytes | None:
    if file is None:
        return None
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise InputError(
            f"The CA file {os.fspath(file)} cannot be read: {error.strerror}.", code="ca_file_unreadable"
        ) from error


def _see_process() -> None:
    """Raise in a process that was forked from one that had used obstore: its calls would never return."""
    if not _runtime_process:
        _runtime_process.append(os.getpid())
    if _runtime_process[0] != os.getpid():
        raise StoreError(
            "Object storage was used before this process was forked, and cannot be used in it: start processes with "
            "the method 'spawn', or fork before the first use.",
            code="store_after_fork",
        )
