"""Taking no more of a line than it was given.

Here: `ThrottledStore` and the bucket that it measures with. Not here: limits of single connections; what is limited
is the sum over all threads that use one store.

Rules: the mean over a second keeps to the limit, single bursts may not: a store reads an upload block by block, and
how it sends the blocks is its own matter. What is read of an upload for the second time (to compare it with what was
stored) is free. Overheads of protocols are not counted.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from typing import BinaryIO, Final, cast

from ..errors import InputError
from .protocol import Store
from .waiting import wait
from .wrapper import StoreWrapper

SLICE_BYTES: Final = 256 * 1024
LARGEST_SLICE_BYTES: Final = 4 * 1024 * 1024
SLICES_A_SECOND: Final = 4  # a slice costs a round trip, so on a quick line it must not be too small
BURST_SECONDS: Final = 0.25


class Bucket:
    """Bytes flow in at a rate; whoever takes more than there is waits until they have flowed in."""

    def __init__(
        self,
        bytes_per_second: int,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if bytes_per_second < 1:
            raise InputError("A limit of bandwidth is at least one byte a second.")
        self.bytes_per_second = bytes_per_second
        self._sleep = sleep
        self._clock = clock
        self._left = 0.0
        self._looked = clock()
        self._lock = threading.Lock()

    def take(self, size: int, cancelled: Callable[[], bool]) -> None:
        """Count bytes that were or will be transferred, and wait for as long as they should take."""
        with self._lock:
            now = self._clock()
            flown = self._left + (now - self._looked) * self.bytes_per_second
            self._left = min(flown, self.bytes_per_second * BURST_SECONDS) - size
            self._looked = now
            missing = max(-self._left, 0.0)
        wait(missing / self.bytes_per_second, self._sleep, cancelled)


class ThrottledStore(StoreWrapper):
    """Uploads and downloads so many bytes a second at most; None for as many as there can be."""

    def __init__(
        self,
        inner: Store,
        *,
        upload_bytes_per_second: int | None = None,
        download_bytes_per_second: int | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(inner)
        self._up, self._down = (
            None if limit is None else Bucket(limit, sleep=sleep, clock=clock)
            for limit in (upload_bytes_per_second, download_bytes_per_second)
        )

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        """Through a file whose reading takes its time."""
        if self._up is None:
            return self.inner.put(name, data, size=size)
        file = cast(BinaryIO, io.BytesIO(data)) if isinstance(data, (bytes, bytearray, memoryview)) else data
        up, cancelled = self._up, self.cancelled
        paced = cast(BinaryIO, PacedFile(file, lambda taken: up.take(taken, cancelled)))
        return self.inner.put(name, paced, size=size)

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        """In slices, where the size is known; else whole, and waiting afterwards."""
        down = self._down
        if down is None or size is None or size < 1 or offset < 0:
            content = self.inner.get(name, offset=offset, size=size)
            if down is not None:
                down.take(len(content), self.cancelled)
            return content
        most = min(max(down.bytes_per_second // SLICES_A_SECOND, SLICE_BYTES), LARGEST_SLICE_BYTES)
        slices = []
        for start in range(0, size, most):
            part = min(most, size - start)
            down.take(part, self.cancelled)
            slices.append(self.inner.get(name, offset=offset + start, size=part))
        return b"".join(slices)


class PacedFile(io.RawIOBase):
    """A file that calls `pace` with every number of bytes that are read of it for the first time."""

    def __init__(self, file: BinaryIO, pace: Callable[[int], None]) -> None:
        super().__init__()
        self._file = file
        self._pace = pace
        self._paced_to = file.tell()

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """As the file."""
        return self._file.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """As the file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As the file."""
        return self._file.tell()

    def read(self, size: int | None = -1, /) -> bytes:
        """Read all that was asked for, and wait for as long as the bytes should take."""
        if size is None or size < 0:
            return self.readall()
        blocks = []
        while size:
            block = self._slice(min(size, SLICE_BYTES))
            if not block:
                break
            blocks.append(block)
            size -= len(block)
        return b"".join(blocks)

    def readall(self) -> bytes:
        """Read to the end."""
        return b"".join(iter(lambda: self._slice(SLICE_BYTES), b""))

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        """Read into a buffer."""
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def _slice(self, size: int) -> bytes:
        block = self._file.read(size)
        end = self._file.tell()
        if end > self._paced_to:
            new, self._paced_to = end - self._paced_to, end
            self._pace(new)
        return block
