"""The picture and the table of a sweep, read back."""

import numpy as np
import pytest

from asc_mrkd.evaluation import summarise_run
from asc_mrkd.report.sweep import SweptPoint, sweep_figure, sweep_frame, sweep_table


@pytest.fixture
def summaries(make_run, tmp_path):
    """Runs of different skill, on images and on scenes."""
    return [summarise_run(make_run(tmp_path / f"run{i}", method="mrkd", skill=0.5 + i, images=True)) for i in range(4)]


def drawn(figure):
    """Return places, means and deviations of every line of error bars."""
    (axes,) = figure.axes
    lines = []
    for container in axes.containers:
        line, _, (bars,) = container
        ends = np.array([segment[:, 1] for segment in bars.get_segments()])
        lines.append((line.get_xdata(), line.get_ydata().astype(float), (ends[:, 1] - ends[:, 0]) / 2))
    return axes, lines


def test_points_stand_at_their_values_with_their_deviations(summaries):
    order = ["0.5", "0.005", "0.125"]
    axes, [(places, means, deviations)] = drawn(
        sweep_figure([({"method.interval": value}, one) for value, one in zip(order, summaries, strict=False)])
    )
    assert places.tolist() == [0.005, 0.125, 0.5]
    by_place = [summaries[order.index(value)].per_seed["accuracy"] for value in ("0.005", "0.125", "0.5")]
    np.testing.assert_allclose(means, [100 * (1 - one.mean()) for one in by_place])
    np.testing.assert_allclose(deviations, [100 * one.std(ddof=1) for one in by_place])
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "method.interval"
    assert axes.get_ylabel() == "Error % of test images"
    assert [label.get_text() for label in axes.get_xticklabels()] == order


def test_scenes_have_accuracies(make_run, tmp_path):
    summary = summarise_run(make_run(tmp_path / "scenes", method="mrkd"))
    axes, [(_, means, _)] = drawn(sweep_figure([({"method.copies": "1"}, summary), ({"method.copies": "3"}, summary)]))
    np.testing.assert_allclose(means, 100 * summary.per_seed["accuracy"].mean())
    assert axes.get_xscale() == "linear"


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("method.adjustment", ["swap", "mask"]),
        ("method.interval", ["9775", "0.5"]),
        ("method.interval", ["25 epochs", "4"]),
    ],
)
def test_words_and_intervals_of_two_kinds_stand_side_by_side(summaries, key, values):
    axes, [(places, _, _)] = drawn(sweep_figure([({key: v}, one) for v, one in zip(values, summaries, strict=False)]))
    assert places.tolist() == [0, 1]
    assert axes.get_xscale() == "linear"
    assert [label.get_text() for label in axes.get_xticklabels()] == values


def test_a_second_key_gives_a_line_a_value(summaries):
    values = [{"method.copies": c, "method.depth": d} for c in "13" for d in "02"]
    figure = sweep_figure(list(zip(values, summaries, strict=True)))
    _, lines = drawn(figure)
    assert [line[0].tolist() for line in lines] == [[1, 3], [1, 3]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["method.depth=0", "method.depth=2"]
    np.testing.assert_allclose(lines[1][1], [100 - 100 * summaries[i].per_seed["accuracy"].mean() for i in (1, 3)])


def test_frame_has_a_row_a_point_and_seed(summaries):
    frame = sweep_frame([({"a": "x"}, summaries[0]), ({"a": "y"}, summaries[1])])
    assert frame.columns[:2].tolist() == ["a", "seed"]
    assert frame.groupby("a")["accuracy"].mean()["y"] == pytest.approx(summaries[1].per_seed["accuracy"].mean())


def test_table_says_what_failed(summaries):
    points = [SweptPoint({"a": "1"}, summaries[0]), SweptPoint({"a": "2"}, None, "the loss is nan")]
    table = sweep_table(points)
    assert table.columns[:3] == ("a", "Seeds", "Error %")
    assert table.rows[0][:2] == ["1", "4"]
    assert table.rows[1][:3] == ["2", "0", ""]
    assert table.notes == ["failed at a=2: the loss is nan"]
    assert sweep_table(points[1:]).rows == [["2", "0"]]
