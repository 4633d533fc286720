"""Values, keys and files of an experiment that are refused, each by its name and with a hint that helps."""

import os
import time

import pytest
import yaml
from helpers.cli import run_cli

from asc_mrkd.cli.options import parse_seeds
from asc_mrkd.config import AugmentConfig, Experiment
from asc_mrkd.errors import AscMrkdError, ConfigError, ModelError, shown
from asc_mrkd.methods import METHODS, load_experiment
from asc_mrkd.models import build_model
from asc_mrkd.schema import Schema
from asc_mrkd.texts import parse_json, parse_yaml, read_json, read_text


def refusal(conf, *overrides) -> ConfigError:
    """Return the error of loading the experiment with these overrides."""
    with pytest.raises(ConfigError) as error:
        load_experiment(conf, list(overrides))
    assert len(str(error.value)) < 600
    assert error.value.hint
    return error.value


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.optimizer.lr=.inf", "a number is not finite"),
        ("train.optimizer.lr=1e400", "train.optimizer.lr: Input should be a finite number, got '1e400'"),
        ("train.optimizer.lr=nan", "train.optimizer.lr: Input should be a finite number"),
        ("train.optimizer.lr=1e21", "train.optimizer.lr: Input should be less than or equal to 100000000000000000000"),
        ("train.optimizer.weight_decay=inf", "train.optimizer.weight_decay"),
        ("train.optimizer.weight_decay=1e21", "train.optimizer.weight_decay"),
        ("augment.mixup=1e300", "augment.mixup"),
        ("method.temperature=1e-30", "method.temperature: Input should be greater than or equal to 0.01"),
        ("method.temperature=inf", "method.temperature"),
        ("method.num_backups=100000", "method.num_backups"),
        ("method.alpha=true", "method.alpha: Input should be a number, not true or false, got True"),
        ("method={name: cskd, weight: 1e9}", "method.weight"),
        ("train.epochs=true", "train.epochs: Input should be a number, not true or false, got True"),
        ("train.epochs=1:30", "train.epochs: Input should be a valid integer"),
        ("train.epochs=1e21", "train.epochs"),
        ("train.epochs=99999999999999999999", "an integer is beyond 64 bits"),
        ("train.threads=100000", "train.threads: Input should be less than or equal to 1024, got 100000"),
        ("train.optimizer={nesterov: true, momentum: 0}", "train.optimizer: nesterov needs a momentum above 0"),
        ("train.optimizer={nesterov: true, name: adam}", "train.optimizer: nesterov is an option of sgd"),
        ("augment.roll_frames=1e21", "augment.roll_frames"),
        ("model.options={widths: {1: 16}}", "model.options: a key inside an option is not a text"),
        ("augment={pad: 3, flip: true}", "augment.pad is for images, and the data are scenes"),
        ("seeds=[0, 0]", "seeds: 0 appears twice"),
        ("seeds=[true]", "seeds: Input should be a number"),
        ("seeds=[99999999999]", "seeds: Input should be less than 4294967296"),
        ("method.interval=1:30", "method.interval: write steps as 9775"),
        ("method.interval=1.0", "method.interval: write 1 for every step"),
        ("method.preset=[1]", "method.preset: Input should be 'paper' or 'robust', got [1]"),
        ("method.variant={a: 1}", "method.variant"),
        ("method.teacher_devices=[foo]", "device=foo"),
    ],
)
def test_f1_14_every_value_has_a_range(conf, override, message):
    assert message in str(refusal(conf, override))


def schemas():
    """Yield the section of every kind with its path."""
    stack = [("experiment", Experiment)]
    stack += [(name, entry.method_class.options_schema()) for name, entry in METHODS.items()]
    while stack:
        path, schema = stack.pop()
        yield path, schema
        for name, field in schema.model_fields.items():
            for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
                kind = getattr(kind, "__origin__", kind)
                if isinstance(kind, type) and issubclass(kind, Schema):
                    stack.append((f"{path}.{name}", kind))


def test_f1_14_no_number_of_any_section_takes_truth_values_or_is_unbounded():
    """Asked of the JSON schemas, so that a new option without a range fails here."""
    for path, schema in schemas():
        for name, value in schema.model_json_schema()["properties"].items():
            if name in ("interval", "ramp_interval"):  # their own type has the range
                continue
            for kind in value.get("anyOf", [value]):
                if kind.get("type") in ("integer", "number"):
                    assert {"maximum", "exclusiveMaximum"} & set(kind), f"{path}.{name} has no largest value"
                    assert {"minimum", "exclusiveMinimum"} & set(kind), f"{path}.{name} has no smallest value"
                    with pytest.raises(ValueError, match="not true or false"):
                        schema.__pydantic_validator__.validate_assignment(schema.model_construct(), name, True)


@pytest.mark.parametrize(
    ("overrides", "message", "hint"),
    [
        (["train.threads=0"], "train.threads", "train.threads: CPU threads, on which"),
        (["data=5"], "data: this is a section, got 5", "it holds data.store"),
        (["data=null"], "data: this is a section, got None", "it holds data.store"),
        (["model=cp_resnet"], "model: this is a section, got 'cp_resnet'", "it holds model.name"),
        (["train=[]"], "train: this is a section, got []", "train.epochs"),
        (["method=5"], "method: this is a section, got 5", "method.name"),
        (["data.images=x"], "'data.store' does not go with the other keys of 'data'", "'data={key: value}'"),
        (["data.subset=4"], "'data.subset' does not go with the other keys of 'data'", "'data={key: value}'"),
        (["data.stroe=x"], "unknown key 'data.stroe'", "did you mean 'data.store'?"),
        (["model.width=4"], "unknown key 'model.width'", "options go one level lower: model.options.width"),
        (["lr=4"], "unknown key 'lr'", "did you mean 'train.optimizer.lr'?"),
        (["epochs=4"], "unknown key 'epochs'", "did you mean 'train.epochs'?"),
        (["train.prune.amout=1"], "unknown key 'train.prune.amout'", "did you mean 'train.prune.amount'?"),
        (["5=3"], "unknown key '5'", "known: data, model"),
        (["train.epochs=0"], "train.epochs: Input", "train.epochs: epochs of the run"),
        (["train.channels_last=7"], "conf.yaml: train.channels_last: Input", "stored channels last"),
        (["train.epochs.x=0"], "epochs is a value, not a section", "epochs.key=value"),
        (["method.alhpa=0.5"], "unknown key 'method.alhpa'", "did you mean 'method.alpha'?"),
        (["method=ce", "method.alpha=0.5"], "'method.alpha': ce takes no options", "methods with alpha: mrkd, pskd"),
        (["method=cskd", "method.alpha=0.5"], "cskd takes weight, temperature", "methods with alpha: mrkd, pskd"),
        (["method=ce", "method.zzz=0.5"], "ce takes no options", "asc-mrkd methods"),
    ],
)
def test_f3_7_a_hint_names_what_helps(conf, overrides, message, hint):
    error = refusal(conf, *overrides)
    assert message in str(error)
    assert hint in error.hint


ALIASES = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "\n".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{a: 1, a: 2}", "line 1, column 8: the key 'a' appears twice"),
        ("[" * 2000, "more than 32 sections or lists inside one another"),
        ("{a: " * 2000, "more than 32 sections or lists inside one another"),
        ("9" * 5000, "an integer is beyond 64 bits"),
        ("-" + "9" * 30, "an integer is beyond 64 bits"),
        (ALIASES, "line 5, column 5: more than 10,000 values"),
        (ALIASES.replace("[", "{<<: [").replace("]", "]}"), ""),
        ("&a [*a]", "an alias stands inside its own anchor"),
        ("!!int 3", "tags such as !!int are not read"),
        ("!!timestamp x", "tags such as !!int are not read"),
        (".nan", "a number is not finite"),
        ("x" * 200_000, "more than 100,000 characters"),
        ("a\0b", "special characters are not allowed"),
        ("[1, 2", "expected ',' or ']'"),
        ("*" + "x" * 5000, "undefined alias"),
    ],
)
def test_f3_4_small_texts_with_large_answers_are_refused_at_once(text, message):
    start = time.monotonic()
    with pytest.raises(ValueError, match=r".") as error:
        parse_yaml(text)
    assert message in str(error.value)
    assert len(str(error.value)) < 300
    assert time.monotonic() - start < 20


def test_yaml_has_no_surprises():
    text = "a: 1:30\nb: 010\nc: 2024-01-01\nd: 1_000\ne: 0x1f\nf: 1.5\ng: [&x 1, *x]\nh: -3\ni: no\nj: 1:30.5\nk: 'no'"
    assert parse_yaml(text) == {
        "a": "1:30",
        "b": "010",
        "c": "2024-01-01",
        "d": 1000,
        "e": 31,
        "f": 1.5,
        "g": [1, 1],
        "h": -3,
        "i": False,
        "j": "1:30.5",
        "k": "no",
    }
    values = parse_yaml(text)
    assert parse_yaml(yaml.safe_dump(values)) == values


def test_f3_4_an_override_never_repeats_a_huge_value(conf):
    for override in (
        f"train.epochs={'[' * 30}{'9, ' * 3000}{']' * 30}",
        f"train.epochs={'x' * 90_000}",
        f"{'x' * 90_000}=1",
        f"method.{'x' * 90_000}=1",
        f"method={'x' * 90_000}",
        f"data.store={'x' * 90_000}",
        ".".join("x" * 5000) + "=1",
        "x" * 90_000,
        "train.epochs={a: &a [1,1,1,1,1,1,1], b: &b [*a,*a,*a,*a,*a], c: &c [*b,*b,*b,*b,*b], d: [*c,*c,*c,*c]}",
    ):
        refusal(conf, override)


@pytest.mark.parametrize("special", ["/dev/zero", "/dev/full", "fifo", "folder", "large.yaml", "bytes.yaml", "a\0b"])
def test_f3_4_special_files_are_not_read(tmp_path, special):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "large.yaml").write_text("# " + "x" * 12_000_000)
    (tmp_path / "bytes.yaml").write_bytes(b"data: \xff\n")
    path = tmp_path / special
    with pytest.raises(ConfigError, match=r"pipe or a device|is a folder|larger than|UTF-8|not the name of a file"):
        load_experiment(path)
    based = tmp_path / "conf.yaml"
    based.write_text(yaml.safe_dump({"base": str(path)}))
    with pytest.raises(ConfigError, match=r"pipe or a device|is a folder|larger than|UTF-8|not the name of a file"):
        load_experiment(based)


def test_a_chain_of_bases_ends(tmp_path):
    for number in range(40):
        (tmp_path / f"{number}.yaml").write_text(f"base: {number + 1}.yaml\n")
    with pytest.raises(ConfigError, match="is the base of more than 16 files"):
        load_experiment(tmp_path / "0.yaml")
    (tmp_path / "number.yaml").write_text("base: 5\n")
    with pytest.raises(ConfigError, match="base: this is not the name of a file: 5"):
        load_experiment(tmp_path / "number.yaml")


def test_f1_14_a_key_that_appears_twice_is_refused(conf):
    conf.write_text(conf.read_text() + "train: {epochs: 1, batch_size: 1}\n")
    assert "the key 'train' appears twice" in str(refusal(conf))


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        ({"crop_frames": 1000}, "augment.crop_frames=1000 is too large: a clip has 431 frames"),
        ({"roll_frames": 432}, "augment.roll_frames=432 is too large: a clip has 431 frames"),
    ],
)
def test_f1_14_a_crop_is_not_longer_than_the_clip(augment, message):
    experiment = Experiment(data={"store": "x"}, train={"epochs": 1, "batch_size": 1}, augment=augment)
    with pytest.raises(ConfigError) as error:
        experiment.require_fitting_augmentation((2, 256, 431))
    assert message in str(error.value)
    assert "431 or less" in error.value.hint
    assert experiment.training_shape((2, 256, 431))[:2] == (2, 256)


def test_a_border_is_not_wider_than_the_image():
    experiment = Experiment(data={"images": "x"}, train={"epochs": 1, "batch_size": 1}, augment=AugmentConfig(pad=33))
    with pytest.raises(ConfigError, match=r"augment\.pad=33 is too large: an image has 32 x 40 pixels"):
        experiment.require_fitting_augmentation((3, 32, 40))


@pytest.mark.parametrize(
    "override",
    [
        "augment.crop_frames=1000",
        "augment.crop_frames=1",
        "augment.roll_frames=99999",
        "method={name: msd, branches: [no]}",
    ],
)
def test_f3_2_what_needs_the_data_is_asked_before_any_work(conf, tmp_path, override):
    code, out, err = run_cli("train", conf, override, "--out", tmp_path / "run")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert "--debug" not in err
    assert not (tmp_path / "run").exists()


def test_json_is_bounded_too(tmp_path):
    for text in ("[" * 100_000, "[" * 40 + "]" * 40, "9" * 5000, "{", "", "\x00"):
        with pytest.raises(ValueError, match=r"."):
            parse_json(text)
    (tmp_path / "a.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(AscMrkdError, match="is not text in UTF-8: byte 8"):
        read_json(tmp_path / "a.json", AscMrkdError)
    (tmp_path / "a.json").write_text('\ufeff{"a": 1}')
    assert read_json(tmp_path / "a.json", AscMrkdError) == {"a": 1}
    with pytest.raises(AscMrkdError, match="No such file"):
        read_text(tmp_path / "missing")
    assert len(shown([["x" * 1000] * 1000] * 1000)) < 10_000


@pytest.mark.parametrize("text", ["0-99999999", "²", "9" * 5000, "3-1", "1,,2", "-1"])
def test_seeds_of_the_command_line_are_bounded(text):
    with pytest.raises(ConfigError, match="is not a list of seeds"):
        parse_seeds(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rho": 999}, "cp_resnet: rho must be from 0 to 22"),
        ({"width": "x"}, "cp_resnet: width: Input should be a valid integer"),
        ({"width": 10**9}, "cp_resnet: width: Input should be less than or equal to 100000"),
        ({"width": True}, "cp_resnet: width: Input should be a number, not true or false"),
        ({"damping": float("nan")}, "cp_resnet: damping: Input should be a finite number"),
        ({"frequency_aware": 7}, "cp_resnet: frequency_aware: Input should be a valid boolean"),
        ({"init": "x"}, "cp_resnet: init must be fixup or kaiming"),
    ],
)
def test_f1_14_options_of_a_network_have_types_and_ranges(options, message):
    with pytest.raises(ModelError) as error:
        build_model("cp_resnet", 3, **options)
    assert message in str(error.value)
    assert error.value.hint == "asc-mrkd models shows the options and their defaults"


def test_f1_14_the_data_give_the_number_of_classes(conf):
    assert "model.options: the number of classes is that of the data" in str(
        refusal(conf, "model.options.num_classes=7")
    )


def test_the_file_in_a_folder_is_suggested(conf):
    """As to one who continues a run by its folder."""
    assert refusal(conf.parent).hint == f"did you mean {conf}?"
