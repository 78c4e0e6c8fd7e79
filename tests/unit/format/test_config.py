"""Config objects: macs, features, contradictions and limits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from snapstore.crypto.derivation import keyed
from snapstore.crypto.kdf import KdfParameters
from snapstore.errors import DamagedObjectError, InputError, TamperedError, UnsupportedFormatError
from snapstore.format.config import ChunkingParameters, Config, decode_config, encode_config, unite_configs
from snapstore.format.packing import decode, encode
from snapstore.types import MediumId, RepositoryId

MAC_KEY = b"k" * 32
KDF = KdfParameters(generation=1, salt=b"s" * 16)
CONFIG = Config(
    repository_id=RepositoryId(b"r" * 16),
    medium_id=MediumId(b"m" * 16),
    generation=1,
    created_ns=5,
    protected=True,
    sharing=False,
    kdf=(KDF,),
)


def rewritten(changes: dict[int, object]) -> bytes:
    """The config with fields changed below the encoder's own checks."""
    data = encode_config(CONFIG, MAC_KEY)
    fields = decode(data[12:-32], what="config") | changes
    body = encode(dict(sorted(fields.items())))
    return data[:8] + len(body).to_bytes(4, "little") + body + keyed(MAC_KEY, data[:8] + body)


def test_a_config_comes_back_and_its_mac_is_of_one_key() -> None:
    decoded = decode_config(encode_config(CONFIG, MAC_KEY))
    assert decoded.config == CONFIG
    assert decoded.verify(MAC_KEY)
    assert not decoded.verify(bytes(32))
    assert CONFIG.kdf_generation(1) == KDF
    assert CONFIG.kdf_generation(2) is None
    assert CONFIG.chunking == ChunkingParameters.default()


@pytest.mark.parametrize("changes", [{4: 2}, {4: 2, 63: b""}, {5: ["holograms"]}, {63: 0}, {11: 0}])
def test_what_only_a_newer_version_reads_is_unsupported(changes: dict[int, object]) -> None:
    with pytest.raises(UnsupportedFormatError):
        decode_config(rewritten(changes))


def test_unknown_write_features_and_later_keys_leave_it_readable() -> None:
    config = decode_config(rewritten({6: ["parity", "prune"], 64: [1, 2], 900: b""})).config
    assert config.unknown_write_features == ("parity", "prune")


@pytest.mark.parametrize(
    "changes",
    [
        {0: b"short"},
        {2: 0},
        {3: "now"},
        {5: ["b", "a"]},
        {5: [1]},
        {7: 1},
        {9: {}},
        {10: [[1, b"s" * 16, 1024, 3, 4]]},
        {10: [[1, b"s" * 16, 1 << 20, 3, 4]]},
        {10: [[1, b"s" * 16, 65536, 3, 4], [1, b"t" * 16, 65536, 3, 4]]},
        {10: [[1]]},
        {4: "1"},
    ],
)
def test_impossible_fields_are_damage(changes: dict[int, object]) -> None:
    with pytest.raises(DamagedObjectError):
        decode_config(rewritten(changes))


def test_several_configs_are_united() -> None:
    newer = replace(
        CONFIG,
        generation=2,
        medium_id=MediumId(b"n" * 16),
        write_features=("parity",),
        kdf=(KdfParameters(generation=2, salt=b"t" * 16, memory_kib=128 * 1024),),
    )
    united = unite_configs([CONFIG, newer])
    assert united == unite_configs([newer, CONFIG])
    assert united.medium_id == newer.medium_id
    assert united.write_features == ("parity",)
    assert [item.generation for item in united.kdf] == [1, 2]


@pytest.mark.parametrize(
    "other",
    [
        replace(CONFIG, repository_id=RepositoryId(bytes(16))),
        replace(CONFIG, protected=False),
        replace(CONFIG, sharing=True),
        replace(CONFIG, chunking=replace(CONFIG.chunking, page_chunk_bytes=32768)),
        replace(CONFIG, kdf=(replace(KDF, salt=bytes(16)),)),
    ],
)
def test_configs_that_contradict_each_other_are_tampering(other: Config) -> None:
    with pytest.raises(TamperedError):
        unite_configs([CONFIG, other])


def test_there_must_be_a_config() -> None:
    with pytest.raises(InputError):
        unite_configs([])
