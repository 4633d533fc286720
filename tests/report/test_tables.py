"""The tables of the report."""

import dataclasses
import io
import json
import re

import pytest
import scipy.stats
from helpers.runs import write_run
from rich.console import Console

from asc_mrkd.evaluation import compare_summaries, evaluate
from asc_mrkd.report import (
    comparison_table,
    difference_records,
    evaluation_record,
    print_comparison,
    print_differences,
    print_evaluation,
    write_evaluation,
)
from asc_mrkd.report.tables import abbreviate

IMAGE_CLASSES = tuple(f"class_{number:02}" for number in range(30))


def printed(function, *arguments) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    function(*arguments, console)
    return console.file.getvalue().splitlines()


def cells(lines: list[str], first: str) -> list[str]:
    """The cells of the only line that starts with `first`."""
    (line,) = [line for line in lines if line.startswith(first)]
    return line.split()


def test_every_line_fits_and_no_row_is_wrapped(runs):
    summaries = [evaluate(run) for run in runs]
    lines = printed(print_evaluation, summaries[1]) + printed(print_comparison, compare_summaries(summaries))
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    start = lines.index("By class") + 3
    assert [line.split()[0] for line in lines[start : start + 10]] == list(summaries[1].classes)


def test_the_confusion_of_a_full_test_set_fits(tmp_path):
    """Ten classes, 250 clips each, four seeds: counts of four digits."""
    summary = evaluate(write_run(tmp_path / "run", skill=30.0, clips_per_class=250, epochs=2))
    lines = printed(print_evaluation, summary)
    assert max(map(len, lines)) <= 80
    start = lines.index("Confusion: true class (row) and predicted class (column)")
    rows = lines[start + 3 : start + 13]
    assert [row.split()[0] for row in rows] == list(summary.classes)
    assert rows[7].split() == ["street_pedestrian", "spe", *["·"] * 7, "1000", "·", "·"]


def test_the_figures_of_the_comparison(runs):
    summaries = [evaluate(run) for run in runs]
    ce, mrkd = (100 * summary.per_seed["accuracy"] for summary in summaries)
    p_value = scipy.stats.ttest_rel(ce, mrkd).pvalue
    lines = printed(print_comparison, compare_summaries(summaries))
    assert cells(lines, "1  CE")[:6] == ["1", "CE", "4", f"{ce.mean():.2f}", "±", f"{ce.std(ddof=1):.2f}"]
    baseline, difference, p_cell = cells(lines, "2  MrKD")[-3:]
    assert (baseline, p_cell) == ("1", f"{p_value:.3f}")
    assert float(difference) == pytest.approx(mrkd.mean() - ce.mean(), abs=0.0051)


def test_single_seed_has_neither_spread_nor_p_value(tmp_path):
    pair = [write_run(tmp_path / "ce", seeds=1), write_run(tmp_path / "mrkd", "mrkd", seeds=1)]
    summaries = [evaluate(run) for run in pair]
    lines = printed(print_comparison, compare_summaries(summaries))
    assert "±" not in "".join(lines)
    assert "no test possible" in " ".join(lines)
    record = difference_records(compare_summaries(summaries))[1]
    assert record["accuracy"]["std"] is None
    assert record["p_value"] is None
    assert "single seed" in record["warning"]


def test_tables_of_one_group_and_confusions_too_wide_are_left_out(tmp_path):
    run = write_run(tmp_path / "run", classes=IMAGE_CLASSES, seeds=1, clips_per_class=3, epochs=1)
    for path in run.glob("seed*/predictions.csv"):  # images have neither places nor devices
        lines = [line.split(",") for line in path.read_text().splitlines()]
        path.write_text(
            "\n".join(",".join([*line[:2], *(["", ""] if n else line[2:4]), *line[4:]]) for n, line in enumerate(lines))
        )
    lines = printed(print_evaluation, evaluate(run))
    assert "By class" in lines
    assert not {"By city", "By device", "By device group"} & set(lines)
    assert not any(line.startswith("Confusion") for line in lines)
    assert max(map(len, lines)) <= 80


def test_brackets_in_names_are_not_taken_for_markup(tmp_path):
    classes = ("[bold]bus", "[/red]tram")
    run = write_run(tmp_path / "[link]run", classes=tuple(sorted(classes)), seeds=1, epochs=1)
    summary = evaluate(run)
    text = "\n".join(printed(print_evaluation, summary) + printed(print_comparison, compare_summaries([summary])))
    assert "[bold]bus" in text
    assert "[/red]tram" in text
    assert "[link]run" in text.replace("\n", "")


def test_f4_a_group_that_repeats_the_classes_is_left_out(runs):
    summary = evaluate(runs[0])
    own = dataclasses.replace(summary, scores=summary.scores.assign(city=summary.scores["label"].str.upper()))
    lines = printed(print_evaluation, own)
    assert "By class" in lines
    assert "By city" not in lines
    assert "by_city" not in evaluation_record(own)
    half = own.scores["city"].where(own.scores["city"] != "BUS", "TRAM")
    assert "By city" in printed(print_evaluation, dataclasses.replace(own, scores=own.scores.assign(city=half)))


def test_clips_without_a_group_have_a_row_with_a_name(tmp_path):
    run = write_run(tmp_path / "run", seeds=1, epochs=1)
    file = run / "seed0" / "predictions.csv"
    file.write_text(file.read_text().replace(",s4,", ",,"))
    assert cells(printed(print_evaluation, evaluate(run)), "(none)")[1] == "40"


def test_unfinished_seeds_are_named(tmp_path):
    run = write_run(tmp_path / "run", seeds=3, epochs=1)
    (run / "seed1" / "predictions.csv").unlink()
    assert "not finished: seed 1" in " ".join(comparison_table(compare_summaries([evaluate(run)])).notes)


def test_records_are_json_and_add_up(runs):
    record = json.loads(json.dumps(evaluation_record(evaluate(runs[1])), allow_nan=False))
    assert record["method"] == "MrKD"
    assert record["seeds"] == [0, 1, 2, 3]
    assert [line["seed"] for line in record["per_seed"]] == [0, 1, 2, 3]
    assert sum(map(sum, record["confusion"])) == 4 * record["test_clips"]
    for group in ("by_label", "by_city", "by_device", "by_device_group"):
        assert sum(line["clips"] for line in record[group]) == record["test_clips"] == 120
    assert [line["label"] for line in record["by_label"]] == record["classes"]


def test_write_evaluation(tmp_path):
    run = write_run(tmp_path / "run", seeds=1, epochs=1)
    summary = evaluate(run)
    write_evaluation(summary)
    assert json.loads((run / "evaluation.json").read_text()) == evaluation_record(summary)
    assert (run / "confusion.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert not list(run.glob(".*"))


@pytest.mark.parametrize(
    ("classes", "short"),
    [
        (
            ("airport", "metro", "metro_station", "street_pedestrian", "street_traffic", "tram"),
            ["air", "met", "mst", "spe", "str", "tra"],
        ),
        (("train", "tram", "tractor"), ["1", "2", "3"]),
        (("a", "b"), ["a", "b"]),
    ],
)
def test_short_class_names_are_unique(classes, short):
    assert abbreviate(classes) == short


def test_the_widest_comparison_keeps_its_lines(runs):
    summary = evaluate(runs[1])
    mixup = summary.experiment.augment.model_copy(update={"mixup": 0.2})
    mixed = dataclasses.replace(summary, experiment=summary.experiment.model_copy(update={"augment": mixup}))
    table = printed(print_comparison, compare_summaries([evaluate(runs[0]), *[mixed] * 11]))
    assert max(map(len, table)) <= 80
    assert len([line for line in table if "MrKD + Mixup" in line and "±" in line]) == 11


@pytest.mark.slow
def test_the_widest_differences_keep_their_lines(tmp_path):
    """The longest name of a method, and intervals that go from one two-digit number to another."""
    runs = [write_run(tmp_path / "ce", skill=2.5, clips_per_class=5)]
    for number in range(8):
        method = {"name": "mrkd", "variant": "no_fcn"}
        settings = {"skill": 0.5, "mixup": 0.2, "seeds": 4 + number % 2, "clips_per_class": 5}
        runs.append(write_run(tmp_path / str(number), method, **settings))
    lines = printed(print_differences, compare_summaries([evaluate(run) for run in runs], paired=False))
    assert max(map(len, lines)) <= 80
    rows = [line for line in lines if "MrKD w/o FCN + Mixup" in line and line.count(" to ") == 2]
    assert len(rows) == 8
    interval = r"-\d\d\.\d\d to -\d\d\.\d\d"
    assert all(re.search(f"{interval} < 0.001 \\d\\d\\.\\d\\d {interval}$", line.rstrip()) for line in rows)


def test_the_sentences_of_the_report_say_interval_and_effect(runs):
    text = " ".join(printed(print_comparison, compare_summaries([evaluate(run) for run in runs])))
    assert re.search(r"accuracy \(95%\s+interval \+[\d.]+ to \+[\d.]+\)", text)
    assert re.search(r"Cohen's\s+d_z\s+[\d.]+\.", text)
