"""The DCASE 2018 recipe: its options by dry runs, and the whole of it once at a tiny size."""

import os
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from asc_mrkd.config import load_experiment
from asc_mrkd.models import build_model

RECIPE = Path(__file__).parents[2] / "recipes" / "dcase18"
CONFS = sorted(RECIPE.glob("conf/*.yaml"))
VERBS = ["make-scenes", "check-data", "extract-features", "train", "evaluate", "check-budget", "submit make"]
VERBS += ["submit check", "report"]


def verbs(lines: list[str]) -> list[str]:
    """Return the verbs of the commands, each once."""
    return list(dict.fromkeys(next(verb for verb in VERBS if line.startswith(verb)) for line in lines))


def test_list_names_every_stage_and_runs_none(recipe, tmp_path):
    done = recipe("--list", folder=tmp_path)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == [str(n) for n in range(1, len(VERBS) + 1)]
    assert not list(tmp_path.iterdir())


def test_help_shows_the_options(recipe, tmp_path):
    done = recipe("--help", folder=tmp_path)
    assert done.returncode == 0
    assert all(option in done.stdout for option in ("--data", "--stage", "--method", "--seeds", "--dry-run"))


def test_dry_run_prints_every_stage(dry_run, tmp_path):
    assert verbs(dry_run(folder=tmp_path)) == VERBS
    assert verbs(dry_run("--data", "official", folder=tmp_path)) == VERBS[1:]


def test_without_data_it_says_so_in_one_line(recipe, tmp_path):
    assert recipe("--dry-run", folder=tmp_path).stdout.startswith("no --data: every stage runs on built-in scenes")
    assert "no --data" not in recipe("--dry-run", "--data", "official", folder=tmp_path).stdout


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (["--stage", "4"], VERBS[3:]),
        (["--stop-stage", "2"], VERBS[:2]),
        (["--stage=3", "--stop-stage=5"], VERBS[2:5]),
        (["--stage", "9"], VERBS[8:]),
        (["--stage", "99"], []),
    ],
)
def test_stages_are_chosen(dry_run, tmp_path, options, chosen):
    assert verbs(dry_run(*options, folder=tmp_path)) == chosen


def test_both_ways_to_write_an_option(dry_run, tmp_path):
    options = {"--out": "here", "--seeds": "0-1", "--method": "ce", "--label": "A_B_task1a_2", "--conf": "paper"}
    joined = dry_run(*(f"{name}={value}" for name, value in options.items()), folder=tmp_path)
    assert joined == dry_run(*(word for option in options.items() for word in option), folder=tmp_path)
    assert any("here/paper/ce --seeds 0-1" in line for line in joined)
    assert any("--label A_B_task1a_2" in line for line in joined)


def test_overrides_come_after_the_changes_of_the_method(dry_run, tmp_path):
    methods = "ce,ce_mixup,mrkd,mrkd_mixup"
    options = "--method", methods, "--stage=4", "--stop-stage=4", "augment.mixup=0.7", "train.epochs=3"
    lines = dry_run(*options, folder=tmp_path)
    assert [line.split(" --out ")[1].rpartition("/")[2] for line in lines] == methods.split(",")
    assert all(" augment.mixup=0.7 train.epochs=3 --out " in line for line in lines)
    assert [" method=ce " in line for line in lines] == [True, True, False, False]
    assert [" augment.mixup=0 " in line for line in lines] == [True, False, True, False]


def test_official_data_and_evaluation_set(dry_run, tmp_path):
    lines = dry_run("--data", "my data/official", "--evaluation", "my data/evaluation", folder=tmp_path)
    assert "check-data my data/official" in lines
    assert any(line.startswith("submit make") and line.endswith("--audio my data/evaluation") for line in lines)
    assert any(line.startswith("submit check") and "--files" not in line for line in lines)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stgae", "2"], "unknown option --stgae"),
        (["--method", "mrdk"], "there is no method 'mrdk'"),
        (["--conf", "papr"], "there is no conf/papr.yaml"),
        (["--seeds"], "option --seeds needs a value"),
        (["--stage", "two"], "take a number"),
        (["train"], "what is 'train'?"),
    ],
)
def test_wrong_options_stop_it(recipe, tmp_path, options, message):
    done = recipe(*options, folder=tmp_path)
    assert done.returncode == 2
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert hint.startswith("hint: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("conf", CONFS, ids=lambda path: path.stem)
def test_confs_parse_and_build(conf):
    experiment = load_experiment(conf)
    with torch.device("meta"):
        network = build_model(experiment.model.name, 10, **experiment.model.options)
    parameters = sum(p.numel() for p in network.parameters())
    assert parameters == {"reduced": 27_028}.get(conf.stem, 3_566_612)
    assert f"asc-mrkd train recipes/dcase18/conf/{conf.name}" in conf.read_text(), "it opens with its command"


@pytest.mark.slow
def test_the_whole_recipe_on_built_in_scenes(recipe, built_in_scenes, tmp_path):
    out = tmp_path / "a b" / "out"
    scenes = shutil.copytree(built_in_scenes, out / "scenes" / built_in_scenes.name, copy_function=os.link)
    for path in list(scenes.glob("audio/*.wav"))[:5]:  # stage 1 makes what is missing
        path.unlink()
    options = "--out", out, "--method", "ce,mrkd", "--seeds", "0", "train.epochs=1"
    done = recipe(*options, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split()[2] for line in done.stdout.splitlines() if line.startswith("== stage")] == [
        f"{number}:" for number in range(1, 10)
    ]
    assert "accepted, 0 errors" in done.stdout.replace("\n", "")
    table = done.stdout.rpartition("== stage 9")[2]
    assert "CE" in table
    assert "MrKD" in table
    assert "</html>" in (out / "report.html").read_text()
    [package] = (out / "submission").glob("*.zip")
    with zipfile.ZipFile(package) as archive:
        assert len(archive.namelist()) == 2

    products = [*out.glob("scenes/**/*.wav"), *out.glob("store/*"), *out.glob("reduced/*/seed0/*")]
    assert len(products) == 120 + 4 + 2 * 3
    before = [path.stat().st_mtime_ns for path in products]
    again = recipe(*options, "--method", "mrkd", "--stop-stage", 4, folder=tmp_path)
    assert again.returncode == 0, again.stderr
    assert [path.stat().st_mtime_ns for path in products] == before
