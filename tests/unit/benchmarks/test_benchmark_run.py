"""The driver on tiny data, snapstore alone: the result files hold what was measured, and nothing is left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.common.main import ROOT
from benchmarks.common.results import Result

MEASURED = ("first-snapshot", "one-file-changed", "restore-all", "daily-increments", "second-dossier", "remote")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmarks")
    for name in ("ram", "disk"):
        (folder / name).mkdir()
    options = [f"--{name}={folder / name}" for name in ("data", "ram", "disk", "results")]
    driver = [sys.executable, "-m", "benchmarks.common.main", *MEASURED, "--tiny", "--only=snapstore", *options]
    done = subprocess.run(driver, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [*(folder / "ram").iterdir(), *(folder / "disk").iterdir()] == []
    return folder / "results"


def read(results: Path, question: str) -> Result:
    result = Result.read(results / question / "result.json")
    assert result.question == question
    assert (result.scale, result.rounds) == ("tiny", 1)
    assert list(result.versions) == ["snapstore"]
    assert {run.tool for run in result.runs} == {"snapstore"}
    return result


@pytest.mark.slow
def test_a_first_snapshot_has_every_figure(results: Path) -> None:
    runs = read(results, "first-snapshot").runs
    assert [run.data for run in runs] == ["source-tree", "shop", "many-small"]
    for run in runs:
        assert run.wall is not None
        assert run.wall > 0.05
        assert (run.figure("cpu") or 0) > 0.05
        assert (run.memory or 0) > 10_000_000
        assert 0 < (run.added_bytes or 0) < (run.repository_bytes or 0)
    shop = runs[1]
    assert (shop.added_bytes or 0) > 2_000_000, "a photo alone has as much"


@pytest.mark.slow
def test_a_small_change_adds_little(results: Path) -> None:
    for run in read(results, "one-file-changed").runs:
        assert 0 < (run.added_bytes or 0) < 400_000


@pytest.mark.slow
def test_restores_are_compared(results: Path) -> None:
    runs = read(results, "restore-all").runs
    assert [(run.data, run.step, run.identical) for run in runs] == [
        (data, step, True) for data in ("source-tree", "shop") for step in ("memory", "disk")
    ]
    text = (results / "restore-all" / "result.txt").read_text(encoding="utf-8")
    assert "All 4 restored trees and files are identical" in text


@pytest.mark.slow
def test_days_add_less_than_the_database(results: Path) -> None:
    runs = read(results, "daily-increments").runs
    assert [run.step for run in runs] == ["day 1", "day 2"]
    assert all(0 < (run.added_bytes or 0) < 1_000_000 for run in runs)


@pytest.mark.slow
def test_a_second_dossier_shares_large_files(results: Path) -> None:
    added = {(run.data, run.step): run.added_bytes or 0 for run in read(results, "second-dossier").runs}
    assert added["two-dossiers", "second"] < added["two-dossiers", "first"] / 20
    text = (results / "second-dossier" / "result.txt").read_text(encoding="utf-8")
    assert "second dossier, files of 256 KiB and more" in text


@pytest.mark.slow
def test_a_remote_repository_is_measured_with_and_without_a_delay(results: Path) -> None:
    if not (results / "remote" / "result.json").exists():
        pytest.skip("no sshd here")
    runs = read(results, "remote").runs
    walls = {run.step: run.wall or 0 for run in runs if run.wall is not None}
    assert list(walls) == [
        step + delay for delay in ("", ", 50 ms") for step in ("first snapshot", "unchanged snapshot", "restore")
    ]
    assert all(walls[step] > 0.05 for step in walls)
    assert all(run.identical for run in runs if run.step.startswith("restore"))
    trips = {run.step: run.round_trips or 0 for run in runs if run.round_trips is not None}
    assert walls["unchanged snapshot, 50 ms"] > 0.05 * 10
    assert 5 < trips["connecting, counted"] < trips["unchanged snapshot, counted"] < 200


@pytest.mark.slow
def test_the_report_says_what_was_not_measured(results: Path) -> None:
    report = (results / "RESULTS.md").read_text(encoding="utf-8")
    measured = [question for question in MEASURED if (results / question / "result.json").exists()]
    assert all(f"## {question}" in report for question in measured)
    assert measured[:5] == list(MEASURED[:5])
    assert "## memory" not in report
    assert "not measured" in report
    assert (results / "RESULTS.svg").read_text(encoding="utf-8").startswith("<svg")


def test_wrong_options_are_told() -> None:
    driver = [sys.executable, "-m", "benchmarks.common.main"]
    done = subprocess.run([*driver, "no-question"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no such question: no-question" in done.stderr
    done = subprocess.run([*driver, "--tiny", "--only=no-tool"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no such tool: no-tool" in done.stderr


@pytest.mark.slow
def test_a_driver_that_is_ended_leaves_nothing_on_the_ram_disk(tmp_path: Path) -> None:
    for name in ("ram", "disk"):
        (tmp_path / name).mkdir()
    options = [f"--{name}={tmp_path / name}" for name in ("data", "ram", "disk", "results")]
    driver = [sys.executable, "-m", "benchmarks.common.main", "memory", "--tiny", "--only=snapstore", *options]
    with subprocess.Popen(driver, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("first snapstore" in line for line in process.stderr), "it never came so far"
        assert [*(tmp_path / "ram").iterdir()]
        process.terminate()
        process.stderr.read()
    assert process.returncode == 143
    assert [*(tmp_path / "ram").iterdir(), *(tmp_path / "disk").iterdir()] == []
