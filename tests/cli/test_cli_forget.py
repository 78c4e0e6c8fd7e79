"""`snapstore forget`, `hold` and `unhold`: what they print and return."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from snapstore.cli.commands.forget import parse_span


@pytest.fixture
def saved(fresh: Any) -> Any:
    """A shop with three snapshots, labelled 0 to 2."""
    for number in range(3):
        (fresh.files / "stock.txt").write_text(f"{number} rings\n" * 50)
        fresh.run("snapshot", fresh.files, "--label", f"number {number}").done()
    return fresh


def labels(shop: Any) -> list[str]:
    return [snapshot["label"] for snapshot in shop.run("--json", "list").done().json()["snapshots"]]


def test_a_look_says_of_each_why_and_changes_nothing(saved: Any) -> None:
    saved.run("hold", "latest~1").done()
    looked = saved.run("forget", "--keep-last", "1", "--dry-run").done()
    lines = looked.out.splitlines()
    assert lines[0].split() == ["ID", "DATE", "WHY"]
    assert [line.split(maxsplit=3)[3] for line in lines[1:4]] == [
        "stays  last, newest whole one",
        "stays  held",
        "goes   no rule keeps it",
    ]
    assert lines[4:] == ["1 snapshot would be forgotten, 2 kept."]
    assert labels(saved) == ["number 2", "number 1", "number 0"]


def test_a_policy_needs_no_secret_and_shows_what_goes(saved: Any) -> None:
    done = saved.run("forget", "--keep-last=1", "--keep-label", "number 0").done()
    assert [line.split()[3] for line in done.out.splitlines()[1:-1]] == ["goes"]
    assert done.out.splitlines()[-1] == "1 snapshot forgotten, 2 kept. Prune gives their space back."
    assert labels(saved) == ["number 2", "number 0"]
    assert saved.run("list").done().err == ""


def test_by_name_and_the_last_one_on_wish(saved: Any) -> None:
    saved.run("-q", "forget", "latest~1", "latest~2").done()
    assert labels(saved) == ["number 2"]
    refused = saved.run("forget", "latest")
    assert refused.code == 2
    assert "without a whole snapshot" in refused.err
    saved.run("forget", "--allow-last", "latest").done()
    assert labels(saved) == []


def test_held_ones_are_marked_and_refused(saved: Any) -> None:
    assert saved.run("hold", "latest").done().out == "1 snapshot held.\n"
    assert "number 2 (held)" in saved.run("list").done().out
    refused = saved.run("--json", "forget", "latest")
    assert (refused.code, '"code": "held"' in refused.err) == (2, True)
    released = saved.run("--json", "unhold", "latest").done().json()
    assert (released["dossier"], len(released["released"])) == ("shop", 1)
    assert "(held)" not in saved.run("list").done().out
    assert saved.run("hold").code == 2
    assert saved.run("hold", "beef").code == 1


def test_as_json(saved: Any) -> None:
    report = saved.run("--json", "forget", "--preset", "shop", "--keep-last", "2", "--keep-daily", "0").done().json()
    assert set(report) == {"dossier", "decisions", "forgotten", "dry_run", "problems"}
    assert [item["keep"] for item in report["decisions"]] == [True, True, False]
    assert set(report["decisions"][0]) == {"snapshot", "keep", "reasons", "counted_as"}
    assert [item["label"] for item in report["forgotten"]] == ["number 0"]


def test_every_dossier(saved: Any) -> None:
    saved.run("dossier", "add", "letters", secret="jasper and jet").done()
    saved.run("-d", "letters", "snapshot", saved.files).done()
    done = saved.run("forget", "--all-dossiers", "--keep-last", "1").done()
    assert [line for line in done.out.splitlines() if line.endswith(":")] == ["letters:", "shop:"]
    assert [line for line in done.out.splitlines() if "kept" in line] == [
        "0 snapshots forgotten, 1 kept.",
        "2 snapshots forgotten, 1 kept. Prune gives their space back.",
    ]
    assert len(saved.run("--json", "forget", "--all-dossiers", "--keep-last", "1").done().json()["dossiers"]) == 2
    assert saved.run("forget", "--all-dossiers", "latest").code == 2


@pytest.mark.parametrize(
    "wrong",
    [
        (),
        ("--keep-last", "0"),
        ("--keep-last", "-2"),
        ("--keep-within", "soon"),
        ("--keep-label", "no such label"),
        ("--preset", "museum"),
    ],
)
def test_calls_that_keep_nothing_or_mean_nothing(saved: Any, wrong: tuple[str, ...]) -> None:
    assert saved.run("forget", *wrong).code == 2
    assert len(labels(saved)) == 3


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("12h", timedelta(hours=12)),
        ("30d", timedelta(days=30)),
        ("2w", timedelta(days=14)),
        ("1y6m", timedelta(days=366 + 6 * 31)),
        ("1y 2d", timedelta(days=368)),
    ],
)
def test_spans(text: str, span: timedelta) -> None:
    assert parse_span(text) == span


@pytest.mark.parametrize("text", ["", "d", "30", "30 days", "-3d", "1.5d", "d30"])
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(ValueError, match="not a span"):
        parse_span(text)


def test_pruning_afterwards(saved: Any) -> None:
    looked = saved.run("--json", "forget", "--keep-last", "1", "--prune", "--dry-run").done().json()
    assert "prune" not in looked
    report = saved.run("--json", "forget", "--keep-last", "1", "--prune").done().json()
    assert len(report["forgotten"]) == 2
    assert report["prune"]["freed_bytes"] > 0
    again = saved.run("forget", "--keep-last", "1", "--prune").done()
    assert again.out.splitlines()[0] == "0 snapshots forgotten, 1 kept."
    assert again.out.splitlines()[1].startswith("Pruned: ")
