"""Runs on images: their groups, their figures and the words about them."""

import numpy as np
import pytest

from asc_mrkd.evaluation import calibration_error, compare_summaries, conclusions, evaluate, top_k_error
from asc_mrkd.runs import read_predictions

CLASSES = ("bee", "cat", "dog", "elm", "fox", "oak")
SUPERCLASS = {"bee": "insects", "elm": "trees", "oak": "trees"}


def write_image_run(folder, method="ce", seeds=4, skill=1.0, data="", source="", classes=CLASSES):
    """Write a run of 20 images a class; `skill` raises the logit of the true class."""
    for seed in range(seeds):
        rng = np.random.default_rng([seed, len(method)])
        labels = np.repeat(np.arange(len(classes)), 20)
        logits = rng.normal(size=(len(labels), len(classes))) + skill * np.eye(len(classes))[labels]
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        lines = [",".join(["filename,label,identifier,source_label,prediction", *classes])]
        for number, (label, row) in enumerate(zip(labels, probabilities, strict=True)):
            name = classes[label]
            head = [f"test/{number:05}", name, SUPERCLASS.get(name, "mammals"), source, classes[row.argmax()]]
            lines.append(",".join([*head, *map(repr, row.tolist())]))
        (folder / f"seed{seed}").mkdir(parents=True)
        (folder / f"seed{seed}" / "predictions.csv").write_text("\n".join(lines))
    train = "train: {epochs: 2, batch_size: 10}"
    (folder / "config.yaml").write_text(
        f"data: {{images: cifar{data}}}\nmethod: {method}\n{train}\nseeds: {list(range(seeds))}\n"
    )
    (folder / "metrics.jsonl").write_text("")
    return folder


def test_the_groups_of_images(tmp_path):
    summary = evaluate(write_image_run(tmp_path / "run", source="imagenet"))
    assert summary.by("superclass")["clips"].to_dict() == {"insects": 20, "mammals": 60, "trees": 40}
    assert summary.by("origin")["clips"].to_dict() == {"imagenet": 120}
    assert not {"city", "device", "device_group"} & set(summary.scores.columns)


def test_the_groups_of_scenes_are_what_they_were(run_folder):
    summary = evaluate(run_folder)
    assert list(summary.domain.groups) == ["city", "group", "device", "device_group"]
    assert not {"superclass", "origin"} & set(summary.scores.columns)


def test_figures_are_those_of_every_seed_by_itself(tmp_path):
    folder = write_image_run(tmp_path / "run")
    summary = evaluate(folder)
    seeds = [read_predictions(folder / f"seed{seed}" / "predictions.csv") for seed in range(4)]
    assert summary.per_seed["top5_error"].tolist() == [top_k_error(seed) for seed in seeds]
    assert summary.per_seed["calibration_error"].tolist() == [calibration_error(seed) for seed in seeds]
    assert summary.per_seed["top5_error"].between(0.001, 1 / 6).all()
    assert summary.spread("calibration_error").mean == pytest.approx(np.mean([calibration_error(s) for s in seeds]))


def test_five_classes_or_fewer_have_no_top_5_error(tmp_path, run_folder):
    assert "top5_error" in evaluate(write_image_run(tmp_path / "six")).metrics
    five = evaluate(write_image_run(tmp_path / "five", classes=CLASSES[:5]))
    for summary in (five, evaluate(run_folder)):
        assert "top5_error" not in summary.metrics
        assert "calibration_error" in summary.metrics
        assert set(summary.per_seed["top5_error"]) == {None}


def test_conclusions_speak_of_errors_and_images(tmp_path):
    ce = evaluate(write_image_run(tmp_path / "ce", skill=1.0))
    better = evaluate(write_image_run(tmp_path / "msd", "msd", skill=3.0))
    worse = evaluate(write_image_run(tmp_path / "pskd", "pskd", skill=0.0))
    sentences = conclusions(compare_summaries([ce, better, worse]))
    points = 100 * (better.spread("accuracy").mean - ce.spread("accuracy").mean)
    assert f"MSD (run 2) has {points:.2f} percentage points fewer errors than CE (run 1)" in sentences[0]
    assert "4 pairs of seeds, 120 test images" in sentences[0]
    assert "percentage points more errors than CE (run 1)" in sentences[1]
    assert sentences[1].startswith("Self-KD (run 3)")
    assert "clips" not in " ".join(sentences)


def test_images_held_out_for_tuning_are_not_called_test_images(tmp_path):
    summaries = [evaluate(write_image_run(tmp_path / name, data=", held_out: 120")) for name in ("a", "b")]
    (sentence,) = conclusions(compare_summaries(summaries))
    assert "120 held-out images" in sentence
    assert "test images" not in sentence
