"""What programs and terminals read: JSON, progress lines, escapes, tables, sizes."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore import types
from snapstore.cli import output
from snapstore.cli.parameters import parse_size
from snapstore.progress import ProgressStatus

from .conftest import Shop


@given(st.text())
def test_whatever_is_printable_prints(text: str) -> None:
    shown = output.printable(text)
    assert shown.isprintable()
    if text.isprintable():
        assert shown == text


def test_escapes() -> None:
    assert output.printable("a\x1b[31mb\n\udcff\u202e\U000e0001") == "a\\x1b[31mb\\n\\xff\\u202e\\U000e0001"
    assert output.printable("Gold Ohrring \u2640") == "Gold Ohrring \u2640"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_572_864, "1.5 MiB"), (5 * 1024**5, "5120.0 TiB")],
)
def test_human_size(size: int, text: str) -> None:
    assert output.human_size(size) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (65, "1:05"), (3723, "1:02:03")])
def test_human_seconds(seconds: float, text: str) -> None:
    assert output.human_seconds(seconds) == text


@pytest.mark.parametrize(
    ("text", "size"), [("100", 100), ("64K", 65536), ("1.5m", 1_572_864), ("2GiB", 2 * 1024**3), ("3 kb", 3072)]
)
def test_parse_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "K", "-1", "1X", "1e3", "1,5M"])
def test_parse_size_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


def test_table_aligns_wide_letters() -> None:
    lines = output.table(("A", "N"), [("\u91d1", "1"), ("abc", "22")], right=(1,))
    assert lines == ["A     N", "\u91d1    1", "abc  22"]


def test_plain_data() -> None:
    @dataclasses.dataclass
    class Record:
        id: bytes
        kind: types.SnapshotKind
        when: datetime
        attributes: dict[bytes, bytes]
        more: tuple[int, ...]

    record = Record(
        b"\x01\xff", types.SnapshotKind.MANUAL, datetime(2026, 1, 2, tzinfo=UTC), {b"user.\xff": b"\0"}, (1,)
    )
    assert output.plain_data(record) == {
        "id": "01ff",
        "kind": "manual",
        "when": "2026-01-02T00:00:00+00:00",
        "attributes": {"user.\udcff": "AA=="},
        "more": [1],
    }


def test_json_of_every_verb(fresh: Shop) -> None:
    report = fresh.run("--json", "snapshot", fresh.files, "--label", "evening").done().json()
    assert set(report) == {field.name for field in dataclasses.fields(types.SnapshotReport)}
    assert report["snapshot"]["label"] == "evening"
    assert report["files_new"] == 2
    identifier = report["snapshot"]["id"]
    assert len(bytes.fromhex(identifier)) == 16

    listed = fresh.run("--json", "list").done().json()
    assert set(listed) == {"dossier", "snapshots", "missing", "problems", "last_check", "last_drill"}
    assert [snapshot["id"] for snapshot in listed["snapshots"]] == [identifier]
    assert datetime.fromisoformat(listed["snapshots"][0]["time"]).utcoffset() is not None

    lines = fresh.run("--json", "ls", "-R", "latest").done().out.splitlines()
    entries = [json.loads(line) for line in lines]
    assert all(set(entry) == {field.name for field in dataclasses.fields(types.Entry)} for entry in entries)
    assert {"file", "directory"} <= {entry["type"] for entry in entries}

    restored = fresh.run("--json", "restore", "latest", "--to", fresh.base / "out").done().json()
    assert set(restored) == {field.name for field in dataclasses.fields(types.RestoreReport)}
    assert restored["files_restored"] == 2

    dossiers = fresh.run("--json", "dossier", "list").done().json()["dossiers"]
    assert [(dossier["name"], dossier["protected"]) for dossier in dossiers] == [("shop", True)]
    assert "version" in fresh.run("--json", "version").done().json()


def test_json_errors(fresh: Shop) -> None:
    for arguments, code in (
        (["ls", "feedfacefeed"], "snapshot_not_found"),
        (["no-such-verb"], "usage"),
        (["list", "-d", "nobody"], "dossier_not_found"),
        (["snapshot", str(fresh.base / "not there")], "source_missing"),
    ):
        result = fresh.run("--json", *arguments)
        assert result.code in (1, 2)
        assert result.out == ""
        error = json.loads(result.err)["error"]
        assert error["code"] == code
        assert error["message"]


def test_progress_as_json_lines(fresh: Shop) -> None:
    result = fresh.run("--json", "snapshot", fresh.files, "--progress", "json").done()
    lines = [json.loads(line)["progress"] for line in result.err.splitlines()]
    assert lines
    assert all(set(line) == {field.name for field in dataclasses.fields(ProgressStatus)} for line in lines)
    assert lines[-1]["files_done"] == 2
    assert result.json()["files_new"] == 2


def test_progress_as_plain_lines(fresh: Shop) -> None:
    result = fresh.run("snapshot", fresh.files, "--progress", "plain").done()
    assert "2 files" in result.err or "2 of 2 files" in result.err
    assert "\x1b" not in result.err
    assert fresh.run("snapshot", fresh.files).done().err == ""  # over too soon for a line
    assert fresh.run("snapshot", fresh.files, "--progress", "none").done().err == ""


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="macOS refuses such names")
def test_odd_names_are_printed_safely(fresh: Shop) -> None:
    odd = os.fsencode(fresh.files) + b"/a\x1b]0;x\x07\n\xff.txt"
    with open(odd, "wb") as file:
        file.write(b"odd")
    fresh.run("snapshot", fresh.files, "--label", "\x1b[2J").done()
    for result in (
        fresh.run("ls", "-l", "-R", "latest").done(),
        fresh.run("list").done(),
        fresh.run("cat", "latest", "a\x1b[31m"),
    ):
        for stream in (result.out, result.err):
            assert all(line.isprintable() for line in stream.splitlines())
    shown = fresh.run("ls", "-R", "latest").done().out
    assert "a\\x1b]0;x\\x07\\n\\xff.txt" in shown
    names = [json.loads(line)["path"] for line in fresh.run("--json", "ls", "-R", "latest").done().out.splitlines()]
    path = next(name for name in names if name.endswith("\udcff.txt"))
    assert os.fsencode(path).endswith(b"a\x1b]0;x\x07\n\xff.txt")
    assert fresh.run("cat", "latest", path).done().stdout == b"odd"


def test_bars_at_a_terminal(fresh: Shop, type_at_terminal: object) -> None:
    assert callable(type_at_terminal)
    code, seen = type_at_terminal(fresh.command("snapshot", fresh.files), [])
    assert code == 0, seen
    assert "Snapshot " in seen
