"""The image recipes: their options by dry runs, their experiments, and one of them as a whole at a tiny size."""

import pytest
import torch
from helpers.datasets import make_noise_images
from helpers.recipes import RECIPES, dry_run, modification_times, run_names, run_recipe

from asc_mrkd.config import load_experiment
from asc_mrkd.methods import METHODS
from asc_mrkd.models import build_model

NAMES = ["cifar10", "cifar100", "cinic10"]
VERBS = ["make-images", "check-data", "train", "evaluate", "report"]


def verbs(lines: list[str]) -> list[str]:
    """Return the verbs of the commands, each once."""
    return list(dict.fromkeys(line.split()[0] for line in lines))


@pytest.mark.parametrize("name", NAMES)
def test_every_stage_is_one_verb(tmp_path, name):
    assert verbs(dry_run(name, folder=tmp_path)) == VERBS
    assert verbs(dry_run(name, "--data", "my data", folder=tmp_path)) == VERBS[1:]
    listed = run_recipe(name, "--list", folder=tmp_path)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list("12345")
    shown = run_recipe(name, "-h", folder=tmp_path).stdout
    assert f"bash recipes/{name}/run.sh" in shown
    assert all(option in shown for option in ("--data", "--conf", "--method", "--stage", "--seeds"))


def test_methods_settings_and_seeds_are_passed_on(tmp_path):
    stage = "--stage=3", "--stop-stage=3"
    options = [
        "--conf",
        "paper",
        "--seeds",
        "0-1",
        "--data",
        "my data",
        *stage,
        "model.name=wrn_16_8",
        "train.epochs=7",
    ]
    lines = dry_run("cifar10", *options, folder=tmp_path)
    assert run_names(lines) == ["ce", "pskd", "msd", "mrkd"]
    assert ["method=" in line for line in lines] == [True, True, True, False]
    assert all("conf/paper.yaml" in line and " data.images=my data " in line for line in lines)
    assert all(" model.name=wrn_16_8 train.epochs=7 --seeds 0-1 --out " in line for line in lines)


def test_every_method_of_the_toolkit_is_taken(tmp_path):
    mixup = ["pskd_mixup", "mrkd_mixup"]
    for name, stage, runs in (("cifar10", "3", list(METHODS)), ("dcase18", "4", [*METHODS, *mixup])):
        stages = "--stage", stage, "--stop-stage", stage
        lines = dry_run(name, "--data", "my data", "--method", ",".join(runs), *stages, folder=tmp_path)
        assert run_names(lines) == runs
    assert "method=pskd data.store=exp/dcase18/official/store method.source=model --out" in lines[-2]
    assert "augment.mixup=0" in lines[0]
    assert "augment" not in lines[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "mrdk"], "there is no method 'mrdk'"),
        (["--method", "ce_mixup"], "there is no method 'ce_mixup'"),
        (["--conf", "resnet23"], f"there is no {RECIPES / 'cifar100' / 'conf' / 'resnet23.yaml'}"),
        (["--stgae", "2"], "unknown option --stgae"),
        (["--evaluation", "here"], "unknown option --evaluation"),
    ],
)
def test_wrong_options_stop_it(tmp_path, options, message):
    done = run_recipe("cifar100", *options, folder=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "hint: " in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("conf", ["paper", "reduced"])
@pytest.mark.parametrize("name", NAMES)
def test_confs_parse_build_and_open_with_their_command(name, conf):
    path = RECIPES / name / "conf" / f"{conf}.yaml"
    assert f"asc-mrkd train recipes/{name}/conf/{conf}.yaml" in path.read_text()
    experiment = load_experiment(path)
    with torch.device("meta"):
        build_model(experiment.model.name, 100, **experiment.model.options)


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_setting(name):
    experiment = load_experiment(RECIPES / name / "conf" / "paper.yaml")
    train, optimizer = experiment.train, experiment.train.optimizer
    assert (train.epochs, train.batch_size, experiment.seeds) == (200, 128, [0, 1, 2, 3])
    assert (optimizer.name, optimizer.lr, optimizer.momentum, optimizer.weight_decay) == ("sgd", 0.1, 0.9, 1e-4)
    assert not optimizer.nesterov
    assert (experiment.method.num_backups, experiment.method.interval) == (3, "25 epochs")
    assert (experiment.augment.pad, experiment.augment.flip) == (4, True)


@pytest.mark.slow
def test_the_whole_recipe_on_built_in_images(tmp_path):
    out = tmp_path / "a b" / "out"
    made = make_noise_images(out / "images", classes=20, per_class=100)
    for path in sorted(made.glob("*/*/*.png"))[::400]:
        path.unlink()  # the recipe draws what is missing
    options = "--out", out, "--method", "ce,mrkd", "--seeds", "0-1", "train.epochs=1", "data.subset=60"
    done = run_recipe("cifar100", *options, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    table = done.stdout.rpartition("== stage 5")[2]
    assert all(word in table for word in ("Error %", "Top-5 %", "NLL", "ECE %", "CE", "MrKD"))
    assert max(map(len, table.splitlines()[2:6])) <= 80
    assert "</html>" in (out / "report.html").read_text()
    products = [*out.glob("images/*/*/*.png"), *out.glob("reduced/*/seed*/*")]
    assert len(products) == 2000 + 2 * 2 * 6
    before = modification_times(products)
    again = run_recipe("cifar100", *options, "--method", "mrkd", "--stop-stage", 3, folder=tmp_path)
    assert again.returncode == 0, again.stderr
    assert modification_times(products) == before
