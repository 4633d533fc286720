"""The summary of a run: tables over seeds, classes, cities and devices."""

import math

import numpy as np
import pytest

from asc_mrkd.errors import RunError
from asc_mrkd.evaluation import compare_summaries, conclusions, evaluate


def copy_seed(run_folder, seed, replace=("", "")):
    (run_folder / f"seed{seed}").mkdir()
    text = (run_folder / "seed0" / "predictions.csv").read_text()
    assert replace[0] in text
    (run_folder / f"seed{seed}" / "predictions.csv").write_text(text.replace(*replace))


def other_run(run_folder, name, method, mixup, seeds=1):
    folder = run_folder.parent / name
    for seed in range(seeds):
        (folder / f"seed{seed}").mkdir(parents=True)
        text = (run_folder / "seed0" / "predictions.csv").read_text()
        (folder / f"seed{seed}" / "predictions.csv").write_text(text)
    settings = (run_folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(settings.replace("mrkd", method).replace("0.2", str(mixup)))
    (folder / "metrics.jsonl").write_text("")
    return folder


def test_summary_of_one_seed(run_folder):
    summary = evaluate(run_folder)
    assert (summary.name, summary.method) == ("run", "MrKD + Mixup")
    assert (summary.seeds, summary.unfinished_seeds, summary.test_clips) == ([0], [1], 5)
    assert summary.spread("accuracy").mean == pytest.approx(0.6)
    assert summary.spread("accuracy").std is None
    assert summary.best_epoch(0) == (1, 0.8)
    assert summary.best_epoch(1) is None
    accuracy = "Spread(mean=0.6, std=None)"
    assert repr(summary) == f"RunSummary('{run_folder}', MrKD + Mixup, seeds=[0], accuracy={accuracy})"


def test_the_log_of_a_summary_is_that_of_its_seeds(run_folder):
    """The curves of a seed that is still trained would bend the mean over the seeds in the tables."""
    (run_folder / "metrics.jsonl").write_text(
        '{"seed": 1, "epoch": 1, "loss": 9.0}\n{"seed": 0, "epoch": 1, "loss": 1.0}\n'
        '{"seed": 0, "epoch": 2, "loss": 0.5}\n'
    )
    assert evaluate(run_folder).history[["seed", "epoch", "loss"]].values.tolist() == [[0, 1, 1.0], [0, 2, 0.5]]


def test_seeds_are_pooled(run_folder):
    wrong = ("park,0.0,1.0,0.0", "tram,0.0,0.0,1.0")
    copy_seed(run_folder, 1, wrong)
    copy_seed(run_folder, 10, wrong)
    copy_seed(run_folder, "0.old", wrong)
    summary = evaluate(run_folder)
    assert summary.seeds == [0, 1, 10]
    assert summary.unfinished_seeds == []
    assert summary.per_seed["accuracy"].tolist() == pytest.approx([0.6, 0.4, 0.4])
    assert summary.spread("accuracy").std == pytest.approx(math.sqrt(0.04 / 3))
    by_class = summary.by("label")
    assert by_class.loc["park", "clips"] == 1
    assert by_class.loc["park", "accuracy"] == pytest.approx(1 / 3)
    assert by_class["clips"].sum() == summary.test_clips == 5
    assert summary.confusion.sum() == 15
    assert summary.confusion[1].tolist() == [0, 1, 2]
    assert np.trace(summary.confusion) == 3 + 2 + 2


@pytest.mark.parametrize("change", [("lyon-4-a.wav", "lyon-9-a.wav"), (",park,lyon", ",bus,lyon"), ("park", "pork")])
def test_seeds_scored_on_different_clips_are_refused(run_folder, change):
    copy_seed(run_folder, 1, change)
    with pytest.raises(RunError, match="seed1") as caught:
        evaluate(run_folder)
    assert caught.value.hint


@pytest.mark.parametrize("missing", ["config.yaml", "metrics.jsonl", "seed0/predictions.csv"])
def test_an_incomplete_run_folder_is_an_error_with_a_hint(run_folder, missing):
    (run_folder / missing).unlink()
    with pytest.raises(RunError) as caught:
        evaluate(run_folder)
    assert caught.value.hint


def test_every_run_is_compared_with_the_ce_run_that_uses_mixup_as_it_does(run_folder):
    folders = [
        other_run(run_folder, "mrkd", "mrkd", 0.0),
        other_run(run_folder, "ce", "ce", 0.0),
        other_run(run_folder, "ce-mixup", "ce", 0.2),
        run_folder,
        other_run(run_folder, "strong", "mrkd", 0.4),
    ]
    rows = compare_summaries([evaluate(folder) for folder in folders])
    assert [row.baseline for row in rows] == [2, None, 2, 3, 2]


def test_without_ce_the_first_run_is_the_baseline(run_folder):
    summaries = [evaluate(run_folder), evaluate(other_run(run_folder, "b", "mrkd", 0.0))]
    assert [row.baseline for row in compare_summaries(summaries)] == [None, 1]


def test_conclusions_claim_no_more_than_the_seeds_support(run_folder):
    alone = compare_summaries([evaluate(run_folder)])
    assert "nothing to compare" in conclusions(alone)[0]

    baseline = evaluate(other_run(run_folder, "ce", "ce", 0.0))
    (sentence,) = conclusions(compare_summaries([baseline, evaluate(run_folder)]))
    assert "single seed: no test possible" in sentence
    assert "significant" not in sentence


def test_runs_on_other_test_clips_are_not_compared(run_folder):
    folder = other_run(run_folder, "ce", "ce", 0.0)
    path = folder / "seed0" / "predictions.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    rows = compare_summaries([evaluate(folder), evaluate(run_folder)])
    assert rows[1].test is None
    assert "cannot be compared" in conclusions(rows)[0]
