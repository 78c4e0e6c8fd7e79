"""The compiled way of hashing, sealing and opening gives what its twins give, and takes nothing that does not fit."""

from __future__ import annotations

import random
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapstore.blobs import native, sealer
from snapstore.blobs.sealer import BlobSealer, PlainBlob, SealedBlob
from snapstore.blobs.unsealing import StoredBlob, open_blobs
from snapstore.chunking.nodes import name_key
from snapstore.codec import RAW, ZSTD
from snapstore.crypto.blob import child_prefixes, seal_blob, stored_hash, unseal_child_list, voucher
from snapstore.crypto.keys import BlobDomain
from snapstore.errors import DamagedObjectError
from snapstore.format.pack import ENTRY_BYTES, BlobKind
from snapstore.types import BlobId, PlainHash, RepositoryId

if native.SEALING is None:
    pytest.skip("the compiled module is not there", allow_module_level=True)
SEALING: Any = native.SEALING

KEY, BLOB_ID = b"k" * 32, BlobId(b"i" * 32)
KEYS_BYTES = 80
HASH_SIZES = (0, 1, 63, 64, 65, 1023, 1024, 1025, 65_536, 1 << 20)
OUT_OF_THE_WAY = 1 << 20
"""A place in a blob that the probe for compressing does not look at."""


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def contents() -> list[bytes]:
    """Tiny ones, text, noise below and above where a probe says that it does not shrink, and what fools the probe."""
    text = b"text that repeats, " * 20_000
    return [
        b"",
        b"x",
        b"xy" * 30,
        noise(100),
        text[:1000],
        noise(5000),
        text,
        noise(256 * 1024 - 1),
        noise(256 * 1024),
        noise(300_001),
        noise(100_000) + text,
        text + noise(100_000) + text,
        bytes(1_000_000),
    ]


@contextmanager
def by(way: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if way == "twin":
            patch.setattr(native, "SEALING", None)
        yield


def blobs_of(
    sealer: BlobSealer, plaintexts: Sequence[bytes], *, trees: bool
) -> tuple[list[PlainHash], list[PlainBlob]]:
    """What is to be sealed; trees refer to none, one, or many blobs in no order and some of them twice."""
    hashes, blobs = sealer.address_many(plaintexts, [False] * len(plaintexts))
    if trees:
        ids = [BlobId(noise(32 + number)[:32]) for number in range(40)]
        children = [[], ids[:1], [*reversed(ids), *ids[5:30]]]
        blobs = [blob._replace(children=children[at % 3]) for at, blob in enumerate(blobs)]
    return hashes, blobs


def stored_of(blobs: Sequence[PlainBlob], sealed: Sequence[SealedBlob]) -> list[StoredBlob | None]:
    return [
        StoredBlob(blob.content_key, entry.blob_id, entry.codec, entry.raw_size, memoryview(stored)[entry.child_size :])
        for blob, (entry, stored) in zip(blobs, sealed, strict=True)
    ]


@pytest.mark.parametrize("wrapped", [bytes, memoryview, bytearray])
def test_hashes_and_addresses_are_those_of_the_domains(keys_of: Any, wrapped: Callable[[bytes], Any]) -> None:
    domains = [keys_of().own, keys_of().shared]
    plaintexts = [noise(size) for size in HASH_SIZES for _ in domains]
    which = bytes([0, 1]) * len(HASH_SIZES)
    keys = b"".join([domain.blob_hash_key + domain.blob_id_key for domain in domains])
    found = SEALING.hash_blobs([wrapped(plaintext) for plaintext in plaintexts], keys, which)
    expected = []
    for plaintext, number in zip(plaintexts, which, strict=True):
        plain_hash = domains[number].hash(plaintext)
        expected.append(plain_hash + b"".join(domains[number].address(plain_hash)))
    assert found == b"".join(expected)


def test_the_sealer_addresses_alike_both_ways(bench: Any) -> None:
    plaintexts = [noise(size) for size in HASH_SIZES]
    for shared in ([False] * 10, [True] * 10, [False, True] * 5):
        answers = []
        for way in ("compiled", "twin"):
            with by(way):
                answers.append(bench.sealer().address_many(plaintexts, shared))
        assert answers[0] == answers[1]
    assert bench.sealer().address_many([], []) == ([], [])


@given(key=st.binary(min_size=32, max_size=32), names=st.lists(st.binary(max_size=300), max_size=40))
def test_name_keys_are_those_of_each_name(key: bytes, names: list[bytes]) -> None:
    found = struct.unpack(f"<{len(names)}Q", SEALING.name_keys(key, names))
    assert list(found) == [name_key(key, name) for name in names]


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("trees", [True, False])
@pytest.mark.parametrize(("sealed_by", "opened_by"), [("compiled", "twin"), ("twin", "compiled")])
def test_what_one_way_seals_the_other_opens(
    bench: Any, sealed_by: str, opened_by: str, trees: bool, verify: bool
) -> None:
    sealer = bench.sealer(verify=verify)
    hashes, blobs = blobs_of(sealer, contents(), trees=trees)
    with by(sealed_by):
        sealed = sealer.seal_many(blobs)
    with by(opened_by):
        opened = open_blobs(stored_of(blobs, sealed), sealer.domain(shared=False), hashes)
    assert [None if item is None else bytes(item) for item in opened] == contents()
    for blob, (entry, stored) in zip(blobs, sealed, strict=True):
        assert (entry.blob_id, entry.epoch, entry.raw_size) == (blob.blob_id, 1, len(blob.plaintext))
        assert (entry.kind, entry.stored_size) == (BlobKind.TREE if trees else BlobKind.DATA, len(stored))
        assert entry.stored_hash == stored_hash(stored)
        assert sealer.is_vouched(entry)
        if trees:
            found = unseal_child_list(
                bench.maintenance.child_list, RepositoryId(b"r" * 16), blob.blob_id, bytes(stored[: entry.child_size])
            )
            assert b"".join(found) == child_prefixes(blob.children or ())


@pytest.mark.parametrize("trees", [True, False])
@pytest.mark.parametrize("level", [-5, 1, 3, 19])
def test_what_both_ways_store_is_equal_under_equal_nonces(
    bench: Any, monkeypatch: pytest.MonkeyPatch, trees: bool, level: int
) -> None:
    """Stored bytes too where nothing is compressed: two versions of zstd need not give the same bytes."""
    monkeypatch.setattr(sealer, "random_bytes", lambda count: random.Random(7).randbytes(count))
    plaintexts = contents() if level < 19 else contents()[:6]
    blobs = blobs_of(bench.sealer(), plaintexts, trees=trees)[1]
    answers = []
    for way in ("compiled", "twin"):
        with by(way):
            answers.append(bench.sealer(level=level).seal_many(blobs))
    codecs = set()
    for (ours, stored), (theirs, stored_by_twin) in zip(*answers, strict=True):
        codecs.add(ours.codec)
        assert ours.codec == theirs.codec
        assert stored[: ours.child_size] == stored_by_twin[: theirs.child_size]
        if ours.codec == RAW:
            assert bytes(stored) == bytes(stored_by_twin)
            assert ours._replace(offset=0) == theirs
    assert codecs == {RAW, ZSTD}


def test_the_sealed_lie_back_to_back_with_their_own_facts(bench: Any, keys_of: Any) -> None:
    blobs = blobs_of(bench.sealer(), contents(), trees=True)[1]
    sealed = bench.sealer().seal_many(blobs)
    ends = [entry.offset + entry.stored_size for entry, _ in sealed]
    assert [entry.offset for entry, _ in sealed] == [0, *ends[:-1]]
    assert len({stored[:12].tobytes() for _, stored in sealed}) == len(sealed)
    for entry, _ in sealed:
        expected = voucher(keys_of().voucher, entry.blob_id, entry.stored_hash, entry.vouched_facts)
        assert entry.voucher == expected


@pytest.mark.parametrize("way", ["compiled", "twin"])
def test_no_blobs_give_none(bench: Any, way: str) -> None:
    with by(way):
        assert bench.sealer().seal_many([]) == []
        assert open_blobs([], bench.sealer().domain(shared=False), []) == []


def changing_while_sealed(data: bytearray, *, verify: bool) -> int:
    """The position that `seal_blobs` names as failed for data that another thread writes to all the while."""
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            number += 1
            struct.pack_into("<Q", data, OUT_OF_THE_WAY, number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        stored, entries, failed = SEALING.seal_blobs(
            [b"first", data], None, bytes(128), bytes(48), bytes(KEYS_BYTES), 1, 3, verify
        )
    finally:
        done.set()
        writer.join()
    assert len(entries) == 2 * ENTRY_BYTES
    assert len(stored) >= len(data)
    return int(failed)


def test_what_does_not_come_back_is_named() -> None:
    data = bytearray(noise(16 << 20))
    assert changing_while_sealed(data, verify=False) == -1
    for _ in range(50):  # until the writer gets a turn between sealing and comparing
        failed = changing_while_sealed(data, verify=True)
        if failed >= 0:
            break
    assert failed == 1


def test_what_does_not_come_back_is_an_error(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = blobs_of(bench.sealer(), [b"one", b"two" * 100], trees=False)[1]

    class Broken:
        def seal_blobs(self, *arguments: Any) -> tuple[bytes, bytes, int]:
            stored, entries, _ = SEALING.seal_blobs(*arguments)
            return stored, entries, 0

    monkeypatch.setattr(native, "SEALING", Broken())
    with pytest.raises(DamagedObjectError) as caught:
        bench.sealer().seal_many(blobs)
    assert caught.value.code == "verification_failed"


def test_where_the_cipher_refuses_the_twin_seals(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sealer = bench.sealer()
    hashes, blobs = blobs_of(sealer, contents(), trees=False)

    class Refusing:
        def seal_blobs(self, *arguments: Any) -> tuple[bytes, bytes, int]:
            raise RuntimeError("refused")

    with monkeypatch.context() as patch:
        patch.setattr(native, "SEALING", Refusing())
        stored = stored_of(blobs, sealer.seal_many(blobs))
    opened = open_blobs(stored, sealer.domain(shared=False), hashes)
    assert [bytes(item or b"") for item in opened] == contents()


def test_without_memory_for_all_they_are_opened_one_by_one(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sealer = bench.sealer()
    hashes, blobs = blobs_of(sealer, contents(), trees=False)
    stored = stored_of(blobs, sealer.seal_many(blobs))

    class Narrow:
        def open_blobs(self, *arguments: Any) -> tuple[bytes, bytes]:
            raise MemoryError

    monkeypatch.setattr(native, "SEALING", Narrow())
    opened = open_blobs(stored, sealer.domain(shared=False), hashes)
    assert [bytes(item or b"") for item in opened] == contents()


def test_the_twin_too_finds_what_does_not_come_back(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = blobs_of(bench.sealer(), [b"one", b"two"], trees=False)[1]
    monkeypatch.setattr(sealer, "compress_many", lambda pieces, *, level: [(RAW, b"one"), (RAW, b"twe")])
    with by("twin"):
        assert len(bench.sealer(verify=False).seal_many(blobs)) == 2
        with pytest.raises(DamagedObjectError) as caught:
            bench.sealer().seal_many(blobs)
    assert caught.value.code == "verification_failed"


@pytest.mark.parametrize("way", ["compiled", "twin"])
def test_another_hash_or_no_blob_gives_none_and_spoils_no_other(bench: Any, way: str) -> None:
    sealer = bench.sealer()
    hashes, blobs = blobs_of(sealer, contents(), trees=False)
    stored = stored_of(blobs, sealer.seal_many(blobs))
    wrong = {1, 4, 6, len(hashes) - 1}
    mixed = [PlainHash(bytes(32)) if at in wrong else plain_hash for at, plain_hash in enumerate(hashes)]
    absent: list[StoredBlob | None] = [None if at in {0, 5} else blob for at, blob in enumerate(stored)]
    with by(way):
        opened = open_blobs(absent, sealer.domain(shared=False), mixed)
        assert open_blobs([None, None], sealer.domain(shared=False), hashes[:2]) == [None, None]
    assert {at for at, item in enumerate(opened) if item is None} == wrong | {0, 5}
    assert all(item is None or bytes(item) == plain for item, plain in zip(opened, contents(), strict=True))


@settings(max_examples=30)
@given(st.lists(st.tuples(st.binary(max_size=80), st.integers(0, 3), st.integers(0, 2**16)), max_size=6))
def test_any_sealed_bytes_open_alike_both_ways(rows: list[tuple[bytes, int, int]]) -> None:
    """What authenticates may still be no frame, or one of another size."""
    domain = BlobDomain(blob_hash_key=KEY, blob_id_key=KEY)
    blobs = [
        StoredBlob(KEY, BLOB_ID, codec, raw_size, memoryview(seal_blob(KEY, BLOB_ID, codec, content)))
        for content, codec, number in rows
        for raw_size in (len(content), number)
    ]
    hashes = [domain.hash(content) for content, _, _ in rows for _ in range(2)]
    opened = open_blobs(blobs, domain, hashes)
    with by("twin"):
        assert opened == open_blobs(blobs, domain, hashes)


def test_four_threads_at_once_get_what_is_theirs(bench: Any) -> None:
    sealer = bench.sealer()
    domain = sealer.domain(shared=False)

    def work(number: int) -> int:
        generator = random.Random(number)
        for _ in range(12):
            sizes = [generator.choice((0, 10, 1000, 70_000)) for _ in range(20)]
            plaintexts = [generator.randbytes(size // 2) + bytes(size) for size in sizes]
            hashes, blobs = blobs_of(sealer, plaintexts, trees=number % 2 == 1)
            opened = open_blobs(stored_of(blobs, sealer.seal_many(blobs)), domain, hashes)
            assert [None if item is None else bytes(item) for item in opened] == plaintexts
        return number

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(8))) == list(range(8))


SEAL = ([b"abc"], None, bytes(64), bytes(24), bytes(KEYS_BYTES), 1, 3, True)
OPEN = ([bytes(31)], bytes(64), b"\0", struct.pack("<I", 3), bytes(32), bytes(32))
HASH = ([b"abc"], bytes(64), b"\0")
NAMES = (bytes(32), [b"abc"])


@pytest.mark.parametrize(
    ("function", "good", "at", "bad"),
    [
        *[("seal_blobs", SEAL, 0, bad) for bad in (None, 5, b"abc", ["abc"], [None], [3], [], [b"a", b"b"])],
        *[("seal_blobs", SEAL, 0, [memoryview(b"abcdef")[::2]])],
        *[("seal_blobs", SEAL, 1, bad) for bad in (5, [], [None], ["abc"], [b"a", b"b"])],
        *[("seal_blobs", SEAL, at, bytes(size)) for at, right in ((2, 64), (3, 24)) for size in (0, right - 1, 99)],
        *[("seal_blobs", SEAL, 4, bad) for bad in (b"", bytes(KEYS_BYTES - 1), bytearray(KEYS_BYTES), "a" * 80)],
        *[("seal_blobs", SEAL, 5, bad) for bad in (-1, 2**16, 2**32 + 1, 2**70, 1.5, None)],
        *[("seal_blobs", SEAL, 6, bad) for bad in (2**31, 1.5, None)],
        *[("open_blobs", OPEN, 0, bad) for bad in (None, 5, b"abc", ["abc"], [3], [], [b"a", None])],
        *[("open_blobs", OPEN, at, bytes(99)) for at in range(1, 6)],
        *[("open_blobs", OPEN, at, b"") for at in range(1, 6)],
        *[("open_blobs", OPEN, at, None) for at in range(1, 6)],
        *[("hash_blobs", HASH, 0, bad) for bad in (None, 5, b"abc", ["abc"], [None], [3], [], [b"a", b"b"])],
        *[("hash_blobs", HASH, 1, bad) for bad in (b"", bytes(63), None)],
        *[("hash_blobs", HASH, 2, bad) for bad in (b"", b"\1", b"\xff", b"\0\0", None)],
        *[("name_keys", NAMES, 0, bad) for bad in (b"", bytes(31), bytes(33), None)],
        *[("name_keys", NAMES, 1, bad) for bad in (None, 5, b"abc", "abc", [None], ["abc"], [3])],
    ],
)
def test_arguments_that_do_not_fit_are_errors(function: str, good: tuple[Any, ...], at: int, bad: Any) -> None:
    call = getattr(SEALING, function)
    assert call(*good) is not None
    with pytest.raises((TypeError, ValueError, OverflowError, BufferError)):
        call(*good[:at], bad, *good[at + 1 :])
    with pytest.raises(TypeError):
        call(*good[:-1])


def test_a_failing_iterator_of_blobs_is_the_callers_error() -> None:
    def failing() -> Iterator[bytes]:
        yield b"abc"
        raise KeyError("no more")

    calls: list[Callable[[], object]] = [
        lambda: SEALING.seal_blobs(failing(), *SEAL[1:]),
        lambda: SEALING.seal_blobs(SEAL[0], failing(), *SEAL[2:]),
        lambda: SEALING.open_blobs(failing(), *OPEN[1:]),
        lambda: SEALING.hash_blobs(failing(), *HASH[1:]),
        lambda: SEALING.name_keys(NAMES[0], failing()),
    ]
    for call in calls:
        with pytest.raises(KeyError):
            call()


def test_buffers_are_let_go_after_use_and_after_errors() -> None:
    data = bytearray(100)
    SEALING.seal_blobs([data], None, *SEAL[2:])
    with pytest.raises(ValueError, match="addresses"):
        SEALING.seal_blobs([data], None, b"", *SEAL[3:])
    with pytest.raises(TypeError):
        SEALING.hash_blobs([data, None], bytes(64), b"\0\0")
    SEALING.open_blobs([data], *OPEN[1:])
    data.extend(b"a buffer that is held cannot grow")
    assert len(data) > 100
