"""Which repository belongs at the address of a medium, the list of media, and what lies at a medium's root."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import snapstore
from snapstore.operations.media import expected, listing
from snapstore.operations.media.finder import SECOND_NAME, put_readme_at_root, readme_text
from snapstore.station.addresses import SIGHTINGS_MAX, KnownAddresses
from snapstore.stores import url as addresses
from snapstore.stores.media import Medium
from snapstore.stores.medium_store import MediumStore
from snapstore.stores.protocol import settled

SECRET = "onyx and opal"


@pytest.fixture
def sticks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Plugs folders in as media: label to folder."""
    plugged: dict[str, Path] = {}

    def connected() -> list[Medium]:
        return [Medium(path=path, label=label) for label, path in plugged.items()]

    monkeypatch.setitem(addresses.open_store.__kwdefaults__, "media", connected)

    def plug(**folders: str) -> Path:
        plugged.clear()
        for label, name in folders.items():
            plugged[label] = tmp_path / name
            plugged[label].mkdir(exist_ok=True)
        return next(iter(plugged.values()))

    return plug


def init(url: str, tmp_path: Path) -> bytes:
    with snapstore.init(url, state_dir=tmp_path / "state", kdf_seconds=0) as repository:
        return repository.id


def opened(url: str, tmp_path: Path, **options: bool) -> bytes:
    wishes = snapstore.StoreOptions(**options)
    with snapstore.open(url, state_dir=tmp_path / "state", options=wishes) as repository:
        return repository.id


def test_another_medium_under_the_same_label_is_refused(sticks: Callable[..., Path], tmp_path: Path) -> None:
    sticks(SHOP="monday")
    first = init("usb:SHOP", tmp_path)
    sticks(OTHER="stranger")
    second = init("usb:OTHER", tmp_path)
    sticks(SHOP="stranger")
    with pytest.raises(snapstore.StoreError) as caught:
        opened("usb:shop", tmp_path)
    assert caught.value.code == "other_repository"
    assert not caught.value.retryable
    message = str(caught.value)
    today = f"{datetime.now().astimezone():%Y-%m-%d}"
    for part in ("SHOP", first.hex()[:8], second.hex()[:8], today, "--accept-other"):
        assert part in message
    assert opened(f"usb:{second.hex()[:8]}", tmp_path) == second
    assert opened("usb:SHOP", tmp_path, accept_other=True) == second
    assert opened("usb:SHOP/snapstore", tmp_path) == second  # accepted for good, and the address is the same
    sticks(SHOP="monday")
    assert opened("usb:SHOP", tmp_path) == first  # which stays welcome


def test_other_media_of_the_same_repository_are_welcome(sticks: Callable[..., Path], tmp_path: Path) -> None:
    first = sticks(SHOP="monday")
    repository = init("usb:SHOP", tmp_path)
    shutil.copytree(first / "snapstore", sticks(SHOP="tuesday") / "snapstore")
    assert opened("usb:SHOP", tmp_path) == repository


def test_a_new_station_and_a_new_repository_ask_nothing(sticks: Callable[..., Path], tmp_path: Path) -> None:
    sticks(SHOP="monday")
    init("usb:SHOP", tmp_path)
    sticks(SHOP="tuesday")
    second = init("usb:SHOP", tmp_path)  # whoever makes one there means it
    assert opened("usb:SHOP", tmp_path) == second
    with snapstore.open("usb:SHOP", state_dir=tmp_path / "new station") as repository:
        assert repository.id == second


def test_a_path_on_a_medium_is_remembered_and_one_on_a_disk_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = init(str(tmp_path / "E"), tmp_path)
    second = init(str(tmp_path / "F"), tmp_path)
    assert first != second

    def swap() -> None:
        (tmp_path / "E").rename(tmp_path / "G")
        (tmp_path / "F").rename(tmp_path / "E")
        (tmp_path / "G").rename(tmp_path / "F")

    swap()
    assert opened(str(tmp_path / "E"), tmp_path) == second
    monkeypatch.setattr(expected, "medium_at", lambda path: Medium(path=tmp_path, label="STICK"))
    assert opened(str(tmp_path / "E"), tmp_path) == second
    swap()
    with pytest.raises(snapstore.StoreError, match="STICK") as caught:
        opened(str(tmp_path / "E"), tmp_path)
    assert caught.value.code == "other_repository"


def test_what_is_remembered_is_bounded_and_survives_damage(tmp_path: Path) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    hours = iter(range(10_000))
    known = KnownAddresses(tmp_path / "addresses", now=lambda: start + timedelta(hours=next(hours)))
    assert known.at("usb:a/snapstore") == []
    assert known.last_seen("01") is None
    for number in (1, 2, 1):
        known.remember("usb:a/snapstore", repository=f"{number:02}", medium=f"{number:02}", label="A")
    assert [(item.repository, item.time) for item in known.at("usb:a/snapstore")] == [
        ("01", start + timedelta(hours=2)),
        ("02", start + timedelta(hours=1)),
    ]
    assert known.last_seen("02") == start + timedelta(hours=1)
    if sys.platform != "win32":
        assert (tmp_path / "addresses").stat().st_mode & 0o077 == 0
    many = json.dumps(
        [
            {"address": f"{n}", "repository": "", "medium": "", "label": "", "seen": start.isoformat()}
            for n in range(SIGHTINGS_MAX + 5)
        ]
    )
    (tmp_path / "addresses").write_bytes(b"\x00" + many.encode())
    known.remember("usb:b/snapstore", repository="03", medium="03", label="B")
    assert len(known.at("usb:b/snapstore")) == 1
    assert known.at("0") == []
    for damage in (b"", b"\x00{", b"\x00[1]", b'\x00[{"address": 1}]', b"\x07"):
        (tmp_path / "addresses").write_bytes(damage)
        assert known.at("usb:b/snapstore") == []


def test_two_processes_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from snapstore.station.addresses import KnownAddresses\n"
        "known = KnownAddresses(Path(sys.argv[1]))\n"
        "for n in range(20): known.remember(f'{sys.argv[2]}{n}', repository='r', medium='m', label='')"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "addresses"), name]) for name in ("one", "two")
    ]
    assert [process.wait(60) for process in running] == [0, 0]
    known = KnownAddresses(tmp_path / "addresses")
    assert all(known.at(f"{name}{n}") for name in ("one", "two") for n in range(20))


def test_media_are_listed_with_the_repository_on_each(
    sticks: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sticks(SHOP="monday", EMPTY="tuesday", BROKEN="wednesday")
    repository = init("usb:SHOP", tmp_path)
    (tmp_path / "wednesday" / "snapstore" / "config").mkdir(parents=True)
    (tmp_path / "wednesday" / "snapstore" / "config" / "0123").write_text("no config")
    found = listing.list_media(
        KnownAddresses(tmp_path / "state" / "addresses"),
        lambda: [
            Medium(path=tmp_path / "tuesday", label="EMPTY", file_system="vfat", read_only=True),
            Medium(path=tmp_path / "wednesday", label="BROKEN"),
            Medium(path=tmp_path / "monday", label="SHOP", total_bytes=10, free_bytes=5),
            Medium(path=tmp_path / "gone", label="GONE"),
        ],
    )
    assert [info.label for info in found] == ["GONE", "SHOP", "EMPTY", "BROKEN"]
    assert [info.repository_id for info in found] == [None, repository, None, None]
    assert found[1].medium_id is not None
    assert found[1].last_used is not None
    assert (found[1].total_bytes, found[1].free_bytes) == (10, 5)
    assert found[2].read_only
    assert isinstance(snapstore.media(state_dir=tmp_path / "absent"), tuple)
    assert not (tmp_path / "absent").exists()


def test_a_readme_stands_at_the_root_and_replaces_none(sticks: Callable[..., Path], tmp_path: Path) -> None:
    root = sticks(SHOP="monday")
    init("usb:SHOP", tmp_path)
    text = (root / "README.txt").read_text(encoding="utf-8")
    assert '"snapstore"' in text
    assert "encrypted" in text
    root = sticks(THEIRS="tuesday")
    (root / "README.txt").write_text("holiday photos")
    init("usb:THEIRS/backups/shop", tmp_path)
    assert (root / "README.txt").read_text() == "holiday photos"
    assert (root / SECOND_NAME).read_text(encoding="utf-8") == readme_text("backups/shop")
    store = MediumStore(root / "backups" / "shop", Medium(path=root))
    assert put_readme_at_root(store) is None  # it is there
    (root / SECOND_NAME).write_text("this too")
    assert put_readme_at_root(store) is None
    assert (root / SECOND_NAME).read_text() == "this too"
    assert settled(store) is True


def test_a_folder_on_a_disk_gets_no_readme_beside_it(tmp_path: Path) -> None:
    init(str(tmp_path / "repository"), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["repository", "state"]


def test_what_was_settled_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("something")
    for url, safe in ((str(tmp_path / "repository"), True), ("memory:settling", None)):
        with snapstore.init(url, protected=False, state_dir=tmp_path / "state", kdf_seconds=0) as repository:
            report = repository.create_dossier("shop").snapshot(tmp_path / "file")
        assert report.safe_to_unplug is safe
        assert report.notices == ()
    medium = MediumStore(tmp_path / "repository", Medium(path=tmp_path))
    (tmp_path / "repository").rename(tmp_path / "elsewhere")
    assert medium.settle() is False
