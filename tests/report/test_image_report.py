"""Tables and page of runs on images."""

import dataclasses
import io
import json
import re

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from helpers.cli import run_cli
from helpers.runs import write_run
from rich.console import Console

from asc_mrkd.datasets.images import ImageSet, ImageSplit
from asc_mrkd.errors import DataError
from asc_mrkd.evaluation import compare_summaries, evaluate
from asc_mrkd.report import (
    breakdown_table,
    comparison_table,
    difference_records,
    evaluation_record,
    print_comparison,
    print_evaluation,
    write_report,
)
from asc_mrkd.report.plots import images_png

pytestmark = pytest.mark.slow

CLASSES = tuple(f"class_{number:02}" for number in range(30))

SELF_KD = {"name": "pskd", "source": "model"}
"""The form that goes with Mixup."""


@pytest.fixture(scope="module")
def image_runs(tmp_path_factory):
    """CE and Self-KD with Mixup on 30 classes in 6 superclasses, four seeds each."""
    folder = tmp_path_factory.mktemp("images")
    common = {"classes": CLASSES, "clips_per_class": 20, "epochs": 200, "images": True}
    ce = write_run(folder / "ce", skill=1.5, **common)
    return [ce, write_run(folder / "pskd", SELF_KD, skill=2.0, mixup=0.2, **common)]


@pytest.fixture(scope="module")
def summaries(image_runs):
    return [evaluate(run) for run in image_runs]


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory):
    """An image folder: two images of a colour for each of two classes in either split."""
    folder = tmp_path_factory.mktemp("data") / "set"
    for split in ("train", "test"):
        for label, colour in (("bee", (255, 255, 0)), ("sea", (0, 0, 255))):
            (folder / split / label).mkdir(parents=True)
            for number in range(2):
                picture = np.full((8, 8, 3), colour, dtype=np.uint8)
                matplotlib.image.imsave(folder / split / label / f"{number}.png", picture)
    return folder


def printed(function, *arguments) -> str:
    console = Console(file=io.StringIO(), width=80)
    function(*arguments, console)
    return console.file.getvalue()


def pictures(page: str) -> int:
    return len(re.findall(r'<img src="data:image/png;base64,', page))


def blank(run, column: str) -> None:
    """Empty a column of the predictions of every seed."""
    for path in run.glob("seed*/predictions.csv"):
        pd.read_csv(path).assign(**{column: ""}).to_csv(path, index=False)


def test_tables_fit_and_speak_of_images(summaries):
    text = printed(print_comparison, compare_summaries(summaries)) + printed(print_evaluation, summaries[1])
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert "600 test images" in text
    assert not re.search("clip|accuracy|city|device", text, re.IGNORECASE)


def test_the_widest_figures_keep_their_lines(tmp_path):
    """Errors of two digits in every column, an epoch of three."""
    run = write_run(tmp_path / "run", SELF_KD, skill=0.5, mixup=0.2, classes=CLASSES, epochs=200, images=True)
    summary = evaluate(run)
    text = printed(print_comparison, compare_summaries([summary] * 12)) + printed(print_evaluation, summary)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert len([line for line in lines if "Self-KD + Mixup" in line and "±" in line]) == 12
    assert len([line for line in lines if line.startswith("mean ± std") and line.count("±") == 5]) == 1


def test_the_comparison_is_one_of_errors(summaries):
    table = comparison_table(compare_summaries(summaries))
    assert table.columns == ("#", "Method", "Seeds", "Error %", "Top-5 %", "NLL", "ECE %", "vs", "Diff.", "p")
    ce, pskd = (100 * (1 - summary.per_seed["accuracy"]) for summary in summaries)
    seeds = summaries[1].per_seed
    assert table.rows[1] == [
        "2",
        "Self-KD + Mixup",
        "4",
        f"{pskd.mean():.2f} ± {pskd.std(ddof=1):.2f}",
        f"{100 * seeds['top5_error'].mean():.2f}",
        f"{seeds['log_loss'].mean():.3f}",
        f"{100 * seeds['calibration_error'].mean():.2f}",
        "1",
        f"{pskd.mean() - ce.mean():+.2f}",
        "< 0.001",
    ]
    assert table.rows[1][8].startswith("-")


def test_runs_that_are_alike_differ_by_plus_zero(summaries):
    assert comparison_table(compare_summaries([summaries[0], dataclasses.replace(summaries[0])])).rows[1][8] == "+0.00"


def test_the_difference_in_the_records_is_one_of_accuracy(summaries):
    baseline, record = difference_records(compare_summaries(summaries))
    assert record["difference"] == pytest.approx(record["accuracy"]["mean"] - baseline["accuracy"]["mean"])
    assert record["difference"] > 0
    assert record["top5_error"]["mean"] == pytest.approx(summaries[1].per_seed["top5_error"].mean())


def test_of_many_classes_a_terminal_shows_the_ten_worst(summaries):
    lines = printed(print_evaluation, summaries[1]).splitlines()
    start = lines.index("By class: the 10 worst of 30")
    shown = [line.split() for line in lines[start + 3 : start + 13]]
    errors = 100 * (1 - summaries[1].by("label")["accuracy"])
    assert [float(row[2]) for row in shown] == pytest.approx(sorted(errors, reverse=True)[:10], abs=0.0051)
    assert lines[start + 14].split()[:2] == ["average", "600"]
    assert "By superclass" in lines
    assert len(breakdown_table(summaries[1]).rows) == 30
    assert len(evaluation_record(summaries[1])["by_label"]) == 30


def test_groups_are_shown_where_they_exist(tmp_path):
    run = write_run(tmp_path / "run", classes=CLASSES[:10], seeds=1, epochs=1, images=True)
    assert {"by_superclass", "by_origin"} <= set(evaluation_record(evaluate(run)))
    blank(run, "identifier")
    assert "by_superclass" not in evaluation_record(evaluate(run))
    blank(run, "source_label")
    titles = {line for line in printed(print_evaluation, evaluate(run)).splitlines() if line.startswith("By ")}
    assert titles == {"By class"}


def test_four_classes_have_no_top_5_column(tmp_path):
    run = write_run(tmp_path / "run", classes=CLASSES[:4], seeds=2, epochs=1, images=True)
    summary = evaluate(run)
    text = printed(print_comparison, compare_summaries([summary])) + printed(print_evaluation, summary)
    assert "Top-5" not in text
    assert "ECE %" in text
    record = json.loads(json.dumps(evaluation_record(summary), allow_nan=False))
    assert record["top5_error"] is None
    assert [line["top5_error"] for line in record["per_seed"]] == [None, None]


def test_records_of_scenes_have_the_new_figures_and_their_tables_do_not(runs):
    summary = evaluate(runs[0])
    record = evaluation_record(summary)
    assert record["calibration_error"]["mean"] == pytest.approx(summary.per_seed["calibration_error"].mean())
    assert 0 < record["top5_error"]["mean"] < 0.5
    text = printed(print_evaluation, summary) + printed(print_comparison, compare_summaries([summary]))
    assert not re.search("ECE|Top-5|Error", text)


def test_the_page_of_images(image_runs, image_folder, tmp_path, undrawn):
    write_report(image_runs, tmp_path / "report.html", image_folder)
    page = (tmp_path / "report.html").read_text()
    text = re.sub(r'"data:image[^"]+"', "", page)
    assert pictures(page) == 1 + 2 + 1  # curves, a confusion matrix a run, examples
    assert not re.search("clip[s ]|spectrogram|accuracy|macro", text[: text.index("Settings")], re.IGNORECASE)
    assert "percentage points fewer errors than CE (run 1)" in text
    assert text.count("By class: the 10 worst of 30") == text.count("By class: all 30") == 2
    assert all(text.count(f"<td>{name}</td>") >= 2 for name in CLASSES)


def test_a_folder_without_images_is_an_error(tmp_path):
    run = write_run(tmp_path / "run", classes=CLASSES[:2], seeds=1, epochs=1, images=True)
    with pytest.raises(DataError):
        write_report([run], tmp_path / "report.html", tmp_path)


def test_the_command_finds_the_data_of_the_run(image_folder, store, tmp_path, undrawn):
    for kind, data in {"images": image_folder, "store": store}.items():
        run = write_run(tmp_path / kind, classes=CLASSES[:2], seeds=1, epochs=1, images=kind == "images")
        config = run / "config.yaml"
        out = tmp_path / f"{kind}.html"
        assert run_cli("report", run, "--out", out).code == 0
        assert pictures(out.read_text()) == 2  # the folder that the experiment names does not exist
        assert run_cli("report", run, f"data.{kind}={data}", "--out", out).code == 0
        assert pictures(out.read_text()) == 3
        config.write_text(re.sub(rf"{kind}: .*", f"{kind}: {data}", config.read_text()))
        assert run_cli("report", run, "--out", out).code == 0
        assert pictures(out.read_text()) == 3


def example_set(classes: int) -> ImageSet:
    """One grey image a class, whose brightness is its class index, in reverse order."""
    numbers = np.arange(classes)[::-1]
    pixels = np.broadcast_to(numbers[:, None, None, None], (classes, 3, 4, 4)).astype(np.uint8)
    names = [f"class_{number:03}" for number in range(classes)]
    table = pd.DataFrame({"label": [names[number] for number in numbers]})
    return ImageSet(None, "image folder", names, {"test": ImageSplit(pixels, table)}, "")


@pytest.mark.parametrize(("classes", "first", "last", "shown"), [(10, 0, 9, 10), (100, 0, 99, 40)])
def test_examples_are_one_image_a_class_spread_over_the_alphabet(classes, first, last, shown):
    image = matplotlib.image.imread(io.BytesIO(images_png(example_set(classes))), format="png")[..., :3]
    rounded = (255 * image).round().astype(int)
    # Flat areas only: the shades of anti-aliased letters are no picture.
    flat = (rounded == np.roll(rounded, 9, axis=0)).all(-1) & (rounded == np.roll(rounded, 9, axis=1)).all(-1)
    greys, counts = np.unique(rounded[flat][:, 0], return_counts=True)
    drawn = sorted(grey for grey, count in zip(greys, counts, strict=True) if grey < classes and count > 1000)
    assert len(drawn) == shown
    assert (drawn[0], drawn[-1]) == (first, last)
