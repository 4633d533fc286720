"""Runs on recordings of several devices: the tables by device and by group of devices, against scikit-learn."""

import json

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from helpers.cli import run_cli

CLASSES = ["bus", "metro", "park", "tram"]
DEVICES = ["a"] * 5 + ["b", "c", "s1", "s2", "s3", "s4", "s5", "s6"]
"""Device a has five times the clips of any other, as its share in the real sets is larger."""
GROUPS = {"real": ["a", "b", "c"], "seen": ["s1", "s2", "s3"], "unseen": ["s4", "s5", "s6"]}
CONFIG = "data: {store: exp/store}\nmethod: ce\ntrain: {epochs: 2, batch_size: 10}\nseeds: [0, 1]\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of two seeds, and its predictions as one table with a column per class."""
    folder = tmp_path_factory.mktemp("devices") / "run"
    tables = []
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        clips = 10 * len(DEVICES)
        probabilities = pd.DataFrame(rng.dirichlet(np.full(4, 0.4), clips), columns=CLASSES)
        device = pd.Series(np.resize(DEVICES, clips))
        label = pd.Series(np.random.default_rng(9).choice(CLASSES, clips))
        identifier = [f"lyon-{clip % 7}" for clip in range(clips)]
        filename = [
            f"audio/{row}-{place}-{clip}-{d}.wav"
            for clip, (row, place, d) in enumerate(zip(label, identifier, device, strict=True))
        ]
        table = pd.DataFrame({"filename": filename, "label": label, "identifier": identifier, "source_label": device})
        table = pd.concat([table.assign(prediction=probabilities.idxmax(axis=1)), probabilities], axis=1)
        (folder / f"seed{seed}").mkdir(parents=True)
        table.to_csv(folder / f"seed{seed}" / "predictions.csv", index=False)
        tables.append(table)
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "metrics.jsonl").write_text("")
    return folder, pd.concat(tables)


def expected(clips):
    """Clips of one seed, accuracy and log loss of some rows, pooled over the two seeds, as scikit-learn has them."""
    loss = sklearn.metrics.log_loss(clips["label"], clips[CLASSES], labels=CLASSES)
    return len(clips) // 2, sklearn.metrics.accuracy_score(clips["label"], clips["prediction"]), loss


def test_devices_and_their_groups_are_pooled_over_clips(run):
    folder, table = run
    code, out, _ = run_cli("evaluate", folder, "--json")
    assert code == 0
    for record in (json.loads(out), json.loads((folder / "evaluation.json").read_text())):
        by_device = {row["device"]: row for row in record["by_device"]}
        by_group = {row["device_group"]: row for row in record["by_device_group"]}
        assert list(by_device) == ["a", "b", "c", "s1", "s2", "s3", "s4", "s5", "s6"]
        assert list(by_group) == list(GROUPS)
        wanted = [(by_device[device], [device]) for device in by_device]
        for row, devices in wanted + [(by_group[group], devices) for group, devices in GROUPS.items()]:
            figures = expected(table[table["source_label"].isin(devices)])
            assert (row["clips"], row["accuracy"], row["log_loss"]) == pytest.approx(figures, rel=1e-9)


def test_macro_accuracy_and_log_loss_are_those_of_scikit_learn(run):
    folder, table = run
    record = json.loads(run_cli("evaluate", folder, "--json").out)
    half = len(table) // 2
    for seed, clips in enumerate((table[:half], table[half:])):
        figures = record["per_seed"][seed]
        balanced = sklearn.metrics.balanced_accuracy_score(clips["label"], clips["prediction"])
        assert figures["macro_accuracy"] == pytest.approx(balanced)
        assert (figures["accuracy"], figures["log_loss"]) == pytest.approx(expected(pd.concat([clips, clips]))[1:])
    assert record["macro_accuracy"]["mean"] != pytest.approx(record["accuracy"]["mean"], abs=1e-4)


def test_both_tables_are_shown(run):
    lines = run_cli("evaluate", run[0]).out.splitlines()
    for title, groups in (("By device", ["a", "s6"]), ("By device group", GROUPS)):
        start = next(number for number, line in enumerate(lines) if line.strip() == title)
        shown = " ".join(lines[start : start + 16]).split()
        assert set(groups) <= set(shown)


def test_an_unknown_device_is_in_no_group(run, tmp_path):
    (tmp_path / "seed0").mkdir()
    text = (run[0] / "seed0" / "predictions.csv").read_text()
    (tmp_path / "seed0" / "predictions.csv").write_text(text.replace(",s6,", ",phone,"))
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "metrics.jsonl").write_text("")
    record = json.loads(run_cli("evaluate", tmp_path, "--json").out)
    assert {row["device_group"]: row["clips"] for row in record["by_device_group"]}["other"] == 10
