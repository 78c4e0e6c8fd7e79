"""Bad sectors on real file systems: what cannot be read of a pack is healed by the sidecar beside it.

The device below the file system fails for single sectors, as sticks and disks do when they age; the file system hands
that on as it likes, for one page or for more.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from media_images import MIB, Medium, medium_image
from server import ServerMissingError

import snapstore
from snapstore.blobs.healing import heal_pack
from snapstore.errors import StoreError
from snapstore.format.names import pack_path
from snapstore.stores.local import LocalStore

SECTOR = 4096
SECRET = "amber and jet"


def places_on(medium: Medium, data: bytes, sectors: list[int]) -> list[tuple[int, int]]:
    """Where sectors of a file's content lie on the device."""
    image = medium.image.read_bytes()
    found = [image.find(data[sector * SECTOR : (sector + 1) * SECTOR]) for sector in sectors]
    assert -1 not in found
    return [(place, 512) for place in found]


@pytest.mark.parametrize("kind", ["exfat", "ntfs"])
def test_a_pack_with_bad_sectors_heals_and_is_repaired(kind: str, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for number in range(6):
        (files / f"photo {number}.jpg").write_bytes(b"\xff\xd8\xff" + random.Random(number).randbytes(MIB))
    try:
        image = medium_image(kind, tmp_path / kind, failing=True)
        medium = image.__enter__()
    except ServerMissingError as error:
        pytest.skip(str(error))
    try:
        _heal_on(medium, files, tmp_path)
    finally:
        image.__exit__(None, None, None)


def _heal_on(medium: Medium, files: Path, folder: Path) -> None:
    address, state = medium.path / "snapstore", folder / "state"
    with snapstore.init(address, state_dir=state, kdf_seconds=0) as repository:
        dossier = repository.create_dossier("shop", secret=SECRET)
        assert dossier.snapshot(files, options=snapstore.SnapshotOptions(parity=True)).clean
    pack = max((address / "packs").rglob("?" * 32), key=lambda path: path.stat().st_size)
    data, size = pack.read_bytes(), pack.stat().st_size
    medium.take_out()
    row = 4 * 16  # sectors of a row: four blocks
    scattered = [3, row + 3 + 16, 5 * row + 9, 11 * row + 40]
    medium.fail_sectors(places_on(medium, data, [*scattered, *range(7 * row, 7 * row + 30)]))
    medium.plug_in()

    store = LocalStore(address)
    with pytest.raises(StoreError):
        store.get(pack_path(pack.name))
    healed = heal_pack(store, pack.name, size)
    assert healed is not None
    assert healed.data == data

    with snapstore.open(address, state_dir=state) as repository:
        plan = repository.plan_repair()
        assert "heal_pack" in {step.code for step in plan.steps}
        report = repository.repair(plan)
        assert report.failed == ()
        target = folder / "restored"
        assert repository.dossier("shop").restore("latest", to=target, secret=SECRET).clean
    for path in files.iterdir():
        assert (target / path.name).read_bytes() == path.read_bytes()
