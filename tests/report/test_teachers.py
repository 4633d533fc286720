"""The picture of the teachers, read back, and where the page shows it."""

import json

import pytest
from helpers.runs import write_run

from asc_mrkd.config import load_experiment
from asc_mrkd.engine.training import train
from asc_mrkd.evaluation import evaluate
from asc_mrkd.report import write_report
from asc_mrkd.report.plots import PANELS, has_teachers, panel_curves, teachers_figure


@pytest.fixture
def taught(tmp_path):
    """A run of two seeds whose log reports two backups in every second epoch, from the fourth on."""
    folder = write_run(tmp_path / "mrkd", method="mrkd", seeds=2, epochs=8)
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for record in records:
        if record["epoch"] >= 4 and record["epoch"] % 2 == 0:
            share = record["epoch"] / 10 + 0.1 * record["seed"]
            record |= {"teacher_accuracy_1": share, "teacher_accuracy_2": share / 2, "teacher_divergence": 0.25}
            record |= {"teacher_disagreement_1": 1 - share, "kd": share, "teacher_age_1": 5.0}
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def test_curves_are_means_over_the_seeds_of_what_is_logged(taught):
    summary = evaluate(taught)
    panels = dict(zip([panel.title for panel in PANELS], teachers_figure(summary).axes, strict=True))
    accuracy = {line.get_label(): line for line in panels["Accuracy on the training batches (%)"].lines}
    assert list(accuracy) == ["student", "backup 1", "backup 2"]
    assert accuracy["backup 1"].get_xdata().tolist() == [4, 6, 8]
    assert accuracy["backup 1"].get_ydata() == pytest.approx([45, 65, 85])
    assert accuracy["backup 2"].get_ydata() == pytest.approx([22.5, 32.5, 42.5])
    (divergence,) = panels["Entropy and divergence (nats)"].lines
    assert divergence.get_ydata() == pytest.approx([0.25] * 3)
    assert not panels["Standard deviation of the ensemble's logits"].lines  # plain MrKD has no ensemble


def test_every_figure_that_mrkd_logs_is_drawn(image_conf, tmp_path):
    train(load_experiment(image_conf, ["method.interval=3"]), tmp_path / "run", [0])
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    logged = {name for line in lines for name in json.loads(line)}
    usual = {"seed", "epoch", "epochs", "step", "lr", "loss", "ce", "seconds", "samples_per_second"}
    usual |= {"test_accuracy", "test_log_loss"}
    drawn = {column for panel in PANELS for _, column in panel_curves(panel, dict.fromkeys(logged))}
    assert drawn == logged - usual


@pytest.mark.slow
def test_the_page_shows_it_for_runs_with_teachers(taught, undrawn, tmp_path):
    plain = write_run(tmp_path / "ce")
    assert has_teachers(evaluate(taught))
    assert not has_teachers(evaluate(plain))
    write_report([plain, taught], tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().count("<summary>Teachers</summary>") == 1
