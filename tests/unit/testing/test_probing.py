"""Trying out a store: every fault is named in the verdict, and nothing is left behind whatever happens."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
from ftp_servers import running_proftpd, running_pyftpdlib, running_vsftpd
from object_servers import running_moto
from server import ServerMissingError
from ssh_servers import running_asyncssh_server, running_sshd

import snapstore
from snapstore import (
    InputError,
    OperationCancelledError,
    ProbeOutcome,
    ProbeReport,
    ProgressStatus,
    StoreOptions,
    StoreUnavailableError,
)
from snapstore.errors import ObjectNotFoundError
from snapstore.stores.memory import MemoryStore
from snapstore.stores.protocol import Store, StoredObject
from snapstore.stores.url import open_store
from snapstore.testing import (
    BrokenListing,
    EmptyListing,
    FailAt,
    FlippedBit,
    FullAfter,
    LostPut,
    Recorder,
    ShortPut,
    StoreConformance,
    StoreWrapper,
    TruncatedGet,
    probing,
)
from snapstore.testing.building_rules import BuildingRules
from snapstore.testing.probing import PROBE_SECONDS, probe_store
from snapstore.testing.scratch import FOLDERS
from snapstore.testing.verdicts import RULES, needed_for, verdict

NUMBERS = itertools.count()
PASSED, FAILED, SKIPPED = ProbeOutcome.PASSED, ProbeOutcome.FAILED, ProbeOutcome.SKIPPED


class Cancelled:
    """Cancels once so many rules were begun."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.updates: list[ProgressStatus] = []

    def update(self, status: ProgressStatus) -> None:
        self.updates.append(status)

    def is_set(self) -> bool:
        return len(self.updates) > self.after


def probed(fault: Callable[[Store], Store]) -> ProbeReport:
    name = f"probing{next(NUMBERS)}"
    return probe_store(lambda: fault(MemoryStore(name)))


def failed(report: ProbeReport) -> set[str]:
    return {rule.name for rule in report.rules if rule.outcome is FAILED}


class DeleteDoesNothing(StoreWrapper):
    """Reports success and keeps the object."""

    def delete(self, name: str) -> None:
        self.inner.get(name)


class StaleListing(StoreWrapper):
    """Lists what there was some puts and deletes ago, as a listing that is cached does."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.before: list[StoredObject] = []

    def list(self, prefix: str) -> Iterator[StoredObject]:
        now = list(self.inner.list(""))
        before, self.before = self.before, now
        return iter([found for found in before if not prefix or found.name.startswith(f"{prefix.rstrip('/')}/")])


class DeletedIsReadable(StoreWrapper):
    """Gives what was deleted, as a cache before a server does."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.kept: dict[str, bytes] = {}

    def delete(self, name: str) -> None:
        self.kept[name] = self.inner.get(name)
        self.inner.delete(name)

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        try:
            return self.inner.get(name, offset=offset, size=size)
        except ObjectNotFoundError:
            if name not in self.kept:
                raise
            return self.kept[name]


class NoRanges(StoreWrapper):
    """Gives the whole object whatever was asked for."""

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        return self.inner.get(name)


class Overwrites(StoreWrapper):
    """Replaces what has the name already."""

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        try:
            self.inner.put(name, data, size=size)
        except InputError as error:
            if error.code != "object_exists" or not isinstance(data, bytes):
                raise
            self.inner.delete(name)
            self.inner.put(name, data, size=size)


class Mistaken(StoreWrapper):
    """Has a mistake in its program."""

    def free_bytes(self) -> int | None:
        raise ZeroDivisionError("geheim")


FAULTS: list[tuple[Callable[[Store], Store], str, ProbeOutcome, ProbeOutcome]] = [
    (ShortPut, "what_was_put_is_got", FAILED, FAILED),
    (lambda inner: LostPut(inner, 7), "what_was_put_is_got", FAILED, FAILED),
    (TruncatedGet, "what_was_put_is_got", FAILED, FAILED),
    (FlippedBit, "what_was_put_is_got", FAILED, FAILED),
    (EmptyListing, "a_listing_has_all_below_the_folder_and_nothing_else", FAILED, FAILED),
    (
        lambda inner: BrokenListing(inner, after=2),
        "a_listing_has_all_below_the_folder_and_nothing_else",
        FAILED,
        FAILED,
    ),
    (StaleListing, "what_one_writer_put_the_other_sees", FAILED, FAILED),
    (DeleteDoesNothing, "what_was_deleted_is_gone", FAILED, FAILED),
    (DeletedIsReadable, "what_was_deleted_is_gone", FAILED, FAILED),
    (NoRanges, "ranges", FAILED, FAILED),
    (Overwrites, "a_name_is_used_once", FAILED, FAILED),
    (
        lambda inner: FullAfter(inner, 80_000_000),
        "the_largest_object_is_stored_and_a_larger_one_refused",
        FAILED,
        FAILED,
    ),
    (Mistaken, "the_rest_of_the_contract", PASSED, PASSED),
]


@pytest.mark.parametrize(
    ("fault", "rule", "snapshots", "prune"), FAULTS, ids=lambda value: getattr(value, "__name__", "")
)
def test_each_fault_is_named(
    fault: Callable[[Store], Store], rule: str, snapshots: ProbeOutcome, prune: ProbeOutcome
) -> None:
    report = probed(fault)
    found = next(tried for tried in report.rules if rule in tried.name)
    if fault.__name__ == "<lambda>" and found.outcome is not FAILED:
        assert failed(report), "some rule has to notice"
    else:
        assert (found.outcome, rule in failed(report)) == (FAILED, True)
        assert found.detail
        assert "geheim" not in found.detail
    assert (report.snapshots, report.prune) == (snapshots, prune)
    assert report.safe == (prune is PASSED)


def test_prune_rests_on_more_than_snapshots() -> None:
    rules = probe_store(lambda: MemoryStore("probing_prune")).rules
    only_prune = [rule for rule in rules if rule.needed_for_prune and not rule.needed_for_snapshots]
    assert {rule.name for rule in only_prune} >= {"what_was_deleted_is_gone", "what_one_writer_put_the_other_sees"}
    comfort = [rule for rule in rules if not rule.needed_for_prune]
    assert comfort
    assert verdict(comfort) is PASSED
    assert verdict([replace(rules[0], outcome=SKIPPED), rules[1]]) is SKIPPED
    assert verdict([replace(rules[0], outcome=SKIPPED), replace(rules[1], outcome=FAILED)]) is FAILED


def test_a_good_store_passes_everything() -> None:
    recorder = Recorder(MemoryStore("probing_good"))
    report = probe_store(lambda: recorder)
    assert {rule.outcome for rule in report.rules} == {PASSED}
    assert (report.snapshots, report.prune, report.safe) == (PASSED, PASSED, True)
    assert len(report.rules) == len(RULES) > 20
    assert list(recorder.list("")) == []
    assert report.round_trip_seconds is not None
    assert report.upload_bytes_per_second is not None
    assert report.download_bytes_per_second is not None
    assert report.seconds < 30


def test_every_operation_may_fail_once() -> None:
    for k in range(1, 60, 7):
        report = probed(lambda inner, k=k: FailAt(inner, k))  # type: ignore[misc]
        assert report.left_behind == ""


def test_when_the_time_is_up_the_verdict_is_unknown() -> None:
    report = probe_store(lambda: MemoryStore("probing_late"), seconds=0)
    assert {rule.outcome for rule in report.rules} == {SKIPPED}
    assert "time" in report.rules[0].detail
    assert (report.snapshots, report.prune, report.safe) == (SKIPPED, SKIPPED, False)


def test_a_far_server_has_fewer_objects_to_take_and_a_slow_line_smaller_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    puts: list[int] = []

    class Counted(StoreWrapper):
        def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
            if isinstance(data, bytes):
                puts.append(len(data))
            self.inner.put(name, data, size=size)

    monkeypatch.setattr(probing, "_seconds_of", lambda action: (action(), 2.0)[1])
    report = probe_store(lambda: Counted(MemoryStore("probing_slow")))
    assert report.safe
    assert len(puts) < 300
    # 1 MiB a second both ways: the rule has 12 seconds for one upload and one download.
    assert max(size for size in puts if size <= 64 << 20) == 6 << 20


def test_all_rules_but_those_of_folders_are_tried() -> None:
    names = {name for name in dir(StoreConformance) if name.startswith("test_")}
    assert set(RULES) <= names
    building = {name for name in dir(BuildingRules) if name.startswith("test_")}
    assert names - building - set(RULES) == {"test_foreign_files_are_never_listed_and_never_touched"}
    for rule in RULES:
        snapshots, prune = needed_for(rule)
        assert prune or not snapshots, "prune rests on all that snapshots rest on"


@pytest.mark.parametrize("existing", [True, False])
def test_a_folder_is_left_as_it_was(tmp_path: Path, existing: bool) -> None:
    place = tmp_path / "backup"
    if existing:
        (place / "packs" / "a").mkdir(parents=True)
        (place / "packs" / "a" / "mine").write_bytes(b"mine")
    progress = Cancelled(9999)
    report = snapstore.probe(place, progress=progress)
    assert report.safe
    assert report.url == str(place)
    assert [path.name for path in tmp_path.rglob("*")] == (["backup", "packs", "a", "mine"] if existing else [])
    assert progress.updates[-1].files_done == progress.updates[-1].files_total == len(RULES)


def test_a_probe_that_is_cancelled_removes_what_it_made(tmp_path: Path) -> None:
    for after in (0, 1, 5, 20):
        cancelled = Cancelled(after)
        with pytest.raises(OperationCancelledError):
            snapstore.probe(tmp_path, progress=cancelled, cancel=cancelled)
        assert list(tmp_path.iterdir()) == []


def test_ctrl_c_removes_it_too(tmp_path: Path) -> None:
    class Impatient:
        def update(self, status: ProgressStatus) -> None:
            if status.files_done == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        snapstore.probe(tmp_path, progress=Impatient())
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_tried_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        snapstore.probe(tmp_path, options=StoreOptions(read_only=True))
    with pytest.raises(StoreUnavailableError):
        snapstore.probe(tmp_path / "no" / "such" / "folder")
    with pytest.raises(InputError):
        snapstore.probe("sftp://me:a/b@host/x")


def test_object_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        with running_moto(tmp_path) as server:
            for name, text in server.variables.items():
                monkeypatch.setenv(name, text)
            monkeypatch.setenv("HOME", str(tmp_path))
            url = server.url("probe")
            with open_store(url, create=True, options=server.options) as store:
                store.put("packs/a/mine", b"mine")
                report = snapstore.probe(url, options=server.options)
                assert [rule for rule in report.rules if rule.outcome is not PASSED] == []
                assert report.safe
                assert [found.name for found in store.list("")] == ["packs/a/mine"]
    except ServerMissingError as error:
        pytest.skip(str(error))


def test_all_folders_that_the_rules_use_are_known() -> None:
    folders: set[str] = set()

    class Noted(StoreWrapper):
        def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
            self.inner.put(name, data, size=size)
            folder = name.rpartition("/")[0]
            folders.update((folder, folder.rpartition("/")[0]))

    probe_store(lambda: Noted(MemoryStore("probing_folders")))
    assert folders - {""} <= set(FOLDERS)
    assert sorted(FOLDERS, key=lambda name: -name.count("/"))[-1] in FOLDERS
    assert all(FOLDERS.index(name) < FOLDERS.index(name.rpartition("/")[0]) for name in FOLDERS if "/" in name)


@pytest.mark.parametrize("kind", ["sshd", "asyncssh", "pyftpdlib", "vsftpd", "proftpd"])
def test_a_server_is_left_as_it_was(kind: str, tmp_path: Path) -> None:
    running = {
        "sshd": running_sshd,
        "asyncssh": running_asyncssh_server,
        "pyftpdlib": running_pyftpdlib,
        "vsftpd": running_vsftpd,
        "proftpd": running_proftpd,
    }
    try:
        with running[kind](tmp_path) as server:
            open_store(server.url("probe"), create=True, options=server.options).close()
            # All rules are tried on all servers by the conformance tests; here it is the place that matters.
            seconds = PROBE_SECONDS if kind == "sshd" else 2.0
            report = snapstore.probe(server.url("probe"), options=server.options, seconds=seconds)
            assert [rule for rule in report.rules if rule.outcome is FAILED] == []
            assert report.rules[0].outcome is PASSED
            assert report.safe == (report.prune is PASSED)
            assert report.safe or kind != "sshd"
            assert report.abilities
            assert snapstore.probe(server.url("absent"), options=server.options, seconds=0).left_behind == ""
            with open_store(server.url("probe"), options=server.options) as store:
                assert list(store.list("")) == []
            if server.folder is not None:
                left = [path for path in server.folder.rglob("*") if "probe-" in path.name or path.name == "absent"]
                assert left == []
    except ServerMissingError as error:
        pytest.skip(str(error))
