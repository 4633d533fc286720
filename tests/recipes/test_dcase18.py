"""The DCASE 2018 recipe: its options by dry runs, and the whole of it once at a tiny size."""

import shlex
import zipfile

import pytest
import torch
from helpers.data import link_scenes
from helpers.recipes import (
    RECIPES,
    dry_run,
    modification_times,
    printed_commands,
    printed_stages,
    run_names,
    run_recipe,
    run_script,
)

from asc_mrkd.config import load_experiment
from asc_mrkd.models import build_model

CONFS = sorted((RECIPES / "dcase18" / "conf").glob("*.yaml"))
VERBS = ["make-scenes", "check-data", "extract-features", "train", "evaluate", "check-budget", "submit make"]
VERBS += ["submit check", "report"]
FLAGS = "--list --dry-run --help"


def verbs(lines: list[str]) -> list[str]:
    """Return the verbs of the commands, each once."""
    return list(dict.fromkeys(next(verb for verb in VERBS if line.startswith(verb)) for line in lines))


def test_list_names_every_stage_and_runs_none(tmp_path):
    done = run_recipe("dcase18", "--list", folder=tmp_path)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == [str(n) for n in range(1, len(VERBS) + 1)]
    assert not list(tmp_path.iterdir())


def test_help_shows_the_options(tmp_path):
    done = run_recipe("dcase18", "--help", folder=tmp_path)
    assert done.returncode == 0
    assert all(option in done.stdout for option in ("--data", "--stage", "--method", "--seeds", "--dry-run"))


def test_dry_run_prints_every_stage(tmp_path):
    assert verbs(dry_run("dcase18", folder=tmp_path)) == VERBS
    assert verbs(dry_run("dcase18", "--data", "official", folder=tmp_path)) == VERBS[1:]


def test_without_data_it_says_so_in_one_line(tmp_path):
    built_in = run_recipe("dcase18", "--dry-run", folder=tmp_path)
    assert built_in.stdout.startswith("no --data: every stage runs on built-in data")
    official = run_recipe("dcase18", "--dry-run", "--data", "official", folder=tmp_path)
    assert "no --data" not in official.stdout


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (["--stage", "4"], VERBS[3:]),
        (["--stop-stage", "2"], VERBS[:2]),
        (["--stage=3", "--stop-stage=5"], VERBS[2:5]),
        (["--stage", "9"], VERBS[8:]),
    ],
)
def test_stages_are_chosen(tmp_path, options, chosen):
    assert verbs(dry_run("dcase18", *options, folder=tmp_path)) == chosen


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--stgae", "2"], "did you mean --seeds, --stage, --stop-stage?"),
        (["--sedes=0"], "did you mean --seeds, --stage, --stop-stage?"),
        (["--dryrun"], "did you mean --data, --dry-run?"),
        (["--x"], f"known: --data --seeds --out --stage --stop-stage --conf --method --evaluation --label {FLAGS}"),
        (["--method", "mrdk"], "did you mean 'mrkd'?"),
        (["train.epohcs=1"], "did you mean 'train.epochs'?"),
    ],
)
def test_f3_7_typing_errors_are_answered_with_a_suggestion(tmp_path, options, hint):
    assert run_recipe("dcase18", *options, folder=tmp_path).stderr.splitlines()[1] == f"hint: {hint}"


@pytest.mark.parametrize("recipe", ["dcase18", "cifar10"])
def test_f3_9_a_recipe_runs_through_a_symbolic_link(tmp_path, recipe):
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link.sh"
    link.symlink_to(RECIPES / recipe / "run.sh")
    done = run_script(link, "--dry-run", folder=tmp_path / "folder")
    assert done.returncode == 0, done.stderr
    assert printed_commands(done.stdout) == dry_run(recipe, folder=tmp_path / "folder")


def test_both_ways_to_write_an_option(tmp_path):
    options = {"--out": "here", "--seeds": "0-1", "--method": "ce", "--label": "A_B_task1a_2", "--conf": "paper"}
    joined = dry_run("dcase18", *(f"{name}={value}" for name, value in options.items()), folder=tmp_path)
    assert joined == dry_run("dcase18", *(word for option in options.items() for word in option), folder=tmp_path)
    assert any("--seeds 0-1 --out here/paper/ce" in line for line in joined)
    assert any("--label A_B_task1a_2" in line for line in joined)


def test_overrides_come_after_the_changes_of_the_method(tmp_path):
    methods = "ce,ce_mixup,mrkd,mrkd_mixup"
    options = "--method", methods, "--stage=4", "--stop-stage=4", "augment.mixup=0.7", "train.epochs=3"
    lines = dry_run("dcase18", *options, folder=tmp_path)
    assert run_names(lines) == methods.split(",")
    assert all(" augment.mixup=0.7 train.epochs=3 --out " in line for line in lines)
    assert [" method=ce " in line for line in lines] == [True, True, False, False]
    assert [" augment.mixup=0 " in line for line in lines] == [True, False, True, False]


def test_official_data_and_evaluation_set(tmp_path):
    options = "--data", "my data/official", "--evaluation", "my data/evaluation"
    printed = run_recipe("dcase18", *options, "--dry-run", folder=tmp_path).stdout
    assert shlex.split(printed.splitlines()[2])[1:4] == ["asc-mrkd", "check-data", "my data/official"], "to be pasted"
    lines = printed_commands(printed)
    assert "check-data my data/official --spec pmel256" in lines
    assert any(line.startswith("submit make") and line.endswith("--audio my data/evaluation") for line in lines)
    assert any(line.startswith("submit check") and "--files" not in line for line in lines)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stgae", "2"], "unknown option --stgae"),
        (["--stage", "99"], "there is no stage from 99 to 99"),
        (["--stage", "3", "--stop-stage", "1"], "there is no stage from 3 to 1"),
        (["--data", "official", "--stop-stage=1"], "there is no stage from 0 to 1"),
        (["--out", ""], "option --out is empty"),
        (["--out="], "option --out is empty"),
        (["--method", "mrdk"], "there is no method 'mrdk'"),
        (["--conf", "papr"], f"there is no {RECIPES / 'dcase18' / 'conf' / 'papr.yaml'}"),
        (["--seeds"], "option --seeds needs a value"),
        (["--data", "--seeds", "0"], "option --data needs a value"),
        (["method=pskd"], "method=pskd would hold for every method of the recipe"),
        (["method.name=pskd"], "method.name=pskd would hold for every method of the recipe"),
        (["--stage", "two"], "take a number"),
        (["train"], "'train' is neither an option nor a setting"),
    ],
)
def test_f1_16_wrong_options_stop_it(tmp_path, options, message):
    done = run_recipe("dcase18", *options, folder=tmp_path)
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
def test_the_first_stage_makes_the_scenes_that_the_second_checks(built_in_scenes, tmp_path):
    out = tmp_path / "a b" / "out"
    scenes = link_scenes(built_in_scenes, out / "scenes")
    for path in list(scenes.glob("audio/*.wav"))[:5]:  # stage 1 makes what is missing
        path.unlink()
    done = run_recipe("dcase18", "--out", out, "--stop-stage", 1, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert printed_stages(done.stdout) == [1]
    assert len(list(out.glob("scenes/**/*.wav"))) == 120
    shown = run_recipe("dcase18", "--out", out, "--dry-run", folder=tmp_path)
    assert f"check-data {scenes} --spec pmel256" in printed_commands(shown.stdout)


@pytest.mark.slow
def test_the_whole_recipe_on_a_small_set(few_scenes, tmp_path):
    out = tmp_path / "a b" / "out"
    options = "--data", few_scenes, "--conf", "reduced", "--out", out, "--method", "ce,mrkd", "--seeds", "0"
    done = run_recipe("dcase18", *options, "train.epochs=1", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert printed_stages(done.stdout) == list(range(2, 10))
    assert "accepted, 0 errors" in done.stdout.replace("\n", "")
    table = done.stdout.rpartition("== stage 9")[2]
    assert "CE" in table
    assert "MrKD" in table
    assert "</html>" in (out / "report.html").read_text()
    [package] = (out / "submission").glob("*.zip")
    with zipfile.ZipFile(package) as archive:
        assert len(archive.namelist()) == 2

    products = [*out.glob("store/*"), *out.glob("reduced/*/seed0/*")]
    assert len(products) == 7 + 2 * 6
    before = modification_times(products)
    stages = "--stage", 3, "--stop-stage", 4
    again = run_recipe("dcase18", *options, "train.epochs=1", "--method", "mrkd", *stages, folder=tmp_path)
    assert again.returncode == 0, again.stderr
    assert modification_times(products) == before
