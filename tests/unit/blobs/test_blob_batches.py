"""Loading many blobs at once: the same bytes as one by one, and one that is damaged or missing spoils no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import zstandard

from snapstore.blobs import native, unsealing
from snapstore.blobs.unsealing import StoredBlob, open_blobs
from snapstore.crypto.blob import seal_blob
from snapstore.crypto.keys import BlobDomain
from snapstore.errors import DamagedObjectError, MissingObjectError, StoreUnavailableError
from snapstore.format.tree import DirectoryLeaf, encode_node
from snapstore.stores.memory import MemoryStore
from snapstore.types import BlobId, PlainHash

KEY, BLOB_ID = b"k" * 32, BlobId(b"i" * 32)
DOMAIN = BlobDomain(blob_hash_key=b"h" * 32, blob_id_key=KEY)


def contents(make_noise: Any) -> list[bytes]:
    return [b"text that repeats " * count for count in (1, 50, 3000)] + [make_noise(size, size) for size in (1, 40_000)]


@pytest.mark.usefixtures("open_those")
def test_many_are_what_each_is_alone(bench: Any, make_noise: Any) -> None:
    own = bench.save(*contents(make_noise))
    shared = bench.save(b"shared content" * 100, shared=True)
    reader = bench.reader()
    wanted = [*own, own[0], *reversed(own)]
    assert [bytes(item) for item in reader.load_many(wanted)] == [reader.load(item) for item in wanted]
    assert [bytes(item) for item in reader.load_many(shared, shared=True)] == [b"shared content" * 100]
    assert reader.load_many([]) == []


def test_missing_and_damaged_ones_are_errors_in_their_places(bench: Any, make_noise: Any) -> None:
    hurt = bench.save(b"hurt" * 1000)
    [pack] = bench.packs()
    index = bench.loaded().index
    data = bench.store.get(pack)
    bench.store.delete(pack)
    bench.store.put(pack, bytes(byte ^ 1 for byte in data[:100]) + data[100:])
    good = bench.save(*contents(make_noise))
    index = bench.loaded().index
    absent = PlainHash(bytes(32))
    reader = bench.reader(index)
    loaded = reader.load_many([good[0], absent, good[1], *hurt, good[2], absent])
    assert [bytes(loaded[at]) for at in (0, 2, 4)] == contents(make_noise)[:3]
    assert isinstance(loaded[1], MissingObjectError)
    assert isinstance(loaded[5], MissingObjectError)
    assert isinstance(loaded[3], DamagedObjectError)
    assert loaded[3].code == "damaged_blob"


def test_nodes_that_do_not_decode_are_errors_in_their_places(bench: Any) -> None:
    whole = encode_node(DirectoryLeaf(()))
    first, second = bench.save(whole, b"no node")
    node, error = bench.reader().load_nodes([first, second])
    assert node == DirectoryLeaf(())
    assert isinstance(error, DamagedObjectError)


def test_a_store_that_fails_is_no_damage(bench: Any, make_noise: Any) -> None:
    hashes = bench.save(*contents(make_noise))
    index = bench.loaded().index

    class Gone(MemoryStore):
        def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
            raise StoreUnavailableError("pulled out")

    bench.store = Gone()
    with pytest.raises(StoreUnavailableError):
        bench.reader(index).load_many(hashes)


def sealed(compressed: bytes, *, codec: int = 1, raw_size: int = 100, key: bytes = KEY) -> StoredBlob:
    return StoredBlob(KEY, BLOB_ID, codec, raw_size, memoryview(seal_blob(key, BLOB_ID, codec, compressed)))


@pytest.fixture(params=["compiled", "batches", "one by one"])
def open_those(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Opens blobs in each way that there is; takes what their plaintexts are."""
    if request.param == "compiled":
        if native.SEALING is None:
            pytest.skip("the compiled module is not there")
    else:
        monkeypatch.setattr(native, "SEALING", None)
        monkeypatch.setattr(unsealing, "_HAS_BATCHES", request.param == "batches")

    def open_them(blobs: Sequence[StoredBlob | None], plains: Sequence[bytes]) -> list[bytes | None]:
        opened = open_blobs(blobs, DOMAIN, [DOMAIN.hash(plain) for plain in plains])
        return [None if plaintext is None else bytes(plaintext) for plaintext in opened]

    return open_them


def test_what_does_not_open_is_none_and_spoils_no_other(open_those: Any) -> None:
    plain = b"x" * 100
    frame = zstandard.ZstdCompressor().compress(plain)
    old = b"\x27\xb5\x2f\xfd\x20" + bytes((100, 0x40, 0, 100)) + plain + b"\xc0\0\0"  # of zstd 0.7
    skippable = b"\x50\x2a\x4d\x18" + (100).to_bytes(4, "little") + plain
    bad = [
        None,
        sealed(frame, key=b"other" + KEY[5:]),
        sealed(frame, raw_size=99),
        sealed(frame, raw_size=101),
        sealed(frame[:-1]),
        sealed(frame[:-1] + bytes((frame[-1] ^ 255,))),
        sealed(b"no frame"),
        sealed(b""),
        sealed(plain, codec=0, raw_size=99),
        sealed(plain, codec=7),
        sealed(zstandard.ZstdCompressor(write_checksum=True).compress(plain)),
        sealed(zstandard.ZstdCompressor(write_content_size=False).compress(plain)),
        StoredBlob(KEY, BLOB_ID, 1, 100, memoryview(b"short")),
        sealed(skippable),
        sealed(old),
        sealed(frame + b"\0"),
        sealed(frame + frame),
        sealed(frame + skippable),
    ]
    good = [sealed(frame), sealed(plain, codec=0)]
    opened = open_those([good[0], *bad, good[1]], [plain] * (len(bad) + 2))
    assert [opened[0], opened[-1]] == [plain, plain]
    assert [at for at, item in enumerate(opened[1:-1]) if item is not None] == []


def test_another_size_is_none_even_where_the_hash_is_that_of_the_content(open_those: Any) -> None:
    for codec, content in ((1, zstandard.ZstdCompressor().compress(b"x" * 100)), (0, b"x" * 100)):
        for raw_size in (0, 1, 99, 101, 1 << 20):
            blobs = [sealed(content, codec=codec, raw_size=raw_size), sealed(content, codec=codec)]
            assert open_those(blobs, [b"x" * 100] * 2) == [None, b"x" * 100]


def test_frames_of_every_kind_of_block_open(make_noise: Any, open_those: Any) -> None:
    noise = make_noise(1, 300_000)
    plains = [b"x", bytes(1_000_000), noise, noise + bytes(400_000) + b"text that repeats " * 20_000, noise[:131_072]]
    frames = [zstandard.ZstdCompressor(level=level).compress(plain) for plain in plains for level in (-5, 3, 9)]
    raw_sizes = [len(plain) for plain in plains for _ in range(3)]
    expected = [plain for plain in plains for _ in range(3)]
    blobs = [sealed(frame, raw_size=size) for frame, size in zip(frames, raw_sizes, strict=True)]
    assert open_those(blobs, expected) == expected
