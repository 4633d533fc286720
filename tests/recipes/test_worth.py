"""tools/worth.py: the table of a sweep over methods, and its corrected p-values; and the script that fills it."""

import pandas as pd
import pytest
from helpers.recipes import ROOT, printed_commands, run_script
from scipy import stats

from asc_mrkd.engine.sweeps import sweep
from asc_mrkd.evaluation import evaluate


@pytest.fixture
def worth(monkeypatch):
    """The module tools/worth.py."""
    monkeypatch.syspath_prepend(ROOT / "tools")
    import worth

    return worth


def test_p_values_are_multiplied_by_their_rank_from_the_largest_and_never_fall(worth):
    assert worth.holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert worth.holm([0.04, None, 0.001]) == pytest.approx([0.04, None, 0.002])


def test_the_table_of_a_sweep(worth, image_conf, tmp_path, monkeypatch, capsys):
    methods = "method=ce,label_smoothing,{name: mrkd, interval: 2, teachers: replay}"
    points = sweep(image_conf, [methods, "train.epochs=3"], tmp_path / "sweep", [0, 1, 2])
    monkeypatch.setattr("sys.argv", ["worth.py", str(tmp_path / "sweep")])
    worth.main()
    lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    table = pd.DataFrame(lines[1:], columns=["method", "seeds", "train", "accuracy", "p", "loss", "p_loss", "ece"])
    assert table["method"].tolist()[0] == "ce"
    assert set(table["method"]) == {"ce", "label_smoothing", "mrkd replay"}
    runs = {point.experiment.method.name: evaluate(point.run.path).per_seed for point in points}
    p = [stats.ttest_rel(runs[name]["log_loss"], runs["ce"]["log_loss"]).pvalue for name in ("label_smoothing", "mrkd")]
    expected = dict(zip(("label_smoothing", "mrkd replay"), worth.holm(p), strict=True))
    found = table.set_index("method")["p_loss"].drop("ce")
    assert found.to_dict() == {name: f"{value:.3f}" for name, value in expected.items()}


def test_the_script_for_laptops_trains_all_methods_in_two_lengths(tmp_path):
    done = run_script(ROOT / "tools" / "evidence.sh", "--laptop", "--dry-run", "--seeds", "0", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    sweeps = [line for line in printed_commands(done.stdout) if line.startswith("sweep")]
    assert [word for line in sweeps[:2] for word in line.split() if "epochs" in word] == [
        "train.epochs=25",
        "train.epochs=100",
    ]
    assert all("--seeds 0" in line for line in sweeps)
    assert ["teachers: replay" in line for line in sweeps] == [True, True, True, False]
    assert ["data.held_out" in line for line in sweeps] == [False, False, True, True]
    assert not list(tmp_path.iterdir())


def test_clips_are_trained_too_where_a_table_is_given(tmp_path):
    options = "--laptop", "--dry-run", "--clips", "clips.csv", "--stage", "7"
    done = run_script(ROOT / "tools" / "evidence.sh", *options, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    recipe, table = [line for line in done.stdout.splitlines() if line.startswith("+ ")]
    assert "recipes/own/run.sh --data clips.csv --group-column src_file --fold-column none --folds 4" in recipe
    assert table.endswith("tools/worth.py exp/laptop/clips")
