"""The rules of objects that grow in a store, as tests; part of `StoreConformance`.

Here: `BuildingRules`. Not here: the rules that every store keeps (conformance.py). A store that cannot build
(`begin_object` gives None) skips these.

Rule: a builder is a put in steps, so what holds for put is asked of it again: whole or not there, a name used once,
names and sizes refused, what reads back wrongly removed.
"""

from __future__ import annotations

import unittest
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from ..errors import InputError, StoreError
from ..limits import MAX_OBJECT_BYTES
from ..stores.protocol import Block, Comparison, ObjectBuilder, Store, begin_object
from .under_test import StoreUnderTest, listing, raises


class _Same:
    """Compares with bytes at hand."""

    def __init__(self, meant: bytes) -> None:
        self._meant = meant
        self._read = b""

    def update(self, block: Block, /) -> None:
        """Keep them."""
        self._read += block

    def holds(self) -> bool:
        """Whether they are the same."""
        return self._read == self._meant


def _same(meant: bytes) -> Callable[[], Comparison]:
    return lambda: _Same(meant)


def _built(store: Store, parts: Sequence[bytes] = ()) -> ObjectBuilder:
    builder = begin_object(store)
    if builder is None:
        raise unittest.SkipTest("this store takes whole objects only")
    for part in parts:
        builder.write(part)
    return builder


def _difference(builder: ObjectBuilder, meant: bytes) -> str:
    """Where what was written differs from what is meant; short enough to be read in a report."""
    read = b"".join(map(bytes, builder.blocks()))
    if read == meant:
        return ""
    at = next((at for at, (one, other) in enumerate(zip(read, meant, strict=False)) if one != other), None)
    return f"{len(read)} bytes of {len(meant)}, first difference at {at}"


class BuildingRules(StoreUnderTest):
    """Objects in the making."""

    def test_what_was_built_is_an_object_once_it_has_its_name(self) -> None:
        parts = [b"head", bytes(range(256)) * 9000, b"", b"tail"]
        content = b"".join(parts)
        with self.open_store() as store, self.open_store() as other:
            builder = _built(store, parts)
            assert builder.size == len(content)
            assert listing(other, "") == {}
            builder.publish("packs/a/built", _same(content))
            assert listing(other, "") == {"packs/a/built": len(content)}
            assert other.get("packs/a/built") == content

    def test_what_was_written_is_read_again_and_written_on(self) -> None:
        content = bytes(range(251)) * 9000
        with self.open_store() as store, _built(store, [content]) as builder:
            for turn in range(2):
                assert _difference(builder, content) == "", turn
            next(iter(builder.blocks()))
            for more in (b"more", b"and more"):
                builder.write(more)
                content += more
                assert _difference(builder, content) == ""
            builder.publish("packs/a/built", _same(content))
            assert store.get("packs/a/built") == content

    def test_an_object_of_nothing_is_built(self) -> None:
        with self.open_store() as store:
            _built(store).publish("packs/a/empty", _same(b""))
            assert store.get("packs/a/empty") == b""

    def test_what_is_dropped_was_never_there(self) -> None:
        with self.open_store() as store:
            builder = _built(store, [b"x" * 5000])
            builder.discard()
            builder.discard()
            with _built(store, [b"x"]):
                pass  # not published
            assert listing(store, "") == {}
            store.put("packs/a/later", b"y")
            assert listing(store, "") == {"packs/a/later": 1}

    def test_a_name_in_use_is_not_given_again(self) -> None:
        with self.open_store() as store:
            store.put("packs/a/used", b"first")
            with raises(InputError) as caught:
                _built(store, [b"second"]).publish("packs/a/used", _same(b"second"))
            assert caught[0].code == "object_exists"  # type: ignore[attr-defined]
            assert store.get("packs/a/used") == b"first"
            _built(store, [b"second"]).publish("packs/a/free", _same(b"second"))
            with raises(InputError):
                store.put("packs/a/free", b"third")
            assert listing(store, "") == {"packs/a/used": 5, "packs/a/free": 6}

    def test_bytes_that_were_not_meant_are_removed(self) -> None:
        with self.open_store() as store:
            for meant in (b"contenT", b"conten", b"contents", b""):
                with raises(StoreError) as caught:
                    _built(store, [b"con", b"tent"]).publish("packs/a/wrong", _same(meant))
                assert caught[0].code == "store_read_back_differs"  # type: ignore[attr-defined]
                assert listing(store, "") == {}

    def test_names_and_sizes_are_refused_as_by_put(self) -> None:
        with self.open_store() as store:
            for name in ("packs", "packs/../x", "tmp/x", "packs/a/X"):
                with raises(InputError, name):
                    _built(store, [b"x"]).publish(name, _same(b"x"))
            with _built(store, [bytes(MAX_OBJECT_BYTES)]) as builder, raises(InputError):
                builder.write(b"x")
            assert listing(store, "") == {}

    def test_of_many_builders_of_one_name_one_wins(self) -> None:
        contents = [bytes([number]) * 3000 for number in range(8)]
        with self.open_store() as one, self.open_store() as other:
            _built(one).discard()

            def won(number: int) -> bool:
                try:
                    builder = _built((one, other)[number % 2], [contents[number]])
                    builder.publish("packs/a/race", _same(contents[number]))
                except InputError:
                    return False
                return True

            with ThreadPoolExecutor(8) as pool:
                winners = [number for number, ok in enumerate(pool.map(won, range(8))) if ok]
            assert len(winners) == 1
            assert one.get("packs/a/race") == contents[winners[0]]
            assert listing(one, "") == {"packs/a/race": 3000}
