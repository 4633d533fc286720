"""Networks of all kinds in MrKD and its rivals: norms, masks, buffers of `forward`, recurrent and shared layers."""

import threading
import warnings
from collections.abc import Callable

import pytest
import torch
from helpers.methods import make_context, train_method
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from asc_mrkd.errors import ModelError
from asc_mrkd.methods.ban import Ban
from asc_mrkd.methods.base import Method
from asc_mrkd.methods.byot import Byot
from asc_mrkd.methods.ema_teacher import EmaTeacher
from asc_mrkd.methods.kd import Kd
from asc_mrkd.methods.msd import Msd
from asc_mrkd.methods.pskd import Pskd
from asc_mrkd.mrkd import Backups, MemoryReplay
from asc_mrkd.mrkd.networks import copy_network

SHAPE = (1, 6, 5)
CLASSES = 4


def around(conv: nn.Module) -> nn.Module:
    """Return a network around a convolution from 1 to 8 channels."""
    return nn.Sequential(conv, nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))


def conv() -> nn.Conv2d:
    return nn.Conv2d(1, 8, 3)


def pruned() -> nn.Module:
    layer = conv()
    prune.l1_unstructured(layer, "weight", 0.5)
    prune.random_unstructured(layer, "bias", 0.2)
    return around(layer)


class Sign(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.tanh()


def parametrised() -> nn.Module:
    layer = conv()
    nn.utils.parametrize.register_parametrization(layer, "weight", Sign())
    return around(layer)


class BufferOfForward(nn.Module):
    """Make a buffer and reshape another one when the length is known."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv()
        self.head = nn.Linear(8, CLASSES)
        self.register_buffer("table", torch.zeros(0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if len(self.table) != x.shape[-1]:
            self.table = torch.linspace(1, 2, x.shape[-1], device=x.device)
            self.register_buffer("made", self.table * 2, persistent=False)
        return self.head(self.conv(x * self.table + self.made).relu().mean((2, 3)))


class PlainTensor(nn.Module):
    """Compute a tensor in training, which is neither parameter nor buffer, and use it in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv()
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.scale = 1 + self.conv.weight.square().mean()
        return self.head(self.conv(x).relu().mean((2, 3)) * self.scale)


class Shared(nn.Module):
    """Use one layer twice and tie the weights of two others."""

    branch_points = ("conv",)

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv()
        self.again = self.middle = nn.Linear(8, 8)
        self.a = nn.Linear(8, CLASSES)
        self.b = nn.Linear(8, CLASSES)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.again(self.middle(self.conv(x).relu().mean((2, 3))))
        return self.a(x) + self.b(x)


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.conv = conv()
        self.rnn = kind(32, 8, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x, _ = self.rnn(self.conv(x).relu().flatten(1, 2).transpose(1, 2))
        return self.head(x.mean(1))


class Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = conv()
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.dropout(self.conv(x).relu().mean((2, 3)), 0.3, self.training)
        return self.head(self.dropout(x))


class Hooked(nn.Module):
    """Classify what a hook has kept of a layer, as networks around the backbone of somebody else do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv()
        self.head = nn.Linear(8, CLASSES)
        self.kept: dict[str, Tensor] = {}
        self.conv.register_forward_hook(lambda layer, inputs, output: self.kept.update(conv=output))

    def forward(self, x: Tensor) -> Tensor:
        self.conv(x)
        return self.head(self.kept["conv"].relu().mean((2, 3)))


def lazy() -> nn.Module:
    """Return a network whose lazy layers have seen a batch."""
    network = nn.Sequential(nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(CLASSES))
    network.eval()(torch.zeros(1, *SHAPE))
    return network.train()


NETWORKS = {
    "weight_norm": lambda: around(nn.utils.weight_norm(conv())),
    "new weight_norm": lambda: around(parametrizations.weight_norm(conv())),
    "spectral_norm": lambda: around(nn.utils.spectral_norm(conv())),
    "new spectral_norm": lambda: around(parametrizations.spectral_norm(conv())),
    "orthogonal": lambda: around(parametrizations.orthogonal(conv())),
    "prune": pruned,
    "parametrised": parametrised,
    "buffer of forward": BufferOfForward,
    "shared": Shared,
    "gru": lambda: Recurrent(nn.GRU),
    "lstm": lambda: Recurrent(nn.LSTM),
    "dropout": Dropping,
    "lazy": lazy,
    "hook": Hooked,
}


def build_network(name: str) -> nn.Module:
    """Return a network of that kind that has had a forward and a backward pass."""
    torch.manual_seed(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        network = PlainTensor() if name == "plain tensor" else NETWORKS[name]()
    network(batch(0)[0]).sum().backward()
    network.zero_grad()
    return network


def batch(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(6, *SHAPE, generator=generator), torch.randint(CLASSES, (6,), generator=generator)


def new_model(name: str):
    return lambda seed: build_network(name)


def build_method(kind: str, name: str) -> nn.Module:
    network = build_network(name)
    context = make_context(2, new_model=new_model(name))
    point = "0" if isinstance(network, nn.Sequential) else "conv"
    if kind == "mrkd":
        return MemoryReplay(network, CLASSES, num_backups=2, interval=2, teacher_bn="eval")
    if kind == "ema_teacher":
        return EmaTeacher(network, 3)
    if kind == "pskd":
        return Pskd(network, CLASSES, 12, 1, 3, source="model")
    if kind == "ban":
        return Ban(network, context.new_model, 1, 0, generations=3)
    return {"msd": Msd, "byot": Byot}[kind](network, CLASSES, SHAPE, 0, branches=[point])


def take_steps(method: nn.Module, steps: range) -> list[float]:
    """Take these steps and return the loss of each; dropout in a step depends on its number alone."""

    def batch_of(step: int) -> tuple[Tensor, Tensor]:
        torch.manual_seed(step)
        return batch(step)

    given = {"index": lambda step, x, labels: torch.arange(6), "second_view": lambda step, x, labels: x.flip(0)}
    return train_method(method, steps, batch_of, **{name: given[name] for name in getattr(method, "needs", ())})


def backups_of(method: nn.Module) -> Backups:
    return next(part for part in method.modules() if isinstance(part, Backups))


@pytest.mark.parametrize("name", [*NETWORKS, "plain tensor"])
def test_t2_a_fresh_backup_answers_as_the_student(name):
    network = build_network(name)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02)
    ring = Backups(network, 2)
    for step in range(3):
        optimizer.zero_grad()
        network(batch(step)[0]).square().sum().backward()
        optimizer.step()
        network.train()(batch(step)[0])  # what is computed from the weights is that of the new ones
        ring.push(network)
        x, _ = batch(9)
        logits = ring(x)[0]
        assert not logits.requires_grad
        assert torch.equal(logits, network.eval()(x))
        network.train()
    assert not torch.equal(ring(x)[0], ring(x)[1])
    storages = {tensor.data_ptr() for tensor in (*network.parameters(), *network.buffers())}
    assert not storages & {tensor.data_ptr() for age in range(2) for tensor in ring[age].values()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mrkd", "ema_teacher", "pskd", "ban", "msd"])
@pytest.mark.parametrize("name", NETWORKS)
def test_t2_every_method_trains_and_continues(kind, name):
    whole = build_method(kind, name)
    expected = take_steps(whole, range(3))
    broken = build_method(kind, name)
    assert take_steps(broken, range(2)) == expected[:2]
    continued = build_method(kind, name)
    take_steps(continued, range(7, 8))  # the saved state replaces all of this
    continued.load_state_dict(broken.state_dict())
    assert take_steps(continued, range(2, 3)) == expected[2:]
    if kind in ("mrkd", "pskd", "ban"):
        ring = backups_of(whole)
        ring.push(whole.model)
        x, _ = batch(9)
        assert torch.equal(ring(x, 1)[0], whole.model.eval()(x))
    if isinstance(whole, Method):
        assert whole.steps == 3


def test_t2_early_classifiers_of_byot_on_a_normed_layer():
    assert all(torch.isfinite(torch.tensor(take_steps(build_method("byot", "weight_norm"), range(3)))))


def test_t2_mean_teacher_has_the_masks_and_norms_of_the_student():
    for name in ("prune", "spectral_norm"):
        method = build_method("ema_teacher", name)
        take_steps(method, range(3))
        state = method.teacher[0]
        buffers = dict(method.model.named_buffers())
        compared = [key for key in buffers if "mask" in key or "weight_" in key]
        assert compared
        for key in compared:
            assert torch.equal(state[key], buffers[key]), key


class DictInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(30, CLASSES)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": self.layer(inputs["spectrogram"].flatten(1)) * inputs["gain"]}


class KeywordInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(30, CLASSES)

    def forward(self, x: Tensor, *, mask: Tensor) -> Tensor:
        return self.layer(x.flatten(1) * mask)


def test_t2_dict_and_keyword_inputs_reach_the_teachers():
    x, y = batch(0)
    of_dict = MemoryReplay(DictInput(), CLASSES, num_backups=1, interval=1, teacher_devices=["cpu"])
    of_keyword = MemoryReplay(KeywordInput(), CLASSES, num_backups=1, interval=1)
    for method, inputs, keywords in [
        (of_dict, {"spectrogram": x, "gain": torch.ones(6, 1)}, {}),
        (of_keyword, x, {"mask": torch.ones(30)}),
    ]:
        optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
        for _ in range(3):
            losses = method(inputs, y, **keywords)
            optimizer.zero_grad()
            losses.total.backward()
            optimizer.step()
            method.step()
        assert "kd" in losses.parts
        assert torch.equal(method.backups(inputs, **keywords)[0], method.logits_of(method.model(inputs, **keywords)))


@pytest.mark.parametrize("kind", ["ema_teacher", "pskd", "ban"])
def test_t2_dict_inputs_reach_the_teachers_of_the_rivals(kind):
    torch.manual_seed(0)
    method = {
        "ema_teacher": lambda: EmaTeacher(DictInput(), 3),
        "pskd": lambda: Pskd(DictInput(), CLASSES, 12, 1, 3, source="model"),
        "ban": lambda: Ban(DictInput(), lambda seed: DictInput(), 1, 0, generations=3),
    }[kind]()
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
    for step in range(3):
        x, y = batch(step)
        inputs = {"spectrogram": x, "gain": torch.ones(6, 1)}
        given = {"index": torch.arange(6), "second_view": inputs}
        losses = method(inputs, y, **{name: given[name] for name in method.needs})
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        method.step()
    assert losses.parts["kd"].isfinite()


class InPlace(nn.Module):
    """Standardise the input in place, as a network may where a batch passes through it once."""

    def __init__(self) -> None:
        super().__init__()
        self.network = around(conv())

    def forward(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        return self.network(x.sub_(1).mul_(0.5))


class OutOfPlace(InPlace):
    def forward(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        return self.network((x - 1) * 0.5)


def build_taught(kind: str, new: Callable[..., nn.Module]) -> nn.Module:
    """Return a method in which other networks than the student see its input, from a function that builds a network."""
    torch.manual_seed(0)
    if kind == "mrkd":
        return MemoryReplay(new(), CLASSES, num_backups=2, interval=2, warmup="ramp")
    if kind == "pskd":
        return Pskd(new(), CLASSES, 12, 1, 3, source="model")
    if kind == "ban":
        return Ban(new(), lambda seed: new(), 1, 0, generations=3)
    return Kd(new(), CLASSES, 12, 3, 1, 0, lambda path: new(), teacher_files=["a", "b"])


@pytest.mark.parametrize("kind", ["mrkd", "pskd", "ban", "kd"])
def test_t2_a_network_that_writes_to_its_input_does_so_for_itself_alone(kind):
    expected = take_steps(build_taught(kind, OutOfPlace), range(4))
    assert take_steps(build_taught(kind, InPlace), range(4)) == expected


def test_t2_early_classifiers_need_a_network_of_one_tensor():
    with pytest.raises(ModelError, match=r"DictInput cannot be run on one input of 1 x 6 x 5"):
        Msd(DictInput(), CLASSES, SHAPE, 0, branches=["layer"])


def test_t2_a_lazy_layer_without_weights_is_named():
    network = nn.Sequential(nn.Flatten(), nn.LazyLinear(CLASSES))
    with pytest.raises(ModelError, match=r"layer '1' \(LazyLinear\) has no weights yet") as error:
        MemoryReplay(network, CLASSES, interval=2)
    assert "run the network on one batch" in error.value.hint


def test_t2_a_layer_that_cannot_be_copied_is_named():
    network = around(conv())
    network[2].lock = threading.Lock()
    with pytest.raises(ModelError, match=r"layer '2' \(ReLU\) cannot be copied"):
        copy_network(network)
