"""The key tree, blob addresses, child lists and vouchers."""

from __future__ import annotations

import pytest
from blake3 import blake3

from snapstore.crypto import blob
from snapstore.crypto.derivation import derive, digest, keyed
from snapstore.crypto.keys import DossierKeys, EpochKeys, MaintenanceKeys
from snapstore.errors import DamagedObjectError
from snapstore.types import BlobId, RepositoryId

EPOCH = EpochKeys(epoch=3, maintenance=b"m" * 32, content=b"c" * 32, chunker=b"g" * 32, dossier=b"d" * 32)
REPOSITORY = RepositoryId(b"r" * 16)


def test_derive_is_blake3_key_derivation_with_the_formats_context() -> None:
    expected = blake3(b"k" * 32, derive_key_context="snapstore 2026-11 v1 some purpose").digest()
    assert derive(b"k" * 32, "some purpose") == expected


def test_keyed_output_is_extendable() -> None:
    assert keyed(b"k" * 32, b"data", 64)[:32] == keyed(b"k" * 32, b"data")
    assert keyed(b"k" * 32, b"data") != digest(b"data")


def test_every_subkey_is_different() -> None:
    maintenance, keys = MaintenanceKeys(3, EPOCH.maintenance), DossierKeys.of(EPOCH)
    shared = keys.shared
    assert shared is not None
    subkeys = [
        maintenance.pack_header,
        maintenance.index,
        maintenance.condemn,
        maintenance.session,
        maintenance.child_list,
        maintenance.manifest,
        maintenance.record,
        maintenance.keyset,
        maintenance.config,
        keys.own.blob_hash_key,
        keys.own.blob_id_key,
        shared.blob_hash_key,
        shared.blob_id_key,
        keys.voucher,
        keys.text,
    ]
    assert len(set(subkeys)) == 15
    assert keys.maintenance_keys.index == maintenance.index


def test_without_a_content_key_there_is_no_shared_domain() -> None:
    keys = DossierKeys(epoch=1, maintenance=b"m" * 32, content=None, chunker=b"g" * 32, dossier=b"d" * 32)
    assert keys.shared is None


def test_no_repr_shows_a_key() -> None:
    keys = DossierKeys.of(EPOCH)
    shown = repr([EPOCH, keys, keys.own, keys.maintenance_keys])
    for key in (EPOCH.maintenance, EPOCH.dossier, EPOCH.chunker, keys.own.blob_hash_key):
        assert key.hex() not in shown
        assert repr(key)[2:-1] not in shown


def test_a_blob_is_addressed_as_the_format_says() -> None:
    domain = DossierKeys.of(EPOCH).own
    h = domain.hash(b"plaintext")
    blob_id, content_key = domain.address(h)
    k1, k2 = derive(EPOCH.dossier, "dossier blob hash"), derive(EPOCH.dossier, "dossier blob id")
    assert h == blake3(b"plaintext", key=k1).digest()
    assert blob_id + content_key == blake3(h, key=k2).digest(length=64)


def test_a_sealed_blob_is_bound_to_id_and_codec() -> None:
    domain = DossierKeys.of(EPOCH).own
    blob_id, key = domain.address(domain.hash(b"plaintext"))
    sealed = blob.seal_blob(key, blob_id, 1, b"compressed")
    assert blob.unseal_blob(key, blob_id, 1, sealed) == b"compressed"
    for other_id, tag in ((blob_id, 0), (BlobId(bytes(32)), 1)):
        with pytest.raises(DamagedObjectError):
            blob.unseal_blob(key, other_id, tag, sealed)


def test_child_lists_are_sorted_sets_of_prefixes() -> None:
    key, blob_id = b"k" * 32, BlobId(b"i" * 32)
    ids = [BlobId(bytes((number,)) * 32) for number in (9, 1, 9, 4)]
    sealed = blob.seal_child_list(key, REPOSITORY, blob_id, ids)
    assert len(sealed) == blob.child_list_bytes(3)
    found = blob.unseal_child_list(key, REPOSITORY, blob_id, sealed)
    assert found == (b"\x01" * 16, b"\x04" * 16, b"\x09" * 16)
    empty = blob.seal_child_list(key, REPOSITORY, blob_id, [])
    assert blob.unseal_child_list(key, REPOSITORY, blob_id, empty) == ()
    with pytest.raises(DamagedObjectError):
        blob.unseal_child_list(key, REPOSITORY, BlobId(bytes(32)), sealed)


@pytest.mark.parametrize("joined", [bytes(15), b"\x02" * 16 + b"\x01" * 16, b"\x01" * 32])
def test_child_lists_in_another_form_are_refused(joined: bytes) -> None:
    key, blob_id = b"k" * 32, BlobId(b"i" * 32)
    sealed = blob.seal(keyed(key, blob_id), joined, REPOSITORY + blob_id + b"child list")
    with pytest.raises(DamagedObjectError):
        blob.unseal_child_list(key, REPOSITORY, blob_id, sealed)


def test_a_voucher_is_of_one_key_one_blob_and_one_copy() -> None:
    stored = blob.stored_hash(b"stored bytes")
    vouchers = {
        blob.voucher(key, BlobId(blob_id), copy, facts)
        for key in (b"k" * 32, b"l" * 32)
        for blob_id in (b"i" * 32, b"j" * 32)
        for copy in (stored, blob.stored_hash(b"others"))
        for facts in (bytes(12), bytes(11) + b"1")
    }
    assert len(vouchers) == 16
    assert {len(item) for item in vouchers} == {16}
