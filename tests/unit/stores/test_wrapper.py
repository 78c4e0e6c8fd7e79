"""A wrapper has what its store has, and nothing more."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import pytest

from snapstore.errors import OperationCancelledError
from snapstore.stores.local import LocalStore
from snapstore.stores.memory import MemoryStore
from snapstore.stores.protocol import begin_object, lanes_of, settled
from snapstore.stores.read_only import ReadOnlyStore
from snapstore.stores.retrying import RetryingStore
from snapstore.stores.throttled import ThrottledStore
from snapstore.stores.waiting import wait
from snapstore.stores.wrapper import StoreWrapper, innermost, notices_of, set_cancelled

NUMBERS = itertools.count()


class Far(MemoryStore):
    """A remote store with something to say."""

    lanes = 6
    notices = (("password_in_clear", "It travels in clear."),)

    @property
    def abilities(self) -> Mapping[str, bool]:
        return {"fsync": False}

    def begin(self) -> None:  # type: ignore[override]
        """It takes whole objects."""


class Plugged(MemoryStore):
    """On something that people unplug."""

    def settle(self) -> bool:
        return True


def test_around_a_store_of_this_machine_it_is_not_remote(tmp_path: Path) -> None:
    wrapped = StoreWrapper(StoreWrapper(LocalStore(tmp_path / "store", create=True)))
    assert wrapped.lanes == lanes_of(wrapped) == 1
    assert notices_of(wrapped) == ()
    assert wrapped.abilities == {}
    assert isinstance(innermost(wrapped), LocalStore)
    builder = begin_object(wrapped)
    assert builder is not None
    builder.discard()


def test_what_a_store_has_besides_is_passed_on() -> None:
    store = Far(f"wrapper{next(NUMBERS)}")
    wrapped = ReadOnlyStore(RetryingStore(ThrottledStore(store, upload_bytes_per_second=1000)))
    assert lanes_of(wrapped) == 6
    assert notices_of(wrapped) == store.notices
    assert wrapped.abilities == {"fsync": False}
    assert innermost(wrapped) is store
    assert begin_object(StoreWrapper(store)) is None
    assert settled(wrapped) is None


def test_settling_is_passed_on() -> None:
    assert settled(ReadOnlyStore(StoreWrapper(Plugged(f"wrapper{next(NUMBERS)}")))) is True
    assert settled(StoreWrapper(MemoryStore(f"wrapper{next(NUMBERS)}"))) is None


def test_every_wrapper_hears_of_a_cancel() -> None:
    inner = ThrottledStore(MemoryStore(f"wrapper{next(NUMBERS)}"), upload_bytes_per_second=1)
    middle = RetryingStore(inner)
    outer = StoreWrapper(middle)
    assert not outer.cancelled()
    set_cancelled(outer, lambda: True)
    assert [store.cancelled() for store in (outer, middle, inner)] == [True] * 3
    with pytest.raises(OperationCancelledError):
        outer.put("packs/a/0", b"x" * 100)


def test_waiting_is_cut_into_slices() -> None:
    slept: list[float] = []
    wait(1.1, slept.append, lambda: False)
    assert sum(slept) == pytest.approx(1.1)
    assert max(slept) <= 0.2
    slept.clear()
    with pytest.raises(OperationCancelledError):
        wait(100, slept.append, lambda: len(slept) == 3)
    assert len(slept) == 3
    with pytest.raises(OperationCancelledError):
        wait(0, slept.append, lambda: True)
