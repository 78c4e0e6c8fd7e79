"""One thread in which all SSH connections of the process live, and how other threads have work done there.

Here: `LoopThread` and `shared_loop`. Not here: any of that work.

Rules: the thread starts with the first store that needs it and ends with the last one that is closed; stores that are
never closed do not keep a program from ending. A child of a fork finds no thread and starts its own: what it
inherited belongs to its parent and is left alone. Waiting is cut into slices, since Windows takes no Ctrl-C while a
thread waits for a lock; what was being waited for is then cancelled. That a connection broke is told to who waits for
it, so asyncio's own warnings about it, line by line on a terminal, are left out of the log.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

WAIT_SLICE_SECONDS: Final = 0.5
STOP_SECONDS: Final = 2.0
READ_BYTES: Final = 64 << 10  # from a socket at once
THREAD_NAME: Final = "snapstore-sftp"
_BROKEN: Final = {
    "socket.send() raised exception.",
    "pipe closed by peer or os.write(pipe, data) raised exception.",
}
"""What asyncio says of each write between the break of a connection and the moment in which it tells of it."""

T = TypeVar("T")


class LoopEnded(Exception):
    """The thread ends, because the last store was closed or the program is at its end."""


class _Loop(asyncio.ProactorEventLoop if sys.platform == "win32" else asyncio.SelectorEventLoop):  # type: ignore[misc]
    """The system's usual loop, whatever policy the application has, which hands asyncssh less at once.

    asyncssh copies what it has not taken apart yet for each packet of 32 KiB that it takes off.
    """

    async def create_connection(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - passed on as they are
        transport, protocol = await super().create_connection(*arguments, **options)
        if hasattr(transport, "max_size"):  # of CPython's selector transport; others read 64 KiB or less anyway
            transport.max_size = READ_BYTES
        return transport, protocol


class LoopThread:
    """An event loop and its thread."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.users = 0
        self.loop = _Loop()
        self._thread = threading.Thread(target=self._serve, name=THREAD_NAME, daemon=True)
        logging.getLogger("asyncio").addFilter(_is_news)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Have it done and wait for it. A `KeyboardInterrupt` here cancels it there. Raises LoopEnded."""
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except RuntimeError as error:
            coroutine.close()
            raise LoopEnded from error
        try:
            while not concurrent.futures.wait([future], WAIT_SLICE_SECONDS).done:
                if not self._thread.is_alive():
                    raise LoopEnded
            return future.result()
        except concurrent.futures.CancelledError as error:
            raise LoopEnded from error
        finally:
            future.cancel()

    def stop(self) -> None:
        """Cancel what is under way and end the thread; waits for that, but not for long."""
        if self.pid != os.getpid():
            return
        with contextlib.suppress(RuntimeError):  # the loop was closed before
            self.loop.call_soon_threadsafe(self.loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(STOP_SECONDS)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        with contextlib.suppress(BaseException):  # nobody is left who could be told
            self.loop.run_until_complete(asyncio.wait_for(_ended(tasks), STOP_SECONDS))
            self.loop.run_until_complete(asyncio.wait_for(self.loop.shutdown_default_executor(), STOP_SECONDS))
        self.loop.close()


_lock = threading.Lock()
_shared: LoopThread | None = None
_inherited: Final[list[object]] = []  # of a parent process: kept, because being collected would close its sockets


def shared_loop() -> LoopThread:
    """The loop of this process, with one more user. Give it back with `release`."""
    global _shared  # noqa: PLW0603 - one thread a process, whatever the number of stores
    with _lock:
        if _shared is None:
            _shared = LoopThread()
        _shared.users += 1
        return _shared


def release(loop: LoopThread) -> None:
    """Give a shared loop back; the last one who does so ends it."""
    global _shared  # noqa: PLW0603
    with _lock:
        loop.users -= 1
        if loop.users > 0 or loop is not _shared:
            return
        _shared = None
    loop.stop()


def keep_inherited(thing: object) -> None:
    """Leave alone, for good, what a fork brought along."""
    _inherited.append(thing)


async def _ended(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


def _is_news(record: logging.LogRecord) -> bool:
    return record.threadName != THREAD_NAME or record.msg not in _BROKEN


def _after_fork() -> None:
    global _lock, _shared  # noqa: PLW0603
    _lock = threading.Lock()
    if _shared is not None:
        keep_inherited(_shared)
    _shared = None


def _at_exit() -> None:
    if _shared is not None:
        _shared.stop()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
