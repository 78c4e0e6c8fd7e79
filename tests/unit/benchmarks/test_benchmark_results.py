"""What is computed from raw figures: ratios within a round, limits, tables, the plot."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.common.main import FOLDER, QUESTIONS, load
from benchmarks.common.plot import plot_text
from benchmarks.common.results import Limit, Result, Run, Which, faster, judge
from benchmarks.common.tables import report_text, result_text


def runs_of(tool: str, *walls: float, step: str = "", data: str = "shop") -> list[Run]:
    return [Run(data=data, tool=tool, round=turn, step=step, wall=wall) for turn, wall in enumerate(walls, start=1)]


def result_of(runs: list[Run]) -> Result:
    machine: dict[str, str | int] = {"processors": 2}
    return Result(
        question="some-question", scale="tiny", rounds=3, versions={"restic": "1"}, machine=machine, runs=runs
    )


def test_a_ratio_is_taken_within_a_round_and_then_the_median() -> None:
    runs = runs_of("snapstore", 1.0, 10.0, 2.0) + runs_of("restic", 2.0, 50.0, 6.0)
    (verdict,) = judge([faster("shop", "restic", 3)], runs)
    assert verdict.measured == 3.0  # of 2, 5 and 3; the medians' ratio would be 3 too, that of the means 4.5
    assert verdict.met is True
    (verdict,) = judge([faster("shop", "restic", 3.1)], runs)
    assert verdict.met is False


def test_rounds_that_one_of_them_lacks_do_not_count() -> None:
    runs = runs_of("snapstore", 1.0, 1.0) + runs_of("restic", 4.0)
    (verdict,) = judge([faster("shop", "restic", 2)], runs)
    assert verdict.measured == 4.0


def test_what_was_not_measured_is_never_met() -> None:
    limits = [faster("shop", "restic", 2), faster("source-tree", "borg", 2)]
    verdicts = judge(limits, runs_of("snapstore", 1.0))
    assert [(verdict.measured, verdict.met) for verdict in verdicts] == [(None, None)] * 2


def test_days_are_paired_day_by_day() -> None:
    runs = runs_of("snapstore", 1.0, step="day 1") + runs_of("snapstore", 2.0, step="day 2")
    runs += runs_of("borg", 2.0, step="day 1") + runs_of("borg", 8.0, step="day 2")
    (verdict,) = judge([faster("shop", "borg", 2)], runs)
    assert verdict.measured == 3.0
    (verdict,) = judge([faster("shop", "borg", 2, step="day 2")], runs)
    assert verdict.measured == 4.0


def test_the_least_of_several_others_counts() -> None:
    runs = runs_of("snapstore", 3.0) + runs_of("restic", 2.0) + runs_of("borg", 4.0)
    others = (Which(data="shop", tool="restic"), Which(data="shop", tool="borg"))
    (verdict,) = judge([Limit(asked="", of=Which(data="shop"), against=others, at_most=1.0)], runs)
    assert (verdict.measured, verdict.met) == (1.5, False)


def test_a_limit_of_its_own_is_held_by_the_worst_run() -> None:
    runs = [Run(data="shop", tool="snapstore", round=turn, memory=size) for turn, size in enumerate((90, 250, 100))]
    (verdict,) = judge([Limit(asked="", of=Which(data="shop"), figure="memory", at_most=200)], runs)
    assert (verdict.measured, verdict.met) == (250, False)


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    result = result_of(
        [
            Run(data="shop", tool="restic", round=1, wall=1.5, user=1.0, system=0.25, memory=7, identical=False),
            Run(data="shop", tool="borg", round=2, step="disk", added_bytes=0, repository_bytes=9, rate=2.0),
        ]
    )
    result.write(tmp_path / "result.json")
    assert Result.read(tmp_path / "result.json") == result


def test_tables_say_medians_ratios_and_what_was_not_identical() -> None:
    runs = runs_of("snapstore", 1.0, 2.0, 3.0) + runs_of("restic", 2.0, 6.0, 9.0)
    runs.append(Run(data="shop", tool="borg", round=1, wall=5.0, identical=False))
    result = result_of(runs)
    text = result_text(result, judge([faster("shop", "restic", 2), faster("shop", "tar-zstd", 1)], runs))
    assert "| shop |      | snapstore | 2.00   | 1.00              |" in text
    assert "| shop |      | restic    | 6.00   | 3.00              |" in text
    assert "NOT IDENTICAL after restoring: borg on shop, round 1" in text
    assert "not measured" in text


def test_the_report_counts_what_is_met() -> None:
    runs = runs_of("snapstore", 1.0) + runs_of("restic", 4.0)
    limits = [faster("shop", "restic", 2), faster("shop", "restic", 5), faster("shop", "borg", 2)]
    text = report_text([("What?", result_of(runs), judge(limits, runs))], "RESULTS.svg")
    assert "Of 3 limits 2 were measured and 1 are met." in text
    assert "![Wall time against snapstore's](RESULTS.svg)" in text


def test_the_plot_is_a_drawing_with_a_bar_for_each_tool() -> None:
    result = result_of(runs_of("snapstore", 1.0, 3.0) + runs_of("restic", 4.0, 4.0) + runs_of("borg", 80.0))
    root = ElementTree.fromstring(plot_text([result]))
    shapes = root.findall("{http://www.w3.org/2000/svg}rect")
    words = [text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert len(shapes) == 1 + 3
    assert "restic 2.00 (4.00 s)" in words
    assert "borg 40.00 (80.00 s) ..." in words
    assert max(float(shape.get("width", "0")) for shape in shapes[1:]) < float(root.get("width", "0"))


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_is_whole(name: str) -> None:
    module = load(name)
    assert module.QUESTION.endswith("?")
    assert (module.__doc__ or "").startswith(module.QUESTION) or name == "micro"
    assert (FOLDER / name / "README.md").read_text(encoding="utf-8").startswith("# ")
    for limit in module.LIMITS:
        assert limit.of.data in module.DATA
        assert (limit.at_least is None) != (limit.at_most is None)
        assert "|" not in limit.asked, "it would end the table's cell"
