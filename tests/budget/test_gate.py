"""`asc-mrkd train --budget`: a network is counted before the first step, and again when it is trained."""

import pytest
from helpers.cli import run_cli

from asc_mrkd.budget.gate import require_trained_within, require_untrained_within
from asc_mrkd.budget.rules import RULES
from asc_mrkd.config import load_experiment
from asc_mrkd.engine.data.samples import open_data
from asc_mrkd.errors import BudgetError, ConfigError

pytestmark = pytest.mark.slow

TINY = ("train.epochs=1", "method=ce")
RULE = "dcase2020-task1b"
WIDE = ("model.name=cp_resnet_damped", "model.options={}", "augment.crop_frames=null")


def require_untrained(experiment, rule, precision=None):
    """Count the network of an experiment for the data that it names."""
    data = open_data(experiment.data)
    return require_untrained_within(experiment, len(data.classes), data.input_shape, rule, precision)


def test_a_network_that_cannot_fit_is_not_trained(conf, tmp_path):
    code, _, err = run_cli("train", conf, *TINY, *WIDE, "--out", tmp_path / "run", "--budget", RULE)
    assert code == 1
    assert "error: cp_resnet_damped of this experiment is over the limit of DCASE 2020 task 1B: 970,368 bytes" in err
    assert "hint: --budget-precision float16 fits" in err
    assert not (tmp_path / "run").exists()


def test_a_network_that_fits_is_trained_and_counted_again(conf, tmp_path):
    run = tmp_path / "run"
    code, out, err = run_cli(
        "train", conf, *TINY, "--out", run, "--seeds", "0-1", "--budget", RULE, "--budget-precision", "float16"
    )
    assert code == 0, err
    size = require_trained_within(run, [1], RULE, "float16")[1].bytes
    assert f"seed 1 is within the limits of DCASE 2020 task 1B: {size:,} bytes" in out


def test_the_precision_decides(conf):
    experiment = load_experiment(conf, [*TINY, *WIDE])
    assert require_untrained(experiment, RULE, "float16").within
    with pytest.raises(BudgetError, match="458,368 bytes"):
        require_untrained(experiment, RULE, "float32")


def test_multiply_adds_are_those_of_the_data(conf, trained):
    experiment = load_experiment(conf, [*TINY, "model.options.width=16"])
    budget = require_untrained(experiment, "dcase2022-task1")
    assert budget.input_shape == require_trained_within(trained, [0], "dcase2022-task1")[0].input_shape
    assert budget.multiply_adds > 0


def test_an_experiment_that_prunes_is_counted_when_it_is_trained(conf, tmp_path, monkeypatch):
    prune = "train.prune={amount: 0.5, ramp_epochs: 1}", "train.epochs=3"
    command = "train", conf, *TINY, *prune, "--out", tmp_path / "run", "--budget", RULE
    experiment = load_experiment(conf, [*TINY, *prune])
    assert require_untrained(experiment, RULE) is None
    assert require_untrained(experiment, "dcase2022-task1"), "zeros count, so pruning gains nothing"
    assert run_cli(*command).code == 0
    plain = require_untrained(load_experiment(conf, TINY), RULE)
    pruned = require_trained_within(tmp_path / "run", [0], RULE)[0]
    assert pruned.parameters == plain.parameters
    assert pruned.bytes < 0.6 * plain.bytes
    monkeypatch.setitem(RULES, RULE, type(RULES[RULE])(**{**vars(RULES[RULE]), "limit": pruned.bytes - 1}))
    code, _, err = run_cli(*command)
    assert code == 1
    assert "seed0 is over the limit" in err
    assert f"--rule {RULE} --out " in err, "without --out it only measures"


@pytest.mark.parametrize(
    "options",
    [("--budget", "dcase2020"), ("--budget", RULE, "--budget-precision", "float61"), ("--budget-precision", "float16")],
)
def test_wrong_options_stop_before_training(conf, tmp_path, options):
    assert run_cli("train", conf, *TINY, "--out", tmp_path / "run", *options).code == 2
    assert not (tmp_path / "run").exists()


def test_unknown_precision_is_found_even_when_it_prunes(conf):
    experiment = load_experiment(conf, [*TINY, "train.epochs=3", "train.prune={amount: 0.5, ramp_epochs: 1}"])
    with pytest.raises(ConfigError, match="float61"):
        require_untrained(experiment, RULE, "float61")
