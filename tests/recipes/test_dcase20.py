"""The DCASE 2020 recipe: what differs from that of 2018 by dry runs, and the whole of it once at a tiny size."""

import os
import zipfile
from unittest import mock

import pytest
import torch
from helpers.recipes import RECIPES, dry_run, printed_stages, run_names, run_recipe

from asc_mrkd.budget import check_budget
from asc_mrkd.config import load_experiment
from asc_mrkd.datasets.synthetic import dataset, make_scenes
from asc_mrkd.models import build_model

CONFS = sorted((RECIPES / "dcase20" / "conf").glob("*.yaml"))
NARROW = "model.options={width: 8, blocks: [4, 1, 0]}"
PARAMETERS = {"pruned": 268_166, "decomposed": 18_390}


def test_stages_of_the_official_data(tmp_path):
    lines = dry_run("dcase20", "--data", "official", "--conf", "paper", folder=tmp_path)
    assert "check-data official --spec pmel256" in lines
    assert run_names(lines) == [f"{name}{mixup}" for name in ("ce", "pskd", "msd", "mrkd") for mixup in ("", "_mixup")]
    fitted = "exp/dcase20/official/paper/fitted/mrkd_mixup"
    rest = [line for line in lines if line.split()[0] in ("fit-budget", "compress", "check-budget", "submit")]
    assert rest == [
        f"fit-budget exp/dcase20/official/paper/mrkd_mixup --rule dcase2020-task1b --out {fitted}",
        "compress exp/dcase20/official/paper/mrkd_mixup int8 --rule dcase2020-task1b "
        "--out exp/dcase20/official/paper/int8/mrkd_mixup",
        f"check-budget {fitted} --rule dcase2020-task1b",
        f"submit make {fitted} --task dcase2020-task1b --label Yourname_INST_task1b_1 "
        "--out exp/dcase20/official/submission",
        "submit check exp/dcase20/official/submission --task dcase2020-task1b "
        "--files official/evaluation_setup/fold1_test.csv",
    ]


def test_self_kd_with_mixup_takes_its_teacher_from_the_model(tmp_path):
    lines = dry_run("dcase20", "--method", "pskd,pskd_mixup", "--stage=4", "--stop-stage=4", folder=tmp_path)
    assert ["method.source=model" in line for line in lines] == [False, True]


@pytest.mark.parametrize("conf", CONFS, ids=lambda path: path.stem)
def test_confs_parse_and_build(conf):
    experiment = load_experiment(conf)
    with torch.device("meta"):
        network = build_model(experiment.model.name, 3, **experiment.model.options)
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS.get(conf.stem, 245_958)
    assert f"asc-mrkd train recipes/dcase20/conf/{conf.name}" in conf.read_text(), "it opens with its command"


@pytest.mark.slow
def test_the_whole_recipe_on_a_small_set(few_scenes, tmp_path):
    pytest.importorskip("onnxruntime")

    def link_clips(paths, *arguments, **options):
        """Take the clips from the set of another layout: their sound depends on their name alone."""
        for path in paths:
            path.parent.mkdir(exist_ok=True)
            os.link(few_scenes / "audio" / path.name, path)

    with mock.patch.object(dataset, "make_missing", link_clips):
        data = make_scenes(tmp_path, clips_per_class=2, layout="tau2020-3class")
    out = tmp_path / "out"
    options = ["--data", data, "--conf", "reduced", "--out", out, "--seeds", 0, "--method", "mrkd"]
    done = run_recipe("dcase20", *options, "train.epochs=1", NARROW, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert printed_stages(done.stdout) == list(range(2, 12))
    assert "accepted, 0 errors" in done.stdout.replace("\n", "")
    size = check_budget(out / "reduced/fitted/mrkd").bytes
    assert f"{size:,} bytes" in done.stdout
    assert (out / "reduced/int8/mrkd/seed0/model.onnx").exists()
    [package] = (out / "submission").glob("*.zip")
    with zipfile.ZipFile(package) as archive:
        [meta] = [name for name in archive.namelist() if name.endswith("meta.yaml")]
        assert f"model_size: {size / 1024}\n" in archive.read(meta).decode()
