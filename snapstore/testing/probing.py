"""Trying out somebody's own server: the rules of stores, asked of it in a folder that is removed afterwards.

Here: `probe`, public as `snapstore.probe`, and `probe_store` for a store that is open already. Not here: the rules
(conformance.py), which rule matters for what and what follows (verdicts.py), the place (scratch.py).

Rules: nothing outside the scratch folder is read, written or listed. It is removed also after an error and after
Ctrl-C; what could not be removed is named. The rules are tried on two openings of one store, so that what one wrote
the other must see. When the time is up the rest is skipped and the verdict says that it does not know. A rule that
fails says why in the words of the store's error, which hold no password.
"""

from __future__ import annotations

import itertools
import os
import random
import time
import unittest
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ..errors import InputError, OperationCancelledError, SnapstoreError
from ..limits import MAX_OBJECT_BYTES, MIB
from ..progress import Cancel, NullCancel, NullProgress, Progress, ProgressStatus, raise_if_cancelled
from ..stores.options import StoreOptions
from ..stores.protocol import Store
from ..stores.retrying import RetryingStore
from ..stores.wrapper import StoreWrapper, set_cancelled
from .conformance import StoreConformance
from .probe_report import ProbeOutcome, ProbeReport, ProbeRule
from .scratch import scratch_place
from .verdicts import RULES, needed_for, verdict

PROBE_SECONDS: Final = 50.0  # with the removal, under a minute
LARGEST_SECONDS: Final = 12.0  # for the largest object, up and down twice; on slower lines a smaller one is taken
SPEED_BYTES: Final = 2 * MIB
FAR_SECONDS: Final = 0.02  # where a read takes longer than this, there are fewer objects in rules about many
FEW_OBJECTS: Final = 24


def probe(
    url: str | os.PathLike[str],
    *,
    options: StoreOptions | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    seconds: float = PROBE_SECONDS,
) -> ProbeReport:
    """Try out the store at an address, in a folder of its own that is removed afterwards, in under a minute.

    Nothing that is there is touched. Needs no repository. Raises InputError, StoreError if it cannot be reached at
    all, OperationCancelledError.
    """
    options = options or StoreOptions()
    if options.read_only:
        raise InputError("A store is tried out by writing to it: leave out the option to read only.")
    with scratch_place(url, options) as place:
        report = probe_store(place.open, progress=progress, cancel=cancel, seconds=seconds)
        left_behind = place.remove()
    return _finished(report, url=place.shown, left_behind=left_behind)


def probe_store(
    open_store: Callable[[], Store],
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    seconds: float = PROBE_SECONDS,
) -> ProbeReport:
    """Try out an empty store; `open_store` is called twice. What was put is deleted, as far as that works."""
    if not __debug__:
        raise InputError("The rules are assertions, which python -O leaves out: run Python without it.")
    with open_store() as one, open_store() as other:
        run = _Run((one, other), progress or NullProgress(), cancel or NullCancel(), seconds)
        try:
            return run.report()
        finally:
            run.clear()


class _Run:
    """One probe of one store."""

    def __init__(self, stores: tuple[Store, Store], progress: Progress, cancel: Cancel, seconds: float) -> None:
        self._stores = stores
        self._progress = progress
        self._cancel = cancel
        self._start = time.monotonic()
        self._seconds = seconds
        self._round_trip: float | None = None
        self._up: float | None = None
        self._down: float | None = None
        for store in stores:
            set_cancelled(store, cancel.is_set)

    def report(self) -> ProbeReport:
        """Try every rule."""
        trouble = self._measure()
        rules = []
        for number, method in enumerate(RULES):
            raise_if_cancelled(self._cancel)
            self._tell(number, method)
            rules.append(self._tried(method, trouble))
            trouble = "" if rules[-1].outcome is ProbeOutcome.SKIPPED else self.clear()
        self._tell(len(RULES), "")
        store = self._stores[0]
        return ProbeReport(
            url=store.url,
            rules=tuple(rules),
            abilities=dict(getattr(store, "abilities", {})),
            snapshots=verdict([rule for rule in rules if rule.needed_for_snapshots]),
            prune=verdict([rule for rule in rules if rule.needed_for_prune]),
            round_trip_seconds=self._round_trip,
            upload_bytes_per_second=self._up,
            download_bytes_per_second=self._down,
            retries=sum(_retries(store) for store in self._stores),
            seconds=time.monotonic() - self._start,
            left_behind="",
        )

    def clear(self) -> str:
        """Delete all objects. What hindered that, or ""."""
        try:
            for found in [*self._stores[0].list("")]:
                self._stores[0].delete(found.name)
            self._stores[0].clean_temporaries("unnamed")
        except SnapstoreError as error:
            return str(error)
        return ""

    def _measure(self) -> str:
        """Take the time of small and large calls. What hindered that, or ""; the rules will say it better."""
        store, content = self._stores[0], random.Random(7).randbytes(SPEED_BYTES)
        try:
            store.put("config/small", b"x")
            self._round_trip = min(_seconds_of(lambda: store.get("config/small")) for _ in range(5))
            self._up = SPEED_BYTES / _seconds_of(lambda: store.put("config/speed", content))
            self._down = SPEED_BYTES / _seconds_of(lambda: store.get("config/speed"))
        except OperationCancelledError:
            raise
        except SnapstoreError:
            pass
        return self.clear()

    def _tried(self, method: str, trouble: str) -> ProbeRule:
        detail, outcome = "", ProbeOutcome.PASSED
        try:
            if time.monotonic() - self._start > self._seconds:
                raise unittest.SkipTest("the time was up")
            if trouble:
                raise AssertionError(f"what was put before could not be removed: {trouble}")
            getattr(self._rules(), method)()
        except unittest.SkipTest as skip:
            detail, outcome = str(skip), ProbeOutcome.SKIPPED
        except OperationCancelledError:
            raise
        except SnapstoreError as error:
            detail, outcome = str(error), ProbeOutcome.FAILED
        except AssertionError as error:
            detail, outcome = _short(str(error)) or "it is not so here", ProbeOutcome.FAILED
        except Exception as error:  # a mistake in the store: the rules are for stores of others, too
            detail, outcome = f"the store raised {type(error).__name__}", ProbeOutcome.FAILED
        snapshots, prune = needed_for(method)
        return ProbeRule(
            name=method.removeprefix("test_"),
            words=method.removeprefix("test_").replace("_", " "),
            outcome=outcome,
            detail=detail,
            needed_for_snapshots=snapshots,
            needed_for_prune=prune,
        )

    def _rules(self) -> StoreConformance:
        turns = itertools.cycle(self._stores)

        class Rules(StoreConformance):
            def open_store(self) -> Store:
                return _Lent(next(turns))

        rules = Rules()
        if self._round_trip is not None and self._round_trip > FAR_SECONDS:
            rules.objects_in_bulk = FEW_OBJECTS
        if self._up and self._down:
            affordable = LARGEST_SECONDS / (1 / self._up + 1 / self._down)
            rules.largest_object_bytes = min(MAX_OBJECT_BYTES, max(int(affordable), SPEED_BYTES))
        return rules

    def _tell(self, done: int, method: str) -> None:
        seconds = time.monotonic() - self._start
        words = method.removeprefix("test_").replace("_", " ")
        self._progress.update(
            ProgressStatus(
                phase="probe", files_done=done, files_total=len(RULES), current=words or None, seconds_elapsed=seconds
            )
        )


class _Lent(StoreWrapper):
    """A store that its user cannot close: connecting anew for each rule would take most of the time."""

    def close(self) -> None:
        """Nothing."""


def _finished(report: ProbeReport, *, url: str, left_behind: str) -> ProbeReport:
    return replace(report, url=url, left_behind=left_behind)


def _retries(store: Store) -> int:
    count = 0
    while isinstance(store, StoreWrapper):
        count += store.retries if isinstance(store, RetryingStore) else 0
        store = store.inner
    return count


def _seconds_of(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return max(time.perf_counter() - start, 1e-6)


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "..."
