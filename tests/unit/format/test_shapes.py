"""Envelopes, sealed and signed objects, names and padding."""

from __future__ import annotations

import pytest

from snapstore.crypto.derivation import digest
from snapstore.crypto.signing import SigningKey
from snapstore.errors import DamagedObjectError, InputError, UnsupportedFormatError
from snapstore.format import names
from snapstore.format.envelope import Cipher, Envelope, Kind
from snapstore.format.packing import encode
from snapstore.format.sealed import SEALED_OVERHEAD_BYTES, seal_object, unseal_object
from snapstore.format.signed import decode_signed, encode_signed
from snapstore.types import DossierId, RepositoryId

KEY = b"k" * 32


def test_an_envelope_has_the_bytes_of_the_format() -> None:
    envelope = Envelope.of(Kind.MANIFEST, 0x0102)
    assert envelope.encode() == b"\x8a\x53\x06\x01\x02\x00\x02\x01"
    assert Envelope.decode(envelope.encode() + b"more") == envelope
    assert envelope.cipher is Cipher.AES_GCM_AND_HPKE


@pytest.mark.parametrize("data", [b"", b"\x8a\x53\x06\x01\x02\x00\x02", b"\x8a\x54\x06\x01\x02\x00\x02\x01"])
def test_what_is_no_envelope_is_damage(data: bytes) -> None:
    with pytest.raises(DamagedObjectError):
        Envelope.decode(data)


@pytest.mark.parametrize(("at", "value"), [(2, 0), (2, 10), (2, 200), (3, 0), (3, 2), (4, 3)])
def test_an_unknown_kind_version_or_cipher_is_a_newer_one(at: int, value: int) -> None:
    data = bytearray(Envelope.of(Kind.INDEX, 1).encode())
    data[at] = value
    with pytest.raises(UnsupportedFormatError):
        Envelope.decode(data)


def test_a_sealed_object_opens_only_as_what_and_where_it_is(repository_id: RepositoryId) -> None:
    data = seal_object(Kind.INDEX, KEY, repository_id, 1, b"plaintext")
    assert len(data) == 9 + SEALED_OVERHEAD_BYTES
    assert unseal_object(Kind.INDEX, KEY, repository_id, data) == b"plaintext"
    with pytest.raises(DamagedObjectError):
        unseal_object(Kind.CONDEMN, KEY, repository_id, data)
    with pytest.raises(DamagedObjectError):
        unseal_object(Kind.INDEX, KEY, RepositoryId(bytes(16)), data)
    for at in range(2, len(data), 7):
        altered = data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
        with pytest.raises((DamagedObjectError, UnsupportedFormatError)):
            unseal_object(Kind.INDEX, KEY, repository_id, altered)


def test_a_signed_object_is_signed_with_its_envelope(station: SigningKey) -> None:
    data = encode_signed(Envelope.of(Kind.RECORD, 1), b"body", station)
    signed = decode_signed(Kind.RECORD, data)
    assert signed.body == b"body"
    assert signed.verify(station.public_bytes)
    assert not signed.verify(SigningKey.generate().public_bytes)
    other_epoch = data[:6] + b"\x02" + data[7:]
    assert not decode_signed(Kind.RECORD, other_epoch).verify(station.public_bytes)
    for broken in (data[:-1], data + b"x", data[:20], b""):
        with pytest.raises(DamagedObjectError):
            decode_signed(Kind.RECORD, broken)


def test_what_msgpack_cannot_hold_is_the_callers_mistake() -> None:
    for value in ("\ud800", 1 << 70, object()):
        with pytest.raises(InputError):
            encode(value)


def test_names_show_damage_and_are_never_used_twice() -> None:
    data_digest = digest(b"bytes")
    name = names.new_name(data_digest)
    assert len(name) == 32
    assert names.valid_name(name)
    assert names.valid_element(name)
    assert names.name_matches(name, data_digest)
    assert not names.name_matches(name, digest(b"other"))
    assert not names.name_matches(name[:31], data_digest)
    assert name != names.new_name(data_digest)
    assert names.new_name(data_digest, suffix="000000").endswith("000000")


@pytest.mark.parametrize("data", [b"", b"\0", b"snap", bytes(16), b"\xff" * 32])
def test_base32hex_comes_back(data: bytes) -> None:
    text = names.b32(data)
    assert names.unb32(text) == data
    assert set(text) <= set("0123456789abcdefghijklmnopqrstuv")


@pytest.mark.parametrize("text", ["w", "0", "01=", "AA", "0v", "ä0", "000"])
def test_what_is_no_base32hex_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        names.unb32(text)


def test_base32hex_is_the_one_of_rfc_4648() -> None:
    assert names.b32(b"foobar") == "cpnmuoj1e8"


def test_paths_are_those_of_the_layout() -> None:
    assert names.pack_path("v" + "0" * 31) == "packs/f/v" + "0" * 31
    assert names.pack_path("1" + "0" * 31).startswith("packs/0/")
    assert names.object_path("index", "abc") == "index/abc"
    assert names.dossier_path("ok", DossierId(bytes(16)), "abc") == f"ok/{'0' * 26}/abc"


@pytest.mark.parametrize("text", ["", "A", "a/b", "a.b", "a" * 33, "ä", ".."])
def test_elements_that_some_store_would_refuse(text: str) -> None:
    assert not names.valid_element(text)


def test_padme_is_small_and_monotonic() -> None:
    assert [names.padme(size) for size in (0, 1, 2, 9, 100, 1000, 1_000_000)] == [0, 1, 2, 10, 104, 1024, 1_015_808]
    sizes = [names.padme(size) for size in range(1, 50_000)]
    assert sizes == sorted(sizes)
    assert all(size <= padded <= size * 1.12 + 1 for size, padded in enumerate(sizes, 1))
