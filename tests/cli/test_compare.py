"""asc-mrkd compare, as typed."""

import json

import numpy as np
import pytest
from helpers.cli import run_cli
from scipy import stats

pytestmark = pytest.mark.slow

CLASSES = ("bee", "cat", "dog", "elm", "fox", "oak")


def write_run(folder, skill, method="ce", seeds=range(4), data="{store: exp/store}", mixup=0.0, clips=10):
    """Write a run of ten clips a class, two to a location; `skill` raises the logit of the true class."""
    labels = np.repeat(np.arange(len(CLASSES)), clips)
    for seed in seeds:
        logits = np.random.default_rng(seed).normal(size=(len(labels), len(CLASSES))) + skill * np.eye(6)[labels]
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        lines = [",".join(["filename,label,identifier,source_label,prediction", *CLASSES])]
        for clip, (label, row) in enumerate(zip(labels, probabilities, strict=True)):
            head = f"{clip:03}-lyon-{clip // 2}-a.wav,{CLASSES[label]},lyon-{clip // 2},a,{CLASSES[row.argmax()]}"
            lines.append(",".join([head, *map(repr, row.tolist())]))
        (folder / f"seed{seed}").mkdir(parents=True)
        (folder / f"seed{seed}" / "predictions.csv").write_text("\n".join(lines))
    (folder / "config.yaml").write_text(
        f"data: {data}\nmethod: {method}\naugment: {{mixup: {mixup}}}\ntrain: {{epochs: 2, batch_size: 10}}\n"
        "seeds: [0, 1, 2, 3]\n"
    )
    (folder / "metrics.jsonl").write_text("")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Runs on scenes and on images; the folder is the working directory, 80 columns wide."""
    write_run(tmp_path / "ce", 1.0)
    write_run(tmp_path / "mrkd", 2.0, "mrkd")
    write_run(tmp_path / "mixed", 1.2, "{name: mrkd, variant: no_fcn}", seeds=[1, 2, 3, 4, 5], mixup=0.2)
    write_run(tmp_path / "image-ce", 1.0, data="{images: cifar}")
    write_run(tmp_path / "image-mrkd", 2.0, "mrkd", data="{images: cifar}")
    write_run(tmp_path / "cut", 1.0, "mrkd", clips=9)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def as_json(*arguments):
    code, out, err = run_cli("compare", *arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def accuracies(place, run, seeds):
    """Share of the rows whose second and fifth field are the same, seed by seed."""
    shares = []
    for seed in seeds:
        rows = [line.split(",") for line in (place / run / f"seed{seed}/predictions.csv").read_text().split("\n")[1:]]
        shares.append(np.mean([row[1] == row[4] for row in rows]))
    return np.array(shares)


@pytest.mark.parametrize("option", [[], ["--paired"], ["--welch"]])
def test_tables_fit_into_80_columns(place, option):
    for runs in (["ce", "mrkd", "mixed"], ["image-ce", "image-mrkd"]):
        code, out, err = run_cli("compare", *runs, *option)
        lines = out.splitlines()
        assert (code, err) == (0, "")
        assert max(map(len, lines)) <= 80
        assert "…" not in out
        differences = lines[next(n for n, line in enumerate(lines) if line.startswith("Difference to")) :]
        assert len([line for line in differences if "% (" not in line and line.count(" to ") == 2]) >= len(runs) - 1
        unit = "Images" if runs[0] == "image-ce" else "Locations"
        assert f"Seeds: how steady training is. {unit}: how far the test set carries." in lines


def test_the_numbers_of_welch(place):
    baseline, record = as_json("ce", "mrkd", "--welch")
    theirs, ours = (accuracies(place, run, range(4)) for run in ("ce", "mrkd"))
    expected = stats.ttest_ind(ours, theirs, equal_var=False)
    low, high = expected.confidence_interval(0.95)
    assert record["accuracy"] == {"mean": pytest.approx(ours.mean()), "std": pytest.approx(ours.std(ddof=1))}
    assert (record["baseline"], record["test"], record["paired_seeds"]) == (1, "Welch's t-test", None)
    assert record["difference"] == pytest.approx(ours.mean() - theirs.mean())
    assert record["interval"] == {"low": pytest.approx(low), "high": pytest.approx(high)}
    assert record["p_value"] == pytest.approx(expected.pvalue)
    assert record["effect"] == "Hedges' g"
    assert record["effect_size"] > 1
    assert (record["bootstrap"]["clusters"], record["bootstrap"]["resampled"]) == (30, "locations")
    assert record["bootstrap"]["interval"]["low"] < record["difference"] < record["bootstrap"]["interval"]["high"]
    missing = ("baseline", "test", "difference", "interval", "p_value", "effect_size", "bootstrap")
    assert [baseline[key] for key in missing] == [None] * len(missing)


def test_f1_10_the_same_seeds_are_compared_in_pairs_unless_told_otherwise(place):
    test_of = {tuple(options): as_json("ce", "mrkd", *options)[1] for options in ([], ["--paired"], ["--welch"])}
    assert test_of[()] == test_of["--paired",]
    assert test_of[()]["test"] == "paired t-test"
    assert test_of[()]["difference"] == test_of["--welch",]["difference"]
    assert as_json("ce", "mixed")[1]["test"] == "Welch's t-test", "other seeds"
    assert "confidence" not in test_of[()]
    assert test_of[()]["one_minus_p"] == 1 - test_of[()]["p_value"]


@pytest.mark.parametrize("runs", [["mrkd", "ce"], ["image-ce", "image-mrkd"]])
def test_f1_10_one_difference_is_one_number_with_one_sign_everywhere(place, undrawn, runs):
    """In the tables and the sentences of `compare` and `report`, and on the page."""
    record = as_json(*runs)[1 if runs[0] == "image-ce" else 0]
    direction = -1 if runs[0] == "image-ce" else 1
    ends = sorted(direction * 100 * record["interval"][end] for end in ("low", "high"))
    difference = f"{100 * direction * record['difference']:+.2f}"
    interval = f"{ends[0]:+.2f} to {ends[1]:+.2f}"
    compared = " ".join(run_cli("compare", *runs).out.split())
    reported = " ".join(run_cli("report", *runs, "--out", "page.html").out.split())
    page = (place / "page.html").read_text()
    for text in (compared, reported, page):
        assert difference in text
        assert f"{difference[1:]} percentage points" in text
        assert f"95% interval {interval}" in text
        assert "p: paired t-test over the same seeds, effect size Cohen" in text
    assert json.loads(run_cli("report", *runs, "--out", "page.html", "--json").out) == as_json(*runs)


def test_several_tests_are_named_with_their_runs(place):
    out = run_cli("compare", "ce", "mrkd", "mixed").out
    assert "p of run 2: paired t-test over the same seeds, effect size Cohen's d_z" in out
    assert "p of run 3: Welch's t-test over all seeds, effect size Hedges' g" in out
    assert "p is not corrected for the number of comparisons" in out
    assert "not corrected" not in run_cli("compare", "ce", "mrkd").out, "there is a single one"


def test_the_numbers_of_pairs(place):
    record = as_json("ce", "mixed", "--paired")[1]
    theirs, ours = (accuracies(place, run, [1, 2, 3]) for run in ("ce", "mixed"))
    expected = stats.ttest_rel(ours, theirs)
    assert (record["test"], record["paired_seeds"], record["effect"]) == ("paired t-test", [1, 2, 3], "Cohen's d_z")
    assert record["difference"] == pytest.approx((ours - theirs).mean())
    assert record["p_value"] == pytest.approx(expected.pvalue)
    assert record["effect_size"] == pytest.approx(expected.statistic / np.sqrt(3))
    assert record["warning"] == "fewer than four common seeds: no conclusion"
    assert record["unfinished_seeds"] == [0]


def test_images_are_drawn_one_by_one_and_their_errors_shown(place):
    record = as_json("image-ce", "image-mrkd")[1]
    assert (record["bootstrap"]["clusters"], record["bootstrap"]["resampled"]) == (60, "images")
    assert record["interval"]["low"] > 0, "records speak of accuracy"
    out = run_cli("compare", "image-ce", "image-mrkd").out
    (line,) = [line for line in out.splitlines() if line.startswith("2 ") and " to " in line]
    low, high = (100 * record["interval"][end] for end in ("low", "high"))
    assert f"-{high:.2f} to -{low:.2f}" in line


def test_unfinished_seeds_and_other_samples_are_named(place):
    out = run_cli("compare", "ce", "mixed", "cut").out
    assert "mixed (not finished: seed 0)" in out
    assert "MrKD (run 3) was scored on other test clips than CE (run 1)" in out
    assert as_json("ce", "cut")[1]["warning"] == "other test clips: cannot be compared"


@pytest.mark.parametrize(
    ("command", "message", "hint"),
    [
        ("compare", "Missing argument", "compare -h"),
        ("compare ce", "ce alone has nothing to be compared with", "asc-mrkd evaluate ce"),
        ("compare ce missing", "missing is not a run folder", "asc-mrkd train"),
    ],
)
def test_wrong_usage_is_explained(place, command, message, hint):
    code, out, err = run_cli(*command.split())
    assert (code, out) == (2, "")
    error, advice = err.splitlines()
    assert message in error
    assert hint in advice
