"""Cross-validation: every clip is tested once, statistics are those of the training rows, runs are read as others."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from helpers.cli import run_cli
from helpers.data import make_store
from helpers.engine import train_run

from asc_mrkd.config import load_experiment
from asc_mrkd.datasets.splits import fold_numbers
from asc_mrkd.deploy.model_file import load_model
from asc_mrkd.engine.data.samples import open_data
from asc_mrkd.engine.folds import _mean_records
from asc_mrkd.engine.sweeps import sweep
from asc_mrkd.errors import ConfigError, DataError, InterruptedRun, RunError
from asc_mrkd.evaluation import compare, evaluate
from asc_mrkd.report.comparisons import folder_text
from asc_mrkd.runs import RunFolder, find_model, read_metrics, read_predictions
from asc_mrkd.store.layout import FeatureStore, open_store, write_sums

pytestmark = pytest.mark.slow

FOLDS = "data.folds=3"


@pytest.fixture(scope="module")
def cross_validated(tmp_path_factory) -> Path:
    """A run of three folds and two seeds; not to be changed."""
    folder = tmp_path_factory.mktemp("folds")
    make_store(folder / "store")
    values = {
        "data": {"store": str(folder / "store")},
        "model": {"name": "cp_resnet", "options": {"width": 4, "rho": 3, "blocks": [2, 1, 0]}},
        "train": {"epochs": 2, "batch_size": 5, "optimizer": {"lr": 0.05}},
    }
    (folder / "conf.yaml").write_text(yaml.safe_dump(values))
    return train_run(folder / "conf.yaml", folder / "run", FOLDS, seeds=(0, 1))


@pytest.fixture
def store(cross_validated) -> FeatureStore:
    return open_store(cross_validated.parent / "store")


def test_every_clip_is_tested_once_by_a_network_that_has_not_seen_it(cross_validated, store):
    joined = read_predictions(cross_validated / "seed0" / "predictions.csv")
    assert joined.table["filename"].tolist() == sorted(store.clips["filename"])
    parts = [read_predictions(cross_validated / f"fold{fold}" / "seed0" / "predictions.csv") for fold in (1, 2, 3)]
    folds = dict(zip(store.clips["filename"], fold_numbers(store.clips, 3), strict=True))
    for fold, part in enumerate(parts, start=1):
        assert {folds[name] for name in part.table["filename"]} == {fold}
        places = joined.table["filename"].isin(part.table["filename"]).to_numpy()
        assert (joined.probabilities[places] == part.probabilities).all()


def test_no_group_is_divided(store):
    folds = fold_numbers(store.clips, 3)
    assert pd.Series(folds).groupby(store.clips["identifier"]).nunique().max() == 1


def test_the_statistics_are_those_of_the_training_rows_of_the_fold(cross_validated, store):
    folds = fold_numbers(store.clips, 3)
    for fold in (1, 2, 3):
        features = store.features[folds != fold].astype(np.float64)
        model = load_model(cross_validated / f"fold{fold}")
        assert model.mean.ravel() == pytest.approx(features.mean(axis=(0, 1, 3)), abs=1e-4)
        assert model.std.ravel() == pytest.approx(features.std(axis=(0, 1, 3)), rel=1e-3)
    mean, std = store.statistics()
    of_split = store.statistics_of(store.rows("train")["row"].to_numpy())
    assert (of_split[0] == mean).all(), "the same rows give the same bits"
    assert (of_split[1] == std).all()


def test_it_is_evaluated_compared_and_reported_as_any_run(cross_validated, tmp_path, undrawn):
    summary = evaluate(cross_validated)
    assert summary.test_clips == 24
    assert summary.seeds == [0, 1]
    log = read_metrics(cross_validated / "metrics.jsonl")
    losses = [read_metrics(cross_validated / f"fold{fold}" / "metrics.jsonl")["loss"] for fold in (1, 2, 3)]
    assert log["loss"].tolist() == pytest.approx(np.mean(losses, axis=0).tolist())
    assert [row.test is None for row in compare([cross_validated, cross_validated])] == [True, False]
    done = run_cli("report", cross_validated, "--out", tmp_path / "report.html")
    assert done.code == 0, done.err
    assert "cross-validation with 3 folds" in done.out.replace("\n", "")
    assert folder_text(evaluate(cross_validated / "fold2")).endswith("(fold 2 of 3)")


def test_its_card_has_the_joined_figures_and_the_network_of_a_fold(cross_validated):
    card = (cross_validated / "README.md").read_text()
    assert "24 clips in 3 folds; each is for testing once" in card
    assert f"| 1 | {100 * evaluate(cross_validated).per_seed['accuracy'][1]:.2f} |" in card
    assert f"asc-mrkd predict {cross_validated / 'fold1'} " in card
    assert "fold 2 is for testing" in (cross_validated / "fold2" / "README.md").read_text()


def test_it_stands_for_no_single_network(cross_validated):
    with pytest.raises(RunError, match="is a cross-validation") as caught:
        find_model(cross_validated)
    assert str(cross_validated / "fold1") in caught.value.hint
    assert find_model(cross_validated / "fold1").is_file()


def contents(run: Path) -> dict[str, bytes]:
    names = [*run.glob("**/predictions.csv"), *run.glob("**/model.safetensors"), run / "config.yaml"]
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in names}


def test_it_continues_to_the_same_bits_and_is_left_as_it_is_when_finished(cross_validated, tmp_path):
    conf = cross_validated.parent / "conf.yaml"
    out = tmp_path / "run"
    with pytest.raises(InterruptedRun):
        train_run(conf, out, FOLDS, seeds=(0, 1), stop_after=17)
    assert not RunFolder(out).finished_seeds()
    train_run(conf, out, FOLDS, seeds=(0, 1))
    assert contents(out) == contents(cross_validated)
    files = [path for path in out.rglob("*") if path.is_file()]
    written = [path.stat().st_mtime_ns for path in files]
    train_run(conf, out, FOLDS, seeds=(0, 1))
    assert [path.stat().st_mtime_ns for path in files] == written
    (out / "seed0" / "predictions.csv").write_text("damaged")
    train_run(conf, out, FOLDS, seeds=(0, 1))
    assert contents(out) == contents(cross_validated)


def test_folds_of_the_data_are_taken_and_their_number_is_checked(cross_validated, tmp_path):
    make_store(tmp_path / "store")
    table = pd.read_csv(tmp_path / "store" / "clips.csv", keep_default_na=False)
    table["fold"] = ["10" if i % 2 else "9" for i in range(len(table))]
    table.to_csv(tmp_path / "store" / "clips.csv", index=False, lineterminator="\n")
    write_sums(tmp_path / "store")
    conf = cross_validated.parent / "conf.yaml"
    data = [f"data.store={tmp_path / 'store'}"]
    with pytest.raises(DataError, match="3 folds were asked for, but the data have 2: 9, 10") as caught:
        open_data(load_experiment(conf, [*data, "data.folds=3"]).data)
    assert "--folds 2 takes these" in caught.value.hint
    with pytest.raises(ConfigError, match="fold=1 needs folds"):
        load_experiment(conf, ["data.fold=1"])
    samples = open_data(load_experiment(conf, [*data, "data.folds=2", "data.fold=1"]).data).load(torch.device("cpu"))
    assert set(samples.test.table["filename"]) == set(table.loc[table["fold"] == "9", "filename"])


def test_more_folds_than_groups_are_refused(cross_validated):
    with pytest.raises(DataError, match="cannot be dealt out to 900 folds"):
        open_data(load_experiment(cross_validated.parent / "conf.yaml", ["data.folds=900"]).data)


def test_the_verb_takes_the_number_of_folds(cross_validated, tmp_path):
    conf = cross_validated.parent / "conf.yaml"
    done = run_cli("train", conf, "train.epochs=1", "--folds", 2, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert RunFolder(tmp_path / "run").experiment.data.folds == 2
    assert "fold 2 of 2: fold2 seed 0" in done.err.replace("\n", " ")
    budget = "--budget", "dcase2020-task1b"
    again = run_cli("train", conf, "train.epochs=1", "data.folds=2", "--out", tmp_path / "run", *budget)
    assert again.code == 0, again.err


def test_a_sweep_cross_validates_every_point(cross_validated, tmp_path):
    conf = cross_validated.parent / "conf.yaml"
    changes = ["method=ce,label_smoothing", "train.epochs=1", "data.folds=2"]
    points = sweep(conf, changes, tmp_path / "sweep")
    assert [evaluate(point.run).test_clips for point in points] == [24, 24]


def test_skipped_steps_are_those_of_the_mean_fold():
    """A fold logs them where it has skipped some."""
    history = pd.DataFrame({"seed": 0, "epoch": 1, "loss": [1.0, 2.0, 3.0], "skipped_steps": [np.nan, 3.0, np.nan]})
    assert _mean_records(history) == [{"epoch": 1, "loss": 2.0, "skipped_steps": 1.0}]
