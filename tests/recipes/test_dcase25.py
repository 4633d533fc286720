"""The DCASE 2025 recipe: who teaches whom by dry runs, and its training to the budget once at a tiny size."""

from unittest import mock

import pytest
from helpers import data
from helpers.engine import train_run
from helpers.recipes import RECIPES, dry_run, printed_stages, run_names, run_recipe

from asc_mrkd.budget import check_budget
from asc_mrkd.config import load_experiment as read_experiment
from asc_mrkd.features import load_spec
from asc_mrkd.methods import load_experiment

CONF = RECIPES / "dcase25" / "conf"


def test_the_teacher_is_trained_first_and_named_to_its_students(tmp_path):
    lines = dry_run("dcase25", "--data", "official", "--out", "exp/x", folder=tmp_path)
    assert run_names(lines)[:5] == ["teacher", "ce", "mrkd", "kd", "kd_mrkd"]
    trained = [line for line in lines if line.startswith("train ")]
    taught = "teacher_files: ['exp/x/reduced/teacher']}"
    assert ["method=" in line for line in trained[:5]] == [False, True, False, True, True]
    assert f"method={{name: kd, {taught} data.store=exp/x/store" in trained[3]
    assert f"method={{name: kd, variant: mrkd, backups: replay, {taught} data.store=exp/x/store" in trained[4]
    small = "exp/x/reduced/float16/kd_mrkd"
    assert run_names(lines)[5:] == ["a", "b", "c", "s1", "s2", "s3"]
    assert all(" train.start=exp/x/reduced/kd_mrkd " in line for line in trained[5:])
    assert lines[-3:-1] == [
        f"compress exp/x/reduced/kd_mrkd float16 --rule dcase2025-task1 --out {small}",
        f"check-budget {small} --rule dcase2025-task1",
    ]


def test_settings_are_for_the_students(tmp_path):
    lines = dry_run("dcase25", "--method", "ce,dml", "--seeds", "0-3", "train.epochs=3", folder=tmp_path)
    trained = [line for line in lines if line.startswith("train ")]
    assert ["train.epochs=3 --seeds 0-3" in line for line in trained] == [False, True, True, True, True]
    assert ["--seeds 0-3 method=ce train.epochs=5 " in line for line in trained] == [False, False, False, True, True]
    assert "make-scenes exp/dcase25/builtin/scenes --layout tau2022-mobile" in lines


def test_the_networks_fit_the_rule_as_they_are():
    student = read_experiment(CONF / "reduced.yaml", ["model.options.base_channels=32"]).model
    assert check_budget("cp_mobile", "dcase2025-task1", precision="float16").bytes == 122_296
    assert (student.name, student.options) == ("cp_mobile", {"base_channels": 32})
    for name in ("reduced", "teacher"):
        conf = CONF / f"{name}.yaml"
        load_experiment(conf)
        assert f"asc-mrkd train recipes/dcase25/conf/{conf.name}" in conf.read_text(), "it opens with its command"


def test_wrong_settings_stop_it_before_the_first_stage(tmp_path):
    for setting, hint in (("train.epohcs=1", "train.epochs"), ("model.options.base_chanels=16", "base_channels")):
        done = run_recipe("dcase25", "--method", "kd_mrkd", "--stop-stage", 1, setting, folder=tmp_path)
        assert done.returncode == 2
        assert done.stderr.splitlines()[1] == f"hint: did you mean '{hint}'?"
    done = run_recipe("dcase25", "--method", "ce_mrkd", "--stop-stage", 1, folder=tmp_path)
    assert "there is no method 'ce_mrkd'" in done.stderr, "only kd_mrkd is one"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_from_a_teacher_to_the_budget_on_a_small_store(tmp_path):
    out = tmp_path / "out"
    with mock.patch.object(data, "SPEC", load_spec("logmel256")):
        data.make_store(out / "store", clips_per_class=4)
    short = "train.epochs=1", "train.batch_size=5"
    narrow = "model.options={in_channels: 1, width: 8, blocks: [1, 0, 0]}"
    train_run(CONF / "teacher.yaml", out / "reduced/teacher", f"data.store={out}/store", narrow, *short)
    options = "--data", "none", "--out", out, "--seeds", "0", "--method", "kd_mrkd", "model.options.base_channels=8"
    printed = ""
    for first, last in ((5, 6), (9, 10)):  # the store has one device
        done = run_recipe("dcase25", *options, *short, "--stage", first, "--stop-stage", last, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        printed += done.stdout
    assert printed_stages(printed) == [5, 6, 9, 10]
    assert printed.count("By device") >= 2
    assert "MACs for 1 x 256 x 65" in printed
