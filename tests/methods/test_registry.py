"""The table of methods against their classes, and the checks of the section `method`."""

import subprocess
import sys
from dataclasses import fields

import pytest
import yaml
from helpers.methods import make_context, make_network

from asc_mrkd.config import Experiment, MethodConfig
from asc_mrkd.errors import ConfigError
from asc_mrkd.methods import METHODS, TrainingContext, build_method, check_method, load_experiment, method_title
from asc_mrkd.methods.base import Method
from asc_mrkd.methods.registry import context_parameters
from asc_mrkd.mrkd import PRESETS, VARIANTS


@pytest.mark.parametrize("name", METHODS)
def test_class_of_every_row_can_be_built_from_its_defaults(name):
    method_class = METHODS[name].method_class
    assert issubclass(method_class, Method)
    known = {field.name for field in fields(TrainingContext)} | {"total_steps"}
    assert set(context_parameters(method_class)) <= known
    section = check_method(MethodConfig(name=name))
    assert section == check_method(section)
    method = build_method(section, make_network(), make_context(4))
    assert method.generations == section.options.get("generations", 1)


@pytest.mark.parametrize(
    ("section", "message", "hint"),
    [
        ({"name": "mkrd"}, "there is no method 'mkrd'", "did you mean 'mrkd'?"),
        ({"name": "mrkd", "alhpa": 0.5}, "unknown key 'method.alhpa'", "did you mean 'method.alpha'?"),
        ({"name": "ce", "alpha": 0.5}, "unknown key 'method.alpha'", ""),
        ({"name": "mrkd", "copies": 3}, "unknown key 'method.copies'", ""),
        ({"name": "mrkd", "alpha": 1.5}, r"method\.alpha: Input should be less than or equal to 1, got 1\.5", ""),
        ({"name": "mrkd", "num_backups": 0}, r"method\.num_backups: .* greater than or equal to 1, got 0", ""),
        ({"name": "mrkd", "ensemble_layers": 5}, r"method\.ensemble_layers: .* less than or equal to 4, got 5", ""),
        (
            {"name": "mrkd", "warmup": "init"},
            r"method\.warmup: Input should be 'untrained', 'ramp' or 'skip'",
            "",
        ),
        ({"name": "mrkd", "preset": "papr"}, r"method\.preset: Input should be 'paper' or 'robust'", ""),
        ({"name": "mrkd", "interval": "25 steps"}, r'method\.interval: .*write steps as 9775, .* or epochs as "25', ""),
        ({"name": "dml", "peers": 1}, r"method\.peers: .* greater than or equal to 2, got 1", ""),
        ({"name": "tfkd_reg", "correct": 1.0}, r"method\.correct: .* less than 1, got 1\.0", ""),
        ({"name": "msd", "branches": "layer1"}, r"method\.branches: .* valid list", ""),
    ],
)
def test_wrong_options_are_refused_by_name(section, message, hint):
    with pytest.raises(ConfigError, match=rf"^conf\.yaml: .*{message}") as error:
        check_method(MethodConfig(**section), "conf.yaml")
    assert hint in error.value.hint


def test_presets_and_variants_fill_in_what_is_not_given():
    section = check_method(MethodConfig(name="mrkd", preset="paper", variant="plain", teacher_bn="batch"))
    assert section.options == {
        "preset": "paper",
        "variant": "plain",
        "num_backups": 3,
        "interval": 0.125,
        "alpha": 0.5,
        "temperature": 3.0,
        "teachers": "exact",
        "ensemble": False,
        "ensemble_layers": 2,
        "ensemble_loss": "kl",
        "adjustment": "none",
        "adjustment_gradient": "literal",
        "ensemble_input": "raw",
        "teacher_bn": "batch",
        "warmup": "untrained",
        "snapshot_source": "raw",
        "teacher_devices": None,
    }


def test_a_variant_cannot_have_the_parts_that_it_leaves_out(tmp_path):
    """The config.yaml of a run of the whole method names all of its parts."""
    conf = tmp_path / "config.yaml"
    whole = check_method(MethodConfig(name="mrkd")).model_dump()
    conf.write_text(yaml.safe_dump({"data": {"store": "s"}, "method": whole, "train": {"epochs": 1, "batch_size": 8}}))
    with pytest.raises(ConfigError, match="variant=plain has ensemble=False, not True"):
        load_experiment(conf, ["method.variant=plain"])
    parts = ["method.ensemble=false", "method.adjustment=none"]
    assert load_experiment(conf, ["method.variant=plain", *parts]).method.options["ensemble"] is False
    with pytest.raises(
        ConfigError, match="preset=robust is outweighed by ensemble_input=raw, teacher_bn=eval"
    ) as caught:
        load_experiment(conf, ["method.preset=robust", "method.warmup=skip"])
    assert caught.value.hint.startswith("add method.ensemble_input=temperature method.teacher_bn=batch, or take")
    assert load_experiment(conf, ["method.preset=paper"]).method.model_dump() == whole


@pytest.mark.parametrize(("switch", "adjustment"), [("on", "swap"), ("off", "none"), ("mask", "mask")])
def test_adjustment_can_be_switched(switch, adjustment):
    section = MethodConfig(name="mrkd", adjustment=yaml.safe_load(switch))
    assert check_method(section).options["adjustment"] == adjustment


def test_names_of_presets_and_variants_are_those_of_the_options():
    schema = METHODS["mrkd"].method_class.options_schema().model_json_schema()["properties"]
    assert schema["preset"]["anyOf"][0]["enum"] == list(PRESETS)
    assert schema["variant"]["enum"] == list(VARIANTS)


def test_variant_is_applied_to_a_method_built_by_hand():
    section = MethodConfig(name="mrkd", variant="no_fcn", preset="paper")
    replay = build_method(section, make_network(), make_context(16)).replay
    assert replay.ensemble is None
    assert (replay.warmup, replay.interval) == ("untrained", 2)


@pytest.mark.parametrize(
    ("section", "title"),
    [
        ({"name": "ce"}, "CE"),
        ({"name": "mrkd"}, "MrKD"),
        ({"name": "mrkd", "variant": "full"}, "MrKD"),
        ({"name": "mrkd", "variant": "no_ka"}, "MrKD w/o KA"),
        ({"name": "of another version"}, "of another version"),
    ],
)
def test_titles(section, title):
    assert method_title(MethodConfig(**section)) == title


def test_loaded_experiment_has_every_option(conf):
    experiment = load_experiment(conf, ["method.alpha=0.25"])
    assert isinstance(experiment, Experiment)
    assert experiment.method == check_method(MethodConfig(name="mrkd", interval=5, alpha=0.25))
    with pytest.raises(ConfigError, match=rf"{conf.name}: unknown key 'method.alfa'"):
        load_experiment(conf, ["method.alfa=0.25"])


def test_titles_and_unchecked_sections_need_no_torch():
    code = """
import sys
from asc_mrkd.config import MethodConfig
from asc_mrkd.methods import METHODS, method_title
assert method_title(MethodConfig(name="mrkd", variant="plain")) == "MrKD plain"
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
