"""The test of a medium that writes: honest ones pass and keep their files; those that lie, lose or fail are found."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from media_images import MIB, Medium, ext4_on, medium_image
from server import ServerMissingError

import snapstore
from snapstore.operations.media import testing_medium
from snapstore.operations.media.own_files import OwnFiles
from snapstore.operations.media.patterns import Pattern, first_difference
from snapstore.stores.media import Medium as ListedMedium
from snapstore.stores.media import fingerprint


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as open_until_the_end:
        yield open_until_the_end


def plugged(stack: ExitStack, folder: Path, kind: str, **wishes: object) -> Medium:
    try:
        return stack.enter_context(medium_image(kind, folder, **wishes))  # type: ignore[arg-type]
    except ServerMissingError as error:
        pytest.skip(str(error))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_blocks_differ_by_place_and_by_run() -> None:
    one, other = Pattern(), Pattern()
    assert len({one.block(0, 64), one.block(1, 64), other.block(0, 64), bytes(64)}) == 4
    assert Pattern(bytes(32)).block(7) == Pattern(bytes(32)).block(7)


@pytest.mark.parametrize("at", [0, 1, 500, 1023])
def test_the_first_difference(at: int) -> None:
    meant = bytes(1024)
    found = bytearray(meant)
    found[at] = 1
    found[-1] = 2
    assert first_difference(found, meant) == at
    assert first_difference(meant[:at], meant) == at
    assert first_difference(meant, meant) is None


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("kind", ["fat", "exfat", "ntfs"])
def test_an_honest_medium_passes_and_is_as_it_was(stack: ExitStack, tmp_path: Path, kind: str, full: bool) -> None:
    medium = plugged(stack, tmp_path / kind, kind, size=48 * MIB)
    (medium.path / "mine.txt").write_text("not yours")
    before = names(medium.path)
    report = snapstore.test_medium(medium.path, full=full)
    assert report.passed
    assert report.first_wrong_offset is None
    assert report.verified_bytes == report.written_bytes >= (32 * MIB if full else 4 * MIB)
    assert report.spread is full  # none of these drivers can set room aside
    assert names(medium.path) == before
    assert (medium.path / "mine.txt").read_text() == "not yours"


@pytest.mark.parametrize("dropping", [False, True])
@pytest.mark.parametrize("kind", ["exfat", "ntfs"])
def test_a_full_test_finds_a_medium_that_lies_about_its_size(
    stack: ExitStack, tmp_path: Path, kind: str, dropping: bool
) -> None:
    medium = plugged(stack, tmp_path / kind, kind, size=64 * MIB, real_bytes=32 * MIB, dropping=dropping)
    report = snapstore.test_medium(medium.path, full=True)
    assert not report.passed
    assert {problem.code for problem in report.problems} <= {
        "medium_data_differs",
        "medium_read_failed",
        "medium_write_failed",
    }
    assert report.first_wrong_offset is not None
    assert report.first_wrong_offset <= 32 * MIB
    assert report.verified_bytes < report.written_bytes


def test_a_quick_test_says_that_it_did_not_reach_the_end(stack: ExitStack, tmp_path: Path) -> None:
    medium = plugged(stack, tmp_path / "lying", "exfat", size=64 * MIB, real_bytes=48 * MIB)
    report = snapstore.test_medium(medium.path)
    assert report.passed
    assert not report.spread


def test_a_quick_test_reaches_all_over_where_room_can_be_set_aside(stack: ExitStack, tmp_path: Path) -> None:
    honest = plugged(stack, tmp_path / "honest", "exfat", size=160 * MIB)
    lying = plugged(stack, tmp_path / "lying", "exfat", size=160 * MIB, real_bytes=64 * MIB, dropping=True)
    reports = []
    for medium in (honest, lying):
        try:
            stick = stack.enter_context(ext4_on(medium.path, 140 * MIB))
        except ServerMissingError as error:
            pytest.skip(str(error))
        reports.append(snapstore.test_medium(stick))
    assert [report.spread for report in reports] == [True, True]
    assert reports[0].passed
    assert not reports[1].passed
    assert reports[1].written_bytes <= 16 * MIB  # quick is quick


def test_reads_that_fail_are_found(stack: ExitStack, tmp_path: Path) -> None:
    medium = plugged(stack, tmp_path / "failing", "exfat", failing=True)
    failed: list[str] = []

    class FailOnceWritten:
        def update(self, status: snapstore.ProgressStatus) -> None:
            if status.phase == "verify" and not failed:
                medium.fail("read")
                failed.append(status.phase)

    report = snapstore.test_medium(medium.path, progress=FailOnceWritten())
    medium.fail()
    assert [problem.code for problem in report.problems] == ["medium_read_failed"]
    assert report.first_wrong_offset is not None
    assert "Replace the medium" in report.problems[0].message


def test_writes_that_fail_are_found(stack: ExitStack, tmp_path: Path) -> None:
    medium = plugged(stack, tmp_path / "failing", "exfat", failing=True)

    class FailSoon:
        def update(self, status: snapstore.ProgressStatus) -> None:
            medium.fail("write")

    try:
        report = snapstore.test_medium(medium.path, progress=FailSoon())
    finally:
        medium.fail()
    assert "medium_write_failed" in {problem.code for problem in report.problems}


def test_a_medium_that_is_pulled_out_is_an_error(stack: ExitStack, tmp_path: Path) -> None:
    medium = plugged(stack, tmp_path / "pulled", "exfat")

    class PullOut:
        def update(self, status: snapstore.ProgressStatus) -> None:
            medium.pull_out()

    with pytest.raises(snapstore.StoreUnavailableError) as caught:
        snapstore.test_medium(medium.path, progress=PullOut(), full=True)
    assert caught.value.code == "store_vanished"
    medium.clear_away()
    medium.plug_in()
    assert [name for name in names(medium.path) if name.startswith("snapstore-test-")] != []
    assert snapstore.test_medium(medium.path).passed  # and it removes what the other left
    assert [name for name in names(medium.path) if name.startswith("snapstore-test-")] == []


def test_a_write_protected_medium_is_an_error(stack: ExitStack, tmp_path: Path) -> None:
    medium = plugged(stack, tmp_path / "locked", "ntfs")
    medium.take_out()
    medium.plug_in(read_only=True)
    with pytest.raises(snapstore.StorePermissionError):
        snapstore.test_medium(medium.path)


def test_cancelling_leaves_nothing_behind(tmp_path: Path) -> None:
    cancel = threading.Event()

    class CancelSoon:
        def update(self, status: snapstore.ProgressStatus) -> None:
            cancel.set()

    with pytest.raises(snapstore.OperationCancelledError):
        snapstore.test_medium(tmp_path, progress=CancelSoon(), cancel=cancel)
    assert names(tmp_path) == set()


def test_the_files_of_a_test_under_way_are_left_to_it(tmp_path: Path) -> None:
    (tmp_path / "snapstore-test-0123abcd").mkdir()
    (tmp_path / "snapstore-test-0123abcd" / "000001.test").write_bytes(b"left over")
    (tmp_path / "snapstore-test-mine").mkdir()
    with OwnFiles(tmp_path) as first:
        assert len(names(tmp_path)) == 2  # its own, and what is none of a test's
        with first.new() as file:
            file.write(bytes(MIB))
        with OwnFiles(tmp_path):
            assert len(names(tmp_path)) == 3
        assert [len(block) for block in first.blocks(file.name, 2)] == [MIB, 0]
    assert names(tmp_path) == {"snapstore-test-mine"}


def test_nothing_is_removed_through_a_link(tmp_path: Path) -> None:
    elsewhere, medium = tmp_path / "elsewhere", tmp_path / "medium"
    elsewhere.mkdir()
    medium.mkdir()
    (elsewhere / "000001.test").write_bytes(b"mine")
    try:
        (medium / "snapstore-test-0123abcd").symlink_to(elsewhere, target_is_directory=True)
    except OSError as error:
        pytest.skip(f"no links here: {error}")
    with OwnFiles(medium):
        assert names(elsewhere) == {"000001.test"}


def test_what_cannot_be_tested_is_refused(tmp_path: Path) -> None:
    with pytest.raises(snapstore.StoreUnavailableError, match="connected"):
        snapstore.test_medium(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(snapstore.InputError):
        snapstore.test_medium(tmp_path / "file")
    with pytest.raises(snapstore.StoreUnavailableError, match="No medium"):
        snapstore.test_medium("usb:NOT-PLUGGED-IN")


def test_what_has_no_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(snapstore.InputError, match="empty"):
        snapstore.test_medium("")
    monkeypatch.setattr(testing_medium, "connected_media", lambda: [ListedMedium(path=tmp_path)])
    with pytest.raises(snapstore.StoreUnavailableError, match="No medium"):
        snapstore.test_medium("usb:")
    assert names(tmp_path) == set()


def test_the_disk_of_the_system_is_not_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    with pytest.raises(snapstore.InputError) as caught:
        snapstore.test_medium(tmp_path, full=True)
    assert caught.value.code == "system_disk"
    report = snapstore.test_medium(tmp_path)
    assert report.passed
    assert not report.spread
    assert names(tmp_path) == set()


def test_a_nearly_full_medium_is_refused(tiny_mount: Path) -> None:
    with pytest.raises(snapstore.StoreFullError):
        snapstore.test_medium(tiny_mount)
    assert names(tiny_mount) == set()


@pytest.mark.parametrize("kind", ["fat", "exfat", "ntfs"])
def test_fingerprints_last_and_tell_copies_apart(stack: ExitStack, tmp_path: Path, kind: str) -> None:
    first = plugged(stack, tmp_path / "first", kind)
    second = plugged(stack, tmp_path / "second", kind)
    (first.path / "snapstore").mkdir()
    (second.path / "snapstore").mkdir()
    found = fingerprint(first.path / "snapstore")
    assert found is not None
    assert found != fingerprint(second.path / "snapstore")
    first.take_out()
    assert fingerprint(first.path / "snapstore") is None
    moved = first.path.with_name("elsewhere")
    first.path.rename(moved)
    moved.rename(first.path)
    first.plug_in()
    assert fingerprint(first.path / "snapstore") == found


def test_the_memory_of_the_computer_is_not_filled(tiny_mount: Path) -> None:
    with pytest.raises(snapstore.InputError) as caught:
        snapstore.test_medium(tiny_mount, full=True)
    assert caught.value.code == "system_disk"
