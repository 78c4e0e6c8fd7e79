"""The short way to decode a part of a directory gives what the long way gives, and takes nothing that that refuses."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.errors import DamagedObjectError, SnapstoreError
from snapstore.format import tree
from snapstore.format.packing import encode
from snapstore.format.tree import decode_node

H = bytes(32)
HEAD: dict[Any, Any] = {0: b"name", 1: 0, 2: 0o644, 3: 5, 4: 1000, 5: 1000, 6: "ann", 7: "users"}
CONTENT: list[dict[Any, Any]] = [
    {8: 0},
    {8: 3, 9: b"abc"},
    {8: 700, 10: [H, 20, 1000]},
    {8: 3000, 11: [[H, 1000, 3]]},
    {8: 3500, 11: [[H, 1000, 3], 500]},
    {1: 2, 14: b"target"},
    {1: 1, 21: [0, H], 22: [3, 9]},
    {8: 3, 9: b"abc", 17: [[b"user.a", b"b"]]},
    {8: 10**7, 12: [2, H], 13: True},
    {8: 0, 20: -1, 23: True},
    {1: 3},
    {1: 6, 16: b"a/b"},
]


def both_ways(data: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[object, object]:
    def outcome() -> object:
        try:
            return decode_node(data)
        except SnapstoreError as error:
            return type(error), str(error)

    short = outcome()
    with monkeypatch.context() as patch:
        patch.setattr(tree, "_decode_plain_leaf", lambda data: None)
        return short, outcome()


@pytest.mark.parametrize("content", CONTENT)
def test_what_may_stand_decodes_alike(monkeypatch: pytest.MonkeyPatch, content: dict[Any, Any]) -> None:
    data = encode([0, [HEAD | content]])
    assert tree._decode_plain_leaf(data) is not None
    short, long = both_ways(data, monkeypatch)
    assert short == long
    assert isinstance(short, tree.DirectoryLeaf)


WRONG = (
    None,
    True,
    False,
    -1,
    0,
    1,
    2**63,
    2**64 - 1,
    "x",
    b"",
    b"x",
    b"a/b",
    b".",
    b"..",
    b"\0",
    [],
    [H, 0, 1],
    {},
    1.5,
)


@pytest.mark.parametrize("content", CONTENT)
def test_a_value_of_another_kind_fares_alike(monkeypatch: pytest.MonkeyPatch, content: dict[Any, Any]) -> None:
    whole = HEAD | content
    for key in whole:
        for value in WRONG:
            short, long = both_ways(msgpack.packb([0, [whole | {key: value}]]), monkeypatch)
            assert short == long, (key, value)


@pytest.mark.parametrize("content", CONTENT)
@pytest.mark.parametrize(
    "change",
    [
        lambda pairs: pairs[::-1],
        lambda pairs: [*pairs, pairs[-1]],
        lambda pairs: [pairs[1], pairs[0], *pairs[2:]],
        lambda pairs: [*pairs, (64, {2: 1, 1: 2})],
        lambda pairs: [*pairs, (64, {1: 2})],
        lambda pairs: [*pairs, (30, 1)],
        lambda pairs: [*pairs, ("text", 1)],
        lambda pairs: [*pairs, (-1, 1)],
        lambda pairs: [pairs[0], (True, pairs[1][1]), *pairs[2:]],
        lambda pairs: [(False, pairs[0][1]), *pairs[1:]],
        lambda pairs: [pairs[0], (1.0, pairs[1][1]), *pairs[2:]],
        lambda pairs: pairs[1:],
        lambda pairs: pairs[:-1],
        lambda pairs: [],
    ],
)
def test_keys_that_may_not_stand_fare_alike(
    monkeypatch: pytest.MonkeyPatch, content: dict[Any, Any], change: Any
) -> None:
    pairs = change(list((HEAD | content).items()))
    packer = msgpack.Packer()
    packed = b"".join(packer.pack(part) for pair in pairs for part in pair)
    data = b"\x92\x00\x91" + packer.pack_map_header(len(pairs)) + packed
    short, long = both_ways(data, monkeypatch)
    assert short == long


@pytest.mark.parametrize(
    "value", [[0, {}], [0, {0: HEAD}], [0, [HEAD, HEAD]], [0, None], [False, [HEAD]], [0], {0: []}]
)
def test_nodes_of_another_shape_are_refused(value: object) -> None:
    with pytest.raises(DamagedObjectError):
        decode_node(msgpack.packb(value))


@given(st.integers(0, len(CONTENT) - 1), st.data())
def test_any_change_of_a_byte_fares_alike(which: int, data: st.DataObject) -> None:
    node = bytearray(encode([0, [HEAD | CONTENT[which]]]))
    node[data.draw(st.integers(0, len(node) - 1))] = data.draw(st.integers(0, 255))
    with pytest.MonkeyPatch.context() as monkeypatch:
        short, long = both_ways(bytes(node), monkeypatch)
    assert short == long
