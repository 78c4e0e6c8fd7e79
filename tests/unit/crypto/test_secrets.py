"""Secrets, recovery codes, the KDF and slot keys."""

from __future__ import annotations

import dataclasses

import pytest

from snapstore.crypto.entropy import random_bytes
from snapstore.crypto.kdf import KdfParameters, derive_master
from snapstore.crypto.secrets import (
    group_recovery_code,
    new_recovery_code,
    normalise_recovery_code,
    normalise_secret,
    secret_from_bytes,
)
from snapstore.crypto.slots import open_master, slot_keys
from snapstore.errors import InputError, SecretTooShortError
from snapstore.types import RepositoryId


def test_composed_and_decomposed_letters_are_one_secret() -> None:
    assert normalise_secret("Schlu\u0308ssel") == normalise_secret("Schl\u00fcssel") == "Schlüssel".encode()
    assert normalise_secret("\uff41bcdefgh") == b"abcdefgh"


def test_length_counts_code_points_after_normalisation() -> None:
    assert len(normalise_secret("äöüäöüäö")) == 16
    with pytest.raises(SecretTooShortError):
        normalise_secret("short12")
    with pytest.raises(SecretTooShortError):
        normalise_secret("u\u0308" * 7)


def test_what_is_no_text_or_far_too_long_is_refused_without_showing_it() -> None:
    with pytest.raises(InputError) as caught:
        normalise_secret("password\ud800")
    assert "password" not in str(caught.value)
    with pytest.raises(InputError):
        normalise_secret("x" * 5000)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b"secret\n\n", "secret\n"),
        (b"secret\r", "secret\r"),
        (b" secret ", " secret "),
        (b"\xef\xbb\xbfsecret\n", "secret"),
        (b"", ""),
    ],
)
def test_secret_files_lose_a_byte_order_mark_and_one_newline(data: bytes, text: str) -> None:
    assert secret_from_bytes(data) == text


def test_a_secret_file_that_is_not_utf8_leaks_nothing() -> None:
    with pytest.raises(InputError) as caught:
        secret_from_bytes(b"secret\xff")
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    assert "secret\\" not in repr(error)


def test_recovery_codes_survive_being_typed() -> None:
    code = new_recovery_code()
    assert len(code) == 39
    assert code != new_recovery_code()
    plain = normalise_recovery_code(code)
    assert normalise_recovery_code(f"  {code.upper().replace('-', ' ')}\n") == plain
    assert normalise_recovery_code(code.replace("-", "")) == plain


def test_recovery_codes_are_base32hex() -> None:
    assert group_recovery_code(bytes(20)) == "-".join(["0000"] * 8)
    assert group_recovery_code(b"\xff" * 20) == "-".join(["vvvv"] * 8)


@pytest.mark.parametrize("text", ["", "0000-0000", "w" * 32, "0" * 33, "ä" * 32])
def test_what_is_no_recovery_code_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        normalise_recovery_code(text)
    assert caught.value.code == "invalid_recovery_code"


@pytest.mark.parametrize(
    "change",
    [
        {"generation": 0},
        {"salt": bytes(15)},
        {"memory_kib": 64 * 1024 - 1},
        {"memory_kib": 256 * 1024 + 1},
        {"iterations": 2},
        {"iterations": 17},
        {"lanes": 0},
        {"lanes": 17},
    ],
)
def test_kdf_parameters_out_of_range_are_refused(change: dict[str, int | bytes]) -> None:
    good = KdfParameters(generation=1, salt=bytes(16))
    with pytest.raises(InputError) as caught:
        dataclasses.replace(good, **change)  # type: ignore[arg-type]
    assert caught.value.code == "kdf_out_of_range"


def test_the_master_value_depends_on_secret_and_salt() -> None:
    first = KdfParameters(generation=1, salt=bytes(16))
    master = derive_master(b"password", first)
    assert master == derive_master(b"password", first)
    assert len({master, derive_master(b"passwore", first)}) == 2


def test_slot_keys_and_commitments_are_of_one_slot() -> None:
    wrap_key, commitment = slot_keys(b"m" * 32, b"s" * 16)
    assert len(wrap_key) == len(commitment) == 32
    assert wrap_key != commitment
    assert slot_keys(b"m" * 32, b"t" * 16)[0] != wrap_key
    assert slot_keys(b"n" * 32, b"s" * 16)[1] != commitment


def test_open_slots_are_of_one_repository() -> None:
    assert open_master(RepositoryId(bytes(16))) != open_master(RepositoryId(b"x" * 16))


def test_random_bytes_are_as_many_as_asked_for() -> None:
    assert [len(random_bytes(count)) for count in (0, 1, 32)] == [0, 1, 32]
    assert random_bytes(16) != random_bytes(16)
