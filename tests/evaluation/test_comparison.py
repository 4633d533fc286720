"""Runs against their baseline: the seeds that are paired, the samples that are drawn, and the words about both."""

import json

import numpy as np
import pandas as pd
import pytest
from helpers.runs import write_answers
from scipy import stats

from asc_mrkd.config.domain import SCENES
from asc_mrkd.evaluation import SMALL_TEST_SET, cluster_bootstrap, compare_summaries, conclusions, evaluate
from asc_mrkd.report import difference_records
from asc_mrkd.report.comparisons import run_table


def answers(rng, share, seeds=4, clips=60):
    """Draw which clips each seed has right."""
    return (rng.random((seeds, clips)) < share).astype(int)


@pytest.fixture
def tables():
    """Answers of a baseline and of a better run, 60 clips in 12 locations."""
    rng = np.random.default_rng(0)
    return answers(rng, 0.5), answers(rng, 0.75), [f"lyon-{clip // 5:02}" for clip in range(60)]


def test_paired_runs_are_compared_over_the_seeds_of_both(tmp_path, tables):
    theirs, ours, _ = tables
    ce = write_answers(tmp_path / "ce", theirs, seeds=[3, 2, 1, 0])
    mrkd = write_answers(tmp_path / "mrkd", ours, "mrkd", seeds=[2, 3, 0, 9])
    row = compare_summaries([ce, mrkd], paired=True)[1]
    differences = ours[[2, 0, 1]].mean(axis=1) - theirs[[3, 1, 0]].mean(axis=1)  # seeds 0, 2, 3
    assert row.test.seeds == (0, 2, 3)
    assert row.test.difference == pytest.approx(differences.mean())
    assert row.test.p_value == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    (text,) = conclusions([compare_summaries([ce, mrkd])[0], row])
    assert "3 pairs of seeds (0, 2, 3; others have no partner), 60 test clips, paired t-test p" in text
    assert f"Cohen's d_z {differences.mean() / differences.std(ddof=1):.2f}. Fewer than four common seeds" in text


def test_pairs_find_what_the_seeds_alone_hide(tmp_path):
    """Four seeds, good and bad for both runs alike; ours has one or two clips more."""
    good = np.array([20, 30, 40, 50])
    theirs = np.arange(60) < good[:, None]
    ours = np.arange(60) < good[:, None] + np.array([1, 2, 1, 2])[:, None]
    summaries = [write_answers(tmp_path / "ce", theirs), write_answers(tmp_path / "mrkd", ours, "mrkd")]
    welch, paired = (compare_summaries(summaries, paired)[1].test for paired in (False, True))
    assert welch.difference == pytest.approx(paired.difference)
    assert paired.p_value < 0.05 < 0.5 < welch.p_value
    (text,) = conclusions(compare_summaries(summaries, paired=True))
    assert "4 pairs of seeds, 60 test clips" in text
    assert "At the 5% level this is significant." in text


def test_too_few_pairs_are_said(tmp_path, tables):
    theirs, ours, _ = tables
    summaries = [
        write_answers(tmp_path / "ce", theirs),
        write_answers(tmp_path / "mrkd", ours, "mrkd", seeds=[3, 4, 5, 6]),
    ]
    (text,) = conclusions(compare_summaries(summaries, paired=True))
    assert "4 against 4 seeds, 60 test clips. Only one common seed: no paired test possible." in text
    assert "significant" not in text


def test_locations_are_drawn_and_the_seeds_averaged(tmp_path, tables):
    theirs, ours, locations = tables
    summaries = [
        write_answers(tmp_path / name, table, name, locations=locations)
        for name, table in [("ce", theirs), ("mrkd", ours)]
    ]
    row = compare_summaries(summaries)[1]
    differences = ours.mean(axis=0) - theirs.mean(axis=0)
    assert row.bootstrap == cluster_bootstrap(differences, np.repeat(np.arange(12), 5))
    assert (row.bootstrap.clusters, row.resampled) == (12, "locations")
    assert row.bootstrap != cluster_bootstrap(differences, np.arange(60))


def test_clips_without_a_location_are_drawn_by_themselves(tmp_path, tables):
    theirs, ours, locations = tables
    none = compare_summaries([write_answers(tmp_path / "ce", theirs), write_answers(tmp_path / "mrkd", ours, "mrkd")])[
        1
    ]
    assert (none.bootstrap.clusters, none.resampled) == (60, "clips")
    half = [*locations[:30], *[""] * 30]
    some = compare_summaries(
        [write_answers(tmp_path / f"{name}2", theirs, name, locations=half) for name in ("ce", "mrkd")]
    )[1]
    assert (some.bootstrap.clusters, some.resampled) == (6 + 30, "locations")


def test_groups_of_own_recordings_are_called_so(tmp_path, tables):
    theirs, ours, _ = tables
    groups = [f"bird {clip // 5}" for clip in range(60)]
    tables_by_name = {"ce": theirs, "mrkd": ours}
    rows = compare_summaries(
        [write_answers(tmp_path / name, table, name, locations=groups) for name, table in tables_by_name.items()]
    )
    assert rows[1].resampled == "groups"
    (text,) = conclusions(rows)
    assert "Bootstrap over 12 groups: " in text


def test_groups_that_are_written_like_city_and_location_are_groups():
    clips = pd.DataFrame({"filename": ["a/x.wav", "b/y.wav"], "identifier": ["house-1", "house-2"]})
    assert SCENES.groups["group"](clips).tolist() == ["house-1", "house-2"]
    assert SCENES.groups["city"](clips).tolist() == ["", ""]
    official = clips.assign(filename=["audio/bus-house-1-0-a.wav", "audio/tram-house-2-7-a.wav"])
    assert SCENES.groups["group"](official).tolist() == ["", ""]
    assert SCENES.groups["city"](official).tolist() == ["house", "house"]


def test_equal_runs_have_the_same_accuracy(tmp_path, tables):
    theirs, _, _ = tables
    summaries = [write_answers(tmp_path / name, theirs, name) for name in ("ce", "mrkd")]
    (text,) = conclusions(compare_summaries(summaries))
    assert text.startswith("MrKD (run 2) and CE (run 1) have the same accuracy: 4 pairs of seeds, 60 test clips.")
    assert text.endswith("Bootstrap over 60 clips: 95% interval +0.00 to +0.00.")


def test_settings_that_differ_besides_the_method_are_named(tmp_path, tables):
    theirs, ours, _ = tables
    summaries = [write_answers(tmp_path / "ce", theirs), write_answers(tmp_path / "mrkd", ours, "mrkd")]
    (text,) = conclusions(compare_summaries(summaries))
    assert "Besides the method" not in text
    config = tmp_path / "mrkd/config.yaml"
    config.write_text(config.read_text().replace("epochs: 2", "epochs: 3, optimizer: {name: adam}"))
    rows = compare_summaries([summaries[0], evaluate(tmp_path / "mrkd")])
    (text,) = conclusions(rows)
    differing = [record["differing_settings"] for record in difference_records(rows)]
    assert differing == [[], ["train.epochs", "train.optimizer.name"]]
    assert "Besides the method, the runs differ in train.epochs, train.optimizer.name." in text


@pytest.mark.parametrize("size", [SMALL_TEST_SET - 1, SMALL_TEST_SET])
def test_large_test_sets_are_not_drawn_anew(tmp_path, size):
    table = np.eye(2, size)
    alone = compare_summaries(
        [write_answers(tmp_path / "ce", table), write_answers(tmp_path / "mrkd", 1 - table, "mrkd")]
    )[1]
    assert (alone.bootstrap is None) == (size == SMALL_TEST_SET)
    locations = [f"lyon-{clip % 9}" for clip in range(size)]
    few = compare_summaries(
        [write_answers(tmp_path / f"{name}2", table, name, locations=locations) for name in ("ce", "mrkd")]
    )[1]
    assert few.bootstrap.clusters == 9, "many clips of few locations are a small test set"


def test_f1_10_the_sentence_has_the_sign_of_the_table(tmp_path, tables):
    theirs, ours, locations = tables
    runs = {
        name: write_answers(tmp_path / name, table, name, locations=locations)
        for name, table in [("ce", ours), ("mrkd", theirs)]
    }
    rows = compare_summaries(list(runs.values()), paired=False)
    row = rows[1]
    (text,) = conclusions(rows)
    low, high = stats.ttest_ind(theirs.mean(1), ours.mean(1), equal_var=False).confidence_interval()
    assert row.test.difference < high < 0
    assert f"below CE (run 1) in accuracy (95% interval {100 * low:+.2f} to {100 * high:+.2f})" in text
    assert f"Hedges' g {-row.test.effect_size:.2f}." in text
    drawn = row.bootstrap.interval
    assert f"Bootstrap over 12 locations: 95% interval {100 * drawn.low:+.2f} to {100 * drawn.high:+.2f}." in text


def test_steady_seeds_on_few_clips_leave_the_doubt_of_the_test_set(tmp_path):
    """Every seed is right on two to four clips more: the seeds agree, twenty clips can hardly tell."""
    theirs = np.tile([1] * 10 + [0] * 10, (4, 1))
    ours = np.tile([1] * 6 + [0] * 4 + [1] * 7 + [0] * 3, (4, 1))
    ours[0, -1] = ours[1, 9] = 1
    (text,) = conclusions(
        compare_summaries([write_answers(tmp_path / "ce", theirs), write_answers(tmp_path / "mrkd", ours, "mrkd")])
    )
    assert "this is significant" in text
    assert text.endswith(", the test set alone may explain it.")


def test_a_row_says_why_nothing_can_be_concluded(tmp_path, tables):
    theirs, ours, _ = tables
    rows = compare_summaries(
        [
            write_answers(tmp_path / "ce", theirs),
            write_answers(tmp_path / "few", ours[:3], "mrkd"),
            write_answers(tmp_path / "cut", ours[:, 1:], "mrkd"),
        ]
    )
    assert [row.warning for row in rows] == [
        "",
        "fewer than four seeds: no conclusion",
        "other test clips: cannot be compared",
    ]
    assert rows[2].bootstrap is None


def test_a_compressed_run_is_said_to_be_one(tmp_path, tables):
    """Its method, its settings and its log are those of the run that was compressed."""
    theirs, ours, _ = tables
    summaries = [write_answers(tmp_path / "ce", theirs), write_answers(tmp_path / "small", ours)]
    for seed in summaries[1].seeds:
        record = json.dumps({"steps": ["prune:amount=0.5", "float16"]})
        (tmp_path / f"small/seed{seed}/compression.json").write_text(record)
    rows = compare_summaries([summaries[0], evaluate(tmp_path / "small")])
    (text,) = conclusions(rows)
    assert "Besides the method, the runs differ in compression." in text
    assert run_table([row.summary for row in rows]).notes[1].endswith("small (compressed by prune:amount=0.5, float16)")
    assert [record["compression"] for record in difference_records(rows)] == [[], ["prune:amount=0.5", "float16"]]


@pytest.mark.parametrize("count", [19, 20])
def test_a_bootstrap_over_few_locations_is_said_to_be_too_narrow(tmp_path, tables, count):
    theirs, ours, _ = tables
    locations = [f"lyon-{clip % count:02}" for clip in range(60)]
    summaries = [
        write_answers(tmp_path / name, table, name, locations=locations)
        for name, table in (("ce", theirs), ("mrkd", ours))
    ]
    (text,) = conclusions(compare_summaries(summaries))
    assert text.endswith(" With so few locations the interval is too narrow.") == (count < 20)
