"""The backups: what they hold, what they say, and that nothing else feels them."""

import copy

import pytest
import torch
from helpers.mrkd import make_batch, make_network, train_replay
from torch import nn

from asc_mrkd.mrkd import Backups, MemoryReplay


def test_ring_holds_the_weights_of_its_refreshes():
    model = make_network()
    ring, history = Backups(model, 3), []
    for _ in range(5):
        with torch.no_grad():
            for tensor in (*model.parameters(), model[1].running_mean):
                tensor.add_(torch.randn_like(tensor))
        ring.push(model)
        history.insert(0, copy.deepcopy(model.state_dict()))
        for age in range(ring.filled):
            for name, tensor in history[age].items():
                assert torch.equal(ring[age][name], tensor)
    storages = [t.data_ptr() for age in range(3) for t in ring[age].values()]
    storages += [t.data_ptr() for t in (*model.parameters(), *model.buffers())]
    assert len(set(storages)) == len(storages)
    assert ring.filled == 3


@pytest.mark.parametrize("teacher_bn", ["eval", "batch"])
def test_teachers_stay_frozen_and_leave_the_student_alone(teacher_bn):
    method = MemoryReplay(make_network(), 3, num_backups=2, interval=1000, warmup="untrained", teacher_bn=teacher_bn)
    method.backups.push(method.model)
    before = [{k: v.clone() for k, v in method.backups[age].items()} for age in range(2)]
    train_replay(method, 20)
    for age in range(2):
        assert all(torch.equal(v, method.backups[age][k]) for k, v in before[age].items())
        assert not any(v.requires_grad for v in method.backups[age].values())
    assert len(list(method.parameters())) == len(list(method.model.parameters())) + 4

    model = make_network()
    x, _ = make_batch()
    model(x)
    statistics = [b.clone() for b in model.buffers()]
    Backups(model, 2)(x)
    assert all(torch.equal(a, b) for a, b in zip(statistics, model.buffers(), strict=True))
    assert model.training


def test_backup_gives_the_logits_of_the_student_at_that_time():
    model = make_network()
    ring = Backups(model, 1)
    train_replay(MemoryReplay(model, 3, interval=1000), 5)
    ring.push(model)
    x, _ = make_batch(seed=99)
    torch.testing.assert_close(ring(x)[0], copy.deepcopy(model).eval()(x))
    by_batch = Backups(model, 1, batch_statistics=True)
    by_batch.push(model)
    torch.testing.assert_close(by_batch(x)[0], copy.deepcopy(model).train()(x))


class InPlace(nn.Module):
    """Standardise the input in place, as a network may where a batch passes through it once."""

    def __init__(self) -> None:
        super().__init__()
        self.network = make_network()

    def forward(self, x):
        return self.network(x.sub_(1).mul_(0.5))


@pytest.mark.parametrize("folded", [False, True])
def test_a_network_that_writes_to_its_input_changes_it_for_nobody_else(folded):
    model = InPlace()
    if folded:
        model.to(memory_format=torch.channels_last)
        model.network[0].weight.data = (
            model.network[0].weight.data.expand(4, 3, 3, 3).contiguous(memory_format=torch.channels_last)
        )
    ring = Backups(model, 2)
    ring.push(model)
    ring.push(model)
    x = torch.randn(8, 3 if folded else 1, 4, 4)
    given = x.clone()
    logits = ring(x)
    assert torch.equal(x, given)
    torch.testing.assert_close(logits[1], copy.deepcopy(model).eval()(given))


def test_untrained_copies_of_a_deep_network_stay_finite():
    layers = [m for _ in range(30) for m in (nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())]
    deep = nn.Sequential(nn.Conv2d(1, 8, 1), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    for m in deep.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out")
            m.weight.data.mul_(3)
    assert Backups(deep, 1)(torch.randn(16, 1, 6, 6)).abs().max() < 100
    assert deep.eval()(torch.randn(16, 1, 6, 6)).abs().max() > 1e6


def test_compiled_and_wrapped_students_share_the_backups_of_the_bare_one():
    model = make_network()
    x, _ = make_batch()
    expected = Backups(model, 2)(x)
    for wrapped in (nn.DataParallel(model), torch.compile(model, backend="eager")):
        torch.testing.assert_close(Backups(wrapped, 2)(x), expected)


def test_a_model_that_calls_its_network_module_is_not_unwrapped():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.module, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, x):
            return self.head(self.module(x))

    model, x = Outer(), torch.randn(2, 4)
    torch.testing.assert_close(Backups(model, 1)(x)[0], model(x))


def test_tied_weights_are_taught_too():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(self.a(x))

    model, x = Tied(), torch.randn(3, 4)
    torch.testing.assert_close(Backups(model, 1)(x)[0], model(x))


def test_ring_equals_the_cascade_of_the_paper():
    """Algorithm 1, literally: every copy takes over the weights of the younger one, the first those of the network."""
    model, interval, copies = make_network(), 3, 3
    ring = Backups(model, copies)
    cascade = [copy.deepcopy(model.state_dict()) for _ in range(copies)]
    for t in range(1, 20):
        if t % interval == 0:
            ring.push(model)
            for i in range(copies - 1, 0, -1):
                cascade[i] = copy.deepcopy(cascade[i - 1])
            cascade[0] = copy.deepcopy(model.state_dict())
        for age, state in enumerate(cascade):
            assert all(torch.equal(tensor, ring[age][name]) for name, tensor in state.items()), (t, age)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))


@pytest.mark.parametrize("teacher_bn", ["eval", "batch"])
def test_copies_on_other_devices_say_the_same(teacher_bn):
    """Devices of the CPU stand for those of a machine with several GPUs."""
    options = {"num_backups": 3, "interval": 2, "teacher_bn": teacher_bn, "seed": 1}
    torch.manual_seed(0)
    one = MemoryReplay(make_network(), 3, **options)
    several = MemoryReplay(copy.deepcopy(one.model), 3, teacher_devices=["cpu", torch.device("cpu", 0)], **options)
    for method in (one, several):
        train_replay(method, 9)
    for a, b in zip(one.state_dict()["model.0.weight"], several.state_dict()["model.0.weight"], strict=True):
        assert torch.equal(a, b)
    x, y = make_batch(seed=50)
    assert torch.equal(one(x, y).total, several(x, y).total)


def test_copies_are_spread_over_the_devices_and_stay_there():
    ring = Backups(make_network(), 3, devices=[torch.device("meta"), "cpu"])
    ring.to(torch.float64)
    assert [ring[age]["0.weight"].device.type for age in range(3)] == ["meta", "cpu", "meta"]
    assert ring[1]["0.weight"].dtype == torch.float64


def test_running_average_is_a_mean_with_falling_weights():
    model = make_network()
    average = Backups(model, 1)
    start = model.state_dict()["4.weight"].clone()
    for value in (1.0, 2.0):
        with torch.no_grad():
            model[4].weight.fill_(value)
            model[1].num_batches_tracked.add_(1)
        average.blend(model, 0.9)
    torch.testing.assert_close(average[0]["4.weight"], 0.81 * start + 0.09 * 1.0 + 0.1 * 2.0)
    assert average[0]["1.num_batches_tracked"] == 2
    assert average.filled == 1


def test_a_state_keeps_its_values_when_the_ring_goes_back_to_it_and_on():
    model = make_network()
    ring = Backups(model, 2)

    def push() -> None:
        with torch.no_grad():
            for tensor in model.parameters():
                tensor.add_(torch.randn_like(tensor))
        ring.push(model)

    push()
    push()
    state = ring.get_extra_state()
    before = copy.deepcopy(state)
    for _ in range(2):
        push()
        ring.set_extra_state(state)
        for age, expected in enumerate(before["states"]):
            assert all(torch.equal(state["states"][age][name], tensor) for name, tensor in expected.items())
            assert all(torch.equal(ring[age][name], tensor) for name, tensor in expected.items())
