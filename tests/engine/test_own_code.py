"""Networks and methods in files of the user: trained, known by their content, run only where the user names them."""

import json
import shutil

import numpy as np
import pytest
import soundfile as sf
import torch
import yaml
from helpers.cli import run_cli
from helpers.data import SPEC

from asc_mrkd import Predictor, evaluate, fit_experiment, load_model, own_code
from asc_mrkd.cli.app import explain
from asc_mrkd.deploy.model_file import ModelFile, save_model
from asc_mrkd.deploy.onnx_file import plain_copy
from asc_mrkd.engine.checks import open_trainable
from asc_mrkd.engine.data.samples import open_data
from asc_mrkd.engine.loop.trainer import Trainer
from asc_mrkd.engine.training import train
from asc_mrkd.errors import ConfigError, ModelError, RunError
from asc_mrkd.methods import load_experiment
from asc_mrkd.models import build_network
from asc_mrkd.models.pruning import prune
from asc_mrkd.runs import RunFolder


@pytest.fixture(autouse=True)
def nothing_allowed(monkeypatch):
    monkeypatch.setattr(own_code, "_allowed", {})


@pytest.fixture
def template(store, tmp_path):
    """A copy of the template, whose experiment fits the small store."""
    assert run_cli("recipes", "cp", "template", tmp_path).code == 0
    path = tmp_path / "template" / "conf" / "own.yaml"
    values = yaml.safe_load(path.read_text())
    values["data"]["store"] = str(store)
    values["model"]["options"] = {"width": 4}
    values["augment"] = {"crop_frames": 24}
    values["train"] |= {"epochs": 2, "batch_size": 5, "threads": 1}
    path.write_text(yaml.safe_dump(values))
    return tmp_path / "template"


def forget() -> None:
    own_code._allowed.clear()


def test_the_template_trains_and_is_used_once_its_file_is_named(template, tmp_path):
    experiment = load_experiment(template / "conf" / "own.yaml", ["method.weight=0.5"])
    run = train(experiment, tmp_path / "run", [0])
    log = run.metrics_file.read_text()
    assert '"entropy": ' in log
    assert evaluate(run).method == "ConfidencePenalty"
    kept = yaml.safe_load(run.config_file.read_text())
    assert kept["code"] == {
        "model": own_code.code_digest(template / "network.py"),
        "method": own_code.code_digest(template / "method.py"),
    }
    before = run.seed_folder(0).model.read_bytes()
    train(experiment, tmp_path / "run", [0])
    assert run.seed_folder(0).model.read_bytes() == before

    forget()
    further = load_experiment(template / "conf" / "own.yaml", ["method=ce", f"train.start={run}"])
    open_trainable(further, RunFolder(tmp_path / "further"))  # the network of the start is the one that is named

    forget()
    with pytest.raises(ModelError, match=r"made by network.py:build, which is not in the model file") as caught:
        Predictor(run)
    assert "--code network.py" in caught.value.hint
    sf.write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-0.1, 0.1, (SPEC.samples, 2)), SPEC.sample_rate)
    assert run_cli("predict", run, tmp_path / "a.wav").code == 2
    moved = shutil.copy(template / "network.py", tmp_path / "moved.py")
    assert run_cli("--code", moved, "predict", run, tmp_path / "a.wav").code == 0
    file = load_model(run)
    save_model(tmp_path / "again.safetensors", file)
    assert (tmp_path / "again.safetensors").read_bytes() == before

    forget()
    own_code.allow_code(template / "network.py")
    (template / "network.py").write_text((template / "network.py").read_text() + "\n")
    for _ in range(2):  # allowed before it was edited, and after
        with pytest.raises(ModelError, match="another content than when its network was trained"):
            load_model(run)
        own_code.allow_code(template / "network.py")
    samples = open_data(experiment.data).load(torch.device("cpu")).train
    with pytest.raises(ConfigError, match="has another content than when this experiment was trained"):
        Trainer(experiment, 0, samples, 3)
    with pytest.raises(RunError, match=r"code\.model is '.*' in it"):
        train(load_experiment(template / "conf" / "own.yaml", ["method.weight=0.5"]), tmp_path / "run", [0])
    with pytest.raises(ConfigError, match="has another content than when this experiment was trained"):
        load_experiment(run.config_file)


def test_a_store_fits_own_networks(store, template):
    name = f"{template / 'network.py'}:build"
    experiment = fit_experiment(store, [f"model.name={name}", f"method={template / 'method.py'}:ConfidencePenalty"])
    assert experiment.model.options == {"in_channels": 2}
    assert experiment.method.options == {"weight": 0.1}
    assert fit_experiment(store, ["model.name=resnet20"]).model.options == {"in_channels": 2}


NETWORKS = """
from torch import nn

def no_classes(in_channels=2): ...
def nothing(num_classes): return 3
def broken(num_classes): raise KeyError("weights")
def leaves(num_classes): raise SystemExit(0)
def flat(num_classes): return nn.Flatten()
def narrow(num_classes): return nn.Sequential(nn.Conv2d(1, num_classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
class Features(nn.Sequential):
    def forward(self, x):
        logits = super().forward(x).mean((2, 3))
        return logits, x
def features(num_classes): return Features(nn.Conv2d(2, num_classes, 1))
number = 7
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("features", "returns tuple in evaluation mode, not the logits"),
        ("no_classes", "has no argument num_classes"),
        ("nothing", "returned int, not a network"),
        ("broken", "failed: KeyError"),
        ("leaves", "failed: SystemExit: 0"),
        ("flat", "maps 2 inputs to"),
        ("narrow", "does not take inputs of 2 x 24"),
        ("number", "is not a function"),
        ("brokn", "has no brokn"),
    ],
)
def test_what_is_not_a_network_is_said_before_the_training(store, tmp_path, name, message):
    (tmp_path / "net.py").write_text(NETWORKS)
    values = {"data": {"store": str(store)}, "model": f"{tmp_path}/net.py:{name}", "train": {"epochs": 1}}
    values["model"] = {"name": values["model"]}
    values["train"] |= {"batch_size": 5}
    (tmp_path / "conf.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(ModelError, match=message):
        train(load_experiment(tmp_path / "conf.yaml"), tmp_path / "run", [0])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Missing", "has no Missing"),
        ("number", "number is not a method"),
        ("Odd", "an option of Odd has no usable type"),
        ("Untyped", "the option 'size' of Untyped has no type"),
        ("Method", "Method does not take the student as its first argument"),
        ("Asks", "Asks needs 'sample_rate', which a run does not know"),
    ],
)
def test_what_is_not_a_usable_method_is_said(conf, tmp_path, name, message):
    (tmp_path / "method.py").write_text(
        "from asc_mrkd.methods import Method\nnumber = 7\n"
        "class Odd(Method):\n    def __init__(self, model, *, size: 'Unknown' = 3): ...\n"
        "class Untyped(Method):\n    def __init__(self, model, *, size=3): ...\n"
        "class Asks(Method):\n    def __init__(self, model, num_classes, sample_rate, *rest, **others): ...\n"
    )
    with pytest.raises(ConfigError, match=message):
        load_experiment(conf, [f"method={tmp_path}/method.py:{name}"])
    for path in ("nowhere.py", "no\\0where.py"):
        with pytest.raises(ConfigError, match="there is no file"):
            load_experiment(conf, [f'method="{path}:Method"'])
    (tmp_path / "leaves.py").write_text("raise SystemExit(0)\n")
    with pytest.raises(ConfigError, match="failed: SystemExit: 0"):
        load_experiment(conf, [f"method={tmp_path}/leaves.py:Method"])
    (tmp_path / "broken.py").write_text("import nowhere_at_all")
    with pytest.raises(ConfigError, match="failed: ModuleNotFoundError"):
        load_experiment(conf, [f"method={tmp_path}/broken.py:Method"])


def test_a_model_file_cannot_name_code_by_itself(trained, tmp_path):
    file = load_model(trained)
    (tmp_path / "evil.py").write_text("raise SystemExit('it ran')")
    architecture = {**file.architecture, "name": f"{tmp_path}/evil.py:build"}
    save_model(tmp_path / "evil.safetensors", type(file)(**{**vars(file), "architecture": architecture}))
    with pytest.raises(Exception, match="there is no network"):
        load_model(tmp_path / "evil.safetensors")
    architecture["code"] = own_code.code_digest(tmp_path / "evil.py")
    save_model(tmp_path / "evil.safetensors", type(file)(**{**vars(file), "architecture": architecture}))
    with pytest.raises(ModelError, match="not run unless you name it"):
        load_model(tmp_path / "evil.safetensors")


def test_tied_and_normalised_weights_are_written_read_and_copied(tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def build(num_classes):\n"
        "    first = nn.Linear(4, 4)\n"
        "    second = nn.Linear(4, 4)\n"
        "    second.weight = first.weight\n"
        "    return nn.Sequential(first, second, nn.utils.weight_norm(nn.Linear(4, num_classes)))\n"
    )
    own_code.allow_code(tmp_path / "net.py")
    network = build_network(f"{tmp_path}/net.py:build", 3).eval()
    code = own_code.code_digest(tmp_path / "net.py")
    architecture = {"name": "net.py:build", "num_classes": 3, "options": {}, "code": code}
    one = np.ones((1, 1, 1), np.float32)
    save_model(tmp_path / "m.safetensors", ModelFile(network, architecture, list("abc"), (1, 1, 4), 0 * one, one, None))
    read = load_model(tmp_path / "m.safetensors").model
    assert read[0].weight is read[1].weight
    x = torch.rand(2, 4)
    with torch.no_grad():
        for same in (read, plain_copy(read), prune(read, 0.0)):
            assert torch.equal(same(x), network(x))


def test_options_of_a_network_function(tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef one(num_classes, width=3): return nn.Linear(width, num_classes)\n"
        "def any(num_classes, **options): return nn.Linear(options['width'], num_classes)\n"
    )
    assert build_network(f"{tmp_path}/net.py:one", 2, width=5).in_features == 5
    assert build_network(f"{tmp_path}/net.py:any", 2, width=6).in_features == 6
    assert build_network("resnet20", 4, depth=8, width=2).linear.out_features == 4
    with pytest.raises(ModelError, match="has no argument 'widht'") as caught:
        build_network(f"{tmp_path}/net.py:one", 2, widht=5)
    assert "width" in caught.value.hint


PARTS = """
from asc_mrkd.methods import Method
from asc_mrkd.methods.base import label_losses
from asc_mrkd.mrkd.losses import Losses

class WithPart(Method):
    part = {}
    def __init__(self, model):
        super().__init__()
        self.model = model
    def training_losses(self, x, labels):
        losses = label_losses(self.model, x, labels)
        return Losses(losses.total, losses.logits, self.part)
class Number(WithPart):
    part = {"weight": 0.25}
class Taken(WithPart):
    part = {"lr": 0.25}
class Text(WithPart):
    part = {"phase": "warm"}
class Several(WithPart):
    def training_losses(self, x, labels):
        losses = label_losses(self.model, x, labels)
        return Losses(losses.total, losses.logits, {"confidence": losses.logits.amax(1)})
class Total(WithPart):
    def training_losses(self, x, labels):
        return label_losses(self.model, x, labels).total
class Detached(WithPart):
    def training_losses(self, x, labels):
        losses = label_losses(self.model, x, labels)
        return Losses(losses.total.detach(), losses.logits)
class Failing(WithPart):
    def training_losses(self, x, labels):
        return label_losses(self.model, x, labels[:-1])
"""


def train_with_part(conf, tmp_path, name):
    (tmp_path / "parts.py").write_text(PARTS)
    overrides = [f"method={tmp_path}/parts.py:{name}", "train.epochs=1", "augment.mixup=0"]
    return train(load_experiment(conf, overrides), tmp_path / "run", [0])


def test_a_part_of_a_loss_may_be_a_plain_number(conf, tmp_path):
    run = train_with_part(conf, tmp_path, "Number")
    assert json.loads(run.metrics_file.read_text())["weight"] == 0.25


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Taken", "calls a part of its loss 'lr', as another value"),
        ("Text", "'phase' of the loss of the method is not one number but str"),
        ("Several", "'confidence' of the loss of the method is not one number but Tensor"),
        ("Total", "the method returns Tensor, not Losses"),
        ("Detached", "the total loss of the method is not a scalar tensor with a gradient"),
    ],
)
def test_losses_that_cannot_be_used_are_refused(conf, tmp_path, name, message):
    with pytest.raises(ConfigError, match=message):
        train_with_part(conf, tmp_path, name)


USELESS = """
from torch import nn
from asc_mrkd.methods import Method
from asc_mrkd.methods.base import label_losses
from asc_mrkd.mrkd.losses import Losses

class Plain(Method):
    def __init__(self, model):
        super().__init__()
        self.model = model
    def training_losses(self, x, labels):
        return label_losses(self.model, x, labels)
class Renamed(Plain):
    def __init__(self, model):
        super().__init__(model)
        self.student = model
        del self.model
class Extended(Plain):
    def __init__(self, model):
        super().__init__(nn.Sequential(model, nn.Linear(2, 2)))
class Text(Plain):
    needs = "index"
class Unknown(Plain):
    needs = ("indices",)
class Forgotten(Plain):
    needs = ("index", "pair")
class Unasked(Plain):
    def training_losses(self, x, labels, index): ...
class Typo(Method):
    def __init__(self, model):
        super().__init__()
        self.model = model
    def training_loss(self, x, labels): ...
class Nothing(Plain):
    def training_losses(self, x, labels):
        return Losses(label_losses(self.model, x, labels).total, None)
class Part(Plain):
    def training_losses(self, x, labels):
        losses = label_losses(self.model, x, labels)
        return Losses(losses.total, losses.logits[:2])
"""


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("Renamed", "Renamed does not keep the student", "self.model = model"),
        ("Extended", "Extended does not keep the student", "self.model = model"),
        ("Text", "needs is a text", "needs = ('index',)"),
        ("Unknown", "needs 'indices', which a batch does not have", "did you mean 'index'?"),
        ("Forgotten", "unexpected keyword argument 'index'", "training_losses(self, x, labels, index, pair)"),
        ("Unasked", "missing a required argument: 'index'", "or change needs"),
        ("Typo", "Typo has no function training_losses", "def training_losses(self, x, labels)"),
        ("Nothing", "the logits of the method are a NoneType", "second value of Losses"),
        ("Part", r"the logits of the method are a tensor \(2, 3\)", "second value of Losses"),
    ],
)
def test_a_method_that_training_cannot_use_is_said_in_words(conf, tmp_path, name, message, hint):
    (tmp_path / "useless.py").write_text(USELESS)
    overrides = [f"method={tmp_path}/useless.py:{name}", "train.epochs=1", "augment.mixup=0"]
    with pytest.raises(ConfigError, match=message) as error:
        train(load_experiment(conf, overrides), tmp_path / "run", [0])
    assert hint in error.value.hint


def test_a_failure_within_own_code_is_said_with_its_line(conf, tmp_path):
    with pytest.raises(ValueError, match="batch") as caught:
        train_with_part(conf, tmp_path, "Failing")
    message, _, code = explain(caught.value)
    line = 1 + PARTS.splitlines().index("        return label_losses(self.model, x, labels[:-1])")
    assert message.startswith(f"{tmp_path}/parts.py, line {line}: ValueError: ")
    assert code == 2
