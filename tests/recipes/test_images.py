"""The image recipes: their options by dry runs, their experiments, and one of them as a whole at a tiny size."""

from pathlib import Path

import pytest
import torch

from asc_mrkd.config import load_experiment
from asc_mrkd.methods import METHODS
from asc_mrkd.models import build_model

RECIPES = Path(__file__).parents[2] / "recipes"
NAMES = ["cifar10", "cifar100", "cinic10"]
NETWORKS = {
    "cifar10": {"resnet20", "resnet32", "resnet56", "wrn_16_8", "resnext29_8x64d"},
    "cifar100": {"resnet32", "resnet56", "resnet110", "resnet164", "wrn_16_8", "wrn_28_10", "resnext29_8x64d"},
    "cinic10": {"resnet20", "resnet32", "resnet56", "wrn_16_8", "resnext29_8x64d"},
}
"""Rows of Tables 6, 2 and 5."""
VERBS = ["make-images", "check-data", "train", "evaluate", "report"]


def verbs(lines: list[str]) -> list[str]:
    """Return the verbs of the commands, each once."""
    return list(dict.fromkeys(line.split()[0] for line in lines))


@pytest.mark.parametrize("name", NAMES)
def test_every_stage_is_one_verb(dry_run, recipe, tmp_path, name):
    assert verbs(dry_run(folder=tmp_path, name=name)) == VERBS
    assert verbs(dry_run("--data", "my data", folder=tmp_path, name=name)) == VERBS[1:]
    listed = recipe("--list", folder=tmp_path, name=name)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list("12345")
    assert all(option in recipe("-h", folder=tmp_path, name=name).stdout for option in ("--data", "--conf", "--method"))


def test_methods_networks_and_seeds_are_passed_on(dry_run, tmp_path):
    stage = "--stage=3", "--stop-stage=3"
    options = ["--conf", "wrn_16_8", "--seeds", "0-1", "--data", "my data", *stage, "train.epochs=7"]
    lines = dry_run(*options, folder=tmp_path, name="cifar10")
    assert [line.split(" --out ")[1].split()[0].rpartition("/")[2] for line in lines] == ["ce", "pskd", "msd", "mrkd"]
    assert ["method=" in line for line in lines] == [True, True, True, False]
    assert all("wrn_16_8.yaml data.images=my data" in line and line.endswith("--seeds 0-1") for line in lines)
    assert all(" train.epochs=7 " in line for line in lines)


def test_every_method_of_the_toolkit_is_taken(dry_run, tmp_path):
    mixup = ["pskd_mixup", "mrkd_mixup"]
    for name, stage, runs in (("cifar10", "3", list(METHODS)), ("dcase18", "4", [*METHODS, *mixup])):
        stages = "--stage", stage, "--stop-stage", stage
        lines = dry_run("--data", "my data", "--method", ",".join(runs), *stages, folder=tmp_path, name=name)
        assert [line.split(" --out ")[1].split()[0].rpartition("/")[2] for line in lines] == runs
    assert "method=pskd method.source=model --out" in lines[-2]
    assert "augment.mixup=0" in lines[0]
    assert "augment" not in lines[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "mrdk"], "there is no method 'mrdk'"),
        (["--conf", "resnet23"], "there is no conf/resnet23.yaml"),
        (["--stgae", "2"], "unknown option --stgae"),
    ],
)
def test_wrong_options_stop_it(recipe, tmp_path, options, message):
    done = recipe(*options, folder=tmp_path, name="cifar100")
    assert done.returncode == 2
    assert message in done.stderr
    assert "hint: " in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_there_is_an_experiment_for_every_row_of_the_table(name):
    confs = {path.stem: path for path in (RECIPES / name / "conf").glob("*.yaml")}
    assert confs.keys() == NETWORKS[name] | {"reduced"}
    for stem, path in confs.items():
        experiment = load_experiment(path)
        assert f"asc-mrkd train recipes/{name}/conf/{path.name}" in path.read_text(), "it opens with its command"
        with torch.device("meta"):
            build_model(experiment.model.name, 100, **experiment.model.options)
        if stem != "reduced":
            assert experiment.model.name == stem
            train, optimizer = experiment.train, experiment.train.optimizer
            assert (train.epochs, train.batch_size, experiment.seeds) == (200, 128, [0, 1, 2, 3])
            assert (optimizer.name, optimizer.lr, optimizer.momentum, optimizer.weight_decay) == ("sgd", 0.1, 0.9, 1e-4)
            assert not optimizer.nesterov
            assert (experiment.method.copies, experiment.method.interval) == (3, "25 epochs")
            assert (experiment.augment.pad, experiment.augment.flip) == (4, True)


@pytest.mark.slow
def test_the_whole_recipe_on_built_in_images(recipe, tmp_path):
    out = tmp_path / "a b" / "out"
    options = "--out", out, "--method", "ce,msd,mrkd", "--seeds", "0-1", "train.epochs=1", "data.subset=60"
    done = recipe(*options, folder=tmp_path, name="cifar100")
    assert done.returncode == 0, done.stderr
    table = done.stdout.rpartition("== stage 5")[2]
    assert all(word in table for word in ("Error %", "Top-5 %", "NLL", "ECE %", "CE", "MSD", "MrKD"))
    assert max(map(len, table.splitlines()[2:7])) <= 80
    assert "</html>" in (out / "report.html").read_text()
    products = [*out.glob("images/*/*/*.png"), *out.glob("reduced/*/seed*/*")]
    assert len(products) == 2000 + 3 * 2 * 3
    before = [path.stat().st_mtime_ns for path in products]
    again = recipe(*options, "--method", "mrkd", "--stop-stage", 3, folder=tmp_path, name="cifar100")
    assert again.returncode == 0, again.stderr
    assert [path.stat().st_mtime_ns for path in products] == before
