"""The plots of the report."""

import dataclasses
import io

import matplotlib.image
import matplotlib.pyplot
import numpy as np
import pandas as pd
import pytest
from helpers.runs import write_run
from matplotlib.figure import Figure

from asc_mrkd.errors import StoreError
from asc_mrkd.evaluation import evaluate
from asc_mrkd.report.columns import as_percentages
from asc_mrkd.report.plots import confusion_matrix_png, draw_by_epoch, learning_curves_png, spectrograms_png
from asc_mrkd.store.layout import open_store

pytestmark = pytest.mark.slow


def decode(png: bytes) -> np.ndarray:
    """Decode to (height, width, 4) in 0..1; fails on anything but a PNG."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return matplotlib.image.imread(io.BytesIO(png), format="png")


def share_of(image: np.ndarray, colour: str) -> float:
    """Fraction of the pixels that have this colour."""
    distance = np.abs(image[..., :3] - matplotlib.colors.to_rgb(colour)).max(axis=-1)
    return float((distance < 0.01).mean())


def test_learning_curves_have_a_colour_per_run(runs):
    first, second = (evaluate(run) for run in runs)
    image = decode(learning_curves_png([first, second]))
    assert image.shape[0] > 600
    assert image.shape[1] > image.shape[0]
    assert share_of(image, "#0072B2") > 0
    assert share_of(image, "#D55E00") > 0
    assert share_of(decode(learning_curves_png([first])), "#D55E00") == 0
    assert matplotlib.pyplot.get_fignums() == [], "no figure of pyplot is left behind"


def test_no_two_curves_look_alike_and_no_band_of_percentages_leaves_100():
    axes = Figure().subplots()
    history = pd.DataFrame({"seed": [0, 1], "epoch": 1, "train_accuracy": [0.9, 1.0]})
    for index in range(12):
        draw_by_epoch(axes, history, "train_accuracy", as_percentages, index, str(index))
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 12
    assert axes.collections[0].get_paths()[0].vertices[:, 1].max() == 100


def test_learning_curves_of_a_run_that_was_never_evaluated_on_the_way(tmp_path):
    run = write_run(tmp_path / "run", epochs=1, seeds=1)
    assert decode(learning_curves_png([evaluate(run)])).size
    (run / "metrics.jsonl").write_text("")
    assert decode(learning_curves_png([evaluate(run)])).size


def test_a_dollar_in_a_name_is_no_formula(tmp_path):
    run = write_run(tmp_path / "$^$", classes=("$_$", "$tram"), epochs=1, seeds=1)
    assert decode(confusion_matrix_png(evaluate(run))).size
    assert decode(learning_curves_png([evaluate(run)])).size


def test_a_perfect_confusion_matrix_is_a_dark_diagonal(tmp_path):
    dark = "#08306B"  # 100 % of the colour map; the colour bar shows a line of it in every picture
    perfect, guessed = (
        decode(confusion_matrix_png(evaluate(write_run(tmp_path / str(skill), skill=skill, epochs=1))))
        for skill in (50.0, 0.0)
    )
    assert share_of(perfect, dark) > 0.02
    assert share_of(guessed, dark) < 0.005


def test_a_hundred_classes_are_drawn(tmp_path):
    classes = tuple(f"c{number:02}" for number in range(100))
    run = write_run(tmp_path / "run", classes=classes, clips_per_class=1, seeds=1, epochs=1)
    assert decode(confusion_matrix_png(evaluate(run))).shape[0] < 3000


def test_spectrograms_show_one_usable_clip_of_every_class(store):
    """The first clip of the first class is bad: its second one, whose band is ten bins higher, takes its place."""
    opened = open_store(store)
    all_good = decode(spectrograms_png(opened))
    assert all_good.shape[0] > 800  # ten classes in four rows
    clips = opened.clips.copy()
    clips.loc[0, ["status", "frames"]] = ["bad", 0]
    one_bad = decode(spectrograms_png(dataclasses.replace(opened, clips=clips)))
    assert one_bad.shape == all_good.shape
    height, width, _ = all_good.shape
    differs = np.abs(one_bad - all_good).max(axis=-1) > 0.1
    assert differs[: height // 4, : width // 3].mean() > 0.3
    assert differs[height // 4 :].mean() < 0.05


def test_a_store_that_is_none_is_an_error(tmp_path):
    with pytest.raises(StoreError):
        open_store(tmp_path)
