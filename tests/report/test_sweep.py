"""The picture, the file and the table of a sweep, read back."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.runs import write_run
from rich.console import Console

from asc_mrkd.evaluation import evaluate
from asc_mrkd.report.sweep import (
    SweptPoint,
    read_point,
    sweep_figure,
    sweep_frame,
    sweep_records,
    sweep_table,
    write_sweep,
)


@pytest.fixture(scope="module")
def summaries(tmp_path_factory):
    """Four runs of different skill on images, four seeds each."""
    folder = tmp_path_factory.mktemp("swept")
    runs = [write_run(folder / f"run{i}", method="mrkd", skill=0.5 + i, images=True, epochs=1) for i in range(4)]
    return [evaluate(run) for run in runs]


def errors(summary) -> pd.Series:
    """Errors in percent, seed by seed, from the files."""
    tables = [pd.read_csv(path) for path in sorted(summary.folder.glob("seed*/predictions.csv"))]
    return pd.Series([100 * (table["prediction"] != table["label"]).mean() for table in tables])


def points_of(summaries, key="method.num_backups"):
    return [
        SweptPoint({key: str(number)}, summary.experiment, summary) for number, summary in enumerate(summaries, start=1)
    ]


def drawn(figure):
    """Return places, means and the lower and upper ends of every line of error bars."""
    (axes,) = figure.axes
    lines = []
    for container in axes.containers:
        line, _, (bars,) = container
        ends = [segment[:, 1].tolist() for segment in bars.get_segments() if len(segment)]
        lines.append((line.get_xdata(orig=False), line.get_ydata(orig=False), ends))
    return axes, lines


def labels(axes):
    return [label.get_text() for label in axes.get_xticklabels()]


def test_f4_no_error_bar_leaves_the_percentages(summaries):
    """Seeds with 0, 0 and 10 % errors, and with 100, 100 and 90 %."""
    points = []
    for value, errors_of_seeds in (("0.1", [0.0, 0.0, 0.1]), ("0.2", [1.0, 1.0, 0.9])):
        per_seed = pd.DataFrame({"accuracy": 1 - np.array(errors_of_seeds)})
        points.append(({"method.interval": value}, dataclasses.replace(summaries[0], per_seed=per_seed)))
    _, [(_, means, ends)] = drawn(sweep_figure(points))
    spread = np.std([0, 0, 10], ddof=1)
    np.testing.assert_allclose(ends, [[0, means[0] + spread], [means[1] - spread, 100]])


def test_points_stand_at_their_values_with_their_deviations(summaries):
    order = ["0.5", "0.005", "0.125"]
    axes, [(places, means, ends)] = drawn(
        sweep_figure([({"method.interval": value}, one) for value, one in zip(order, summaries, strict=False)])
    )
    assert places.tolist() == [0.005, 0.125, 0.5]
    expected = [errors(summaries[order.index(value)]) for value in ("0.005", "0.125", "0.5")]
    np.testing.assert_allclose(means, [one.mean() for one in expected])
    np.testing.assert_allclose(ends, [[one.mean() - one.std(), one.mean() + one.std()] for one in expected])
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "method.interval"
    assert axes.get_ylabel() == "error on test images (%)"
    assert labels(axes) == ["0.005", "0.125", "0.5"]


def test_scenes_have_accuracies(tmp_path):
    summary = evaluate(write_run(tmp_path / "scenes", method="mrkd"))
    axes, [(_, means, _)] = drawn(
        sweep_figure([({"method.num_backups": "1"}, summary), ({"method.num_backups": "3"}, summary)])
    )
    np.testing.assert_allclose(means, 100 - errors(summary).mean())
    assert axes.get_ylabel() == "accuracy on test clips (%)"


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        (["1", "10"], "linear"),
        (["1", "10.1"], "log"),
        (["0", "100"], "linear"),
        (["-1", "100"], "linear"),
        (["1e-05", "0.1"], "log"),
    ],
)
def test_positive_numbers_over_more_than_a_decade_are_logarithmic(summaries, values, scale):
    scored = [({"train.optimizer.weight_decay": value}, one) for value, one in zip(values, summaries, strict=False)]
    axes, [(places, _, _)] = drawn(sweep_figure(scored))
    assert axes.get_xscale() == scale
    assert places.tolist() == [float(value) for value in values]


def test_intervals_in_epochs_are_numbers(summaries):
    values = ["25 epochs", "1 epoch"]
    scored = [({"method.interval": value}, one) for value, one in zip(values, summaries, strict=False)]
    axes, [(places, _, _)] = drawn(sweep_figure(scored))
    assert places.tolist() == [1, 25]
    assert axes.get_xscale() == "log"
    assert (axes.get_xlabel(), labels(axes)) == ("method.interval (epochs)", ["1", "25"])


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("method.adjustment", ["swap", "mask"]),
        ("method.interval", ["9775", "0.5"]),
        ("method.interval", ["25 epochs", "4"]),
        ("data.images", ["nan", "1"]),
    ],
)
def test_words_and_intervals_of_two_kinds_stand_side_by_side(summaries, key, values):
    axes, [(places, _, _)] = drawn(sweep_figure([({key: v}, one) for v, one in zip(values, summaries, strict=False)]))
    assert places.tolist() == [0, 1]
    assert axes.get_xscale() == "linear"
    assert labels(axes) == values


def test_a_second_key_gives_a_line_a_value_and_a_third_joins_it(summaries):
    values = [{"method.num_backups": c, "method.ensemble_layers": d} for c in "13" for d in "02"]
    figure = sweep_figure(list(zip(values, summaries, strict=True)))
    _, lines = drawn(figure)
    assert [line[0].tolist() for line in lines] == [[1, 3], [1, 3]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "method.ensemble_layers=0",
        "method.ensemble_layers=2",
    ]
    np.testing.assert_allclose(lines[1][1], [errors(summaries[i]).mean() for i in (1, 3)])
    figure = sweep_figure([({**v, "method": "mrkd"}, one) for v, one in zip(values, summaries, strict=True)])
    assert figure.legends[0].get_texts()[1].get_text() == "method.ensemble_layers=2, method=mrkd"
    assert not sweep_figure([({"method.num_backups": "1"}, summaries[0])]).legends


def test_a_legend_of_long_options_lies_within_the_picture_and_leaves_room_for_the_panel(summaries):
    long_name = "{name: mrkd, num_backups: 2, interval: 25 epochs, ensemble_loss: true, ensemble_layers: 2, alpha: 0.5}"
    points = [
        (
            {"train.epochs": "1", "method": f"{long_name}{number}", "train.optimizer.weight_decay": "0.0001"},
            summaries[0],
        )
        for number in range(20)
    ]
    figure = sweep_figure(points)
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.width
    assert figure.axes[0].get_window_extent().height > 300


def test_a_failed_point_breaks_the_line_and_keeps_its_place(summaries):
    scored = [
        ({"method.num_backups": c}, one) for c, one in zip("123", [summaries[0], None, summaries[1]], strict=True)
    ]
    axes, [(places, means, ends)] = drawn(sweep_figure(scored))
    assert places.tolist() == [1, 2, 3]
    assert len(ends) == 2
    assert np.isnan(means).tolist() == [False, True, False]
    assert labels(axes) == ["1", "2", "3"]


def test_a_single_seed_has_no_error_bar(tmp_path):
    summary = evaluate(write_run(tmp_path / "run", seeds=1, images=True))
    _, [(_, means, ends)] = drawn(sweep_figure([({"method.num_backups": c}, summary) for c in "12"]))
    assert np.isfinite(means).all()
    assert ends == []


def test_only_the_seeds_of_the_sweep_count(summaries, tmp_path):
    """The folder of a point has four seeds, the sweep asks for two of them and one that is not there."""
    summary = summaries[0]
    point = read_point({"a": "1"}, summary.folder, summary.experiment, [3, 1, 9])
    assert point.summary.seeds == [3, 1]
    expected = errors(summary)[[3, 1]]
    row = sweep_table([point]).rows[0]
    assert row[:3] == ["1", "2", f"{expected.mean():.2f} ± {expected.std():.2f}"]
    assert sweep_records([point])[0]["scores"]["unfinished_seeds"] == [9]
    assert read_point({"a": "1"}, summary.folder, summary.experiment, [9]).summary is None


def test_the_file_has_a_row_a_point_and_seed(summaries, tmp_path):
    half = read_point({"method.num_backups": "5"}, summaries[1].folder, summaries[1].experiment, [0, 7], "nan, at last")
    none = SweptPoint({"method.num_backups": "6"}, half.experiment, None, "nan at once")
    assert [path.name for path in write_sweep(tmp_path, [*points_of(summaries), half, none])] == [
        "sweep.csv",
        "sweep.png",
    ]
    table = pd.read_csv(tmp_path / "sweep.csv", keep_default_na=False, na_values={"accuracy": [""]})
    assert table["method.num_backups"].tolist() == [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4 + [5] * 2 + [6] * 2
    assert table["seed"].tolist() == [0, 1, 2, 3] * 4 + [0, 7] * 2
    for number, summary in enumerate(summaries):
        np.testing.assert_allclose(100 - 100 * table["accuracy"][4 * number : 4 * number + 4], errors(summary))
    assert table["failure"].tolist() == [""] * 17 + ["nan, at last", "nan at once", "nan at once"]
    assert table["accuracy"].isna().tolist() == [False] * 17 + [True] * 3


def test_where_all_have_failed_there_is_a_table_but_no_picture(summaries, tmp_path):
    points = [SweptPoint({"a": value}, summaries[0].experiment, None, "nan") for value in "12"]
    assert write_sweep(tmp_path, points) == [tmp_path / "sweep.csv"]
    assert sweep_table(points).rows == [["1", "0", "failed", ""], ["2", "0", "failed", ""]]
    assert sweep_frame(points)["failure"].tolist() == ["nan"] * 8


def test_table_says_what_failed_and_fits_into_80_columns(summaries):
    ones = points_of(summaries, "train.optimizer.weight_decay")
    wide = [
        SweptPoint({**one.values, "method.adjustment_gradient": "detached", "method.interval": "0.125"}, *rest)
        for one, *rest in [(one, one.experiment, one.summary) for one in ones]
    ]
    failed = SweptPoint(wide[0].values, wide[0].experiment, wide[0].summary, "epoch 3: the loss is [nan] " + "x" * 99)
    table = sweep_table([*wide, failed])
    assert table.columns[3:] == ("Seeds", "Error %", "NLL")
    assert table.rows[-1][3:] == ["4", "failed", ""], "the mean of the seeds that are left is not a result"
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(table)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert "epoch 3: the loss is [nan]" in " ".join(text.split())


def test_a_dollar_in_a_value_is_no_formula(summaries, tmp_path: Path):
    values = [{"data.images": path, "x": "$_$"} for path in ("$^$", "b")]
    points = [SweptPoint(one, summaries[0].experiment, summaries[0]) for one in values]
    write_sweep(tmp_path, points)
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
