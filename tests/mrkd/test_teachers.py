"""The ways to the logits of the backups, each against the same thing written out, and what they refuse."""

import copy

import pytest
import torch
from helpers.methods import train_method
from helpers.mrkd import make_batch, make_network
from torch import Tensor, nn
from torch.nn import functional as F

from asc_mrkd.errors import ConfigError
from asc_mrkd.mrkd import PRESETS, FullyConnectedEnsemble, MemoryReplay, MixedLabels, knowledge_adjustment

SAMPLES = 12
BATCH = 5
STEPS_PER_EPOCH = 3  # 5 + 5 + 2 samples
X, Y = make_batch(size=SAMPLES)


def numbers(step: int, period: int | None = None) -> Tensor:
    """Return the numbers of the samples of a step; every epoch of the period has another order."""
    epoch, place = divmod(step, STEPS_PER_EPOCH)
    order = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(epoch % (period or 1000)))
    return order.split(BATCH)[place]


def augmented(step: int, period: int | None) -> Tensor:
    """Return the inputs of a step, drawn again for every epoch of the period."""
    epoch = step // STEPS_PER_EPOCH % (period or 1000)
    noise = torch.randn(X.shape, generator=torch.Generator().manual_seed(100 + epoch))
    return (X + 0.3 * noise)[numbers(step, period)]


def build(**options) -> MemoryReplay:
    torch.manual_seed(5)
    settings = {"num_samples": SAMPLES, "steps_per_epoch": STEPS_PER_EPOCH, "teachers": "replay"}
    return MemoryReplay(make_network(), 3, **settings | options)


def train(method: MemoryReplay, steps: range, period: int | None = None, augment: bool = False) -> list[float]:
    """Take these steps of a run with plain SGD, and return the loss of each."""

    def batch_of(step: int) -> tuple[Tensor, Tensor]:
        index = numbers(step, period)
        return augmented(step, period) if augment else X[index], Y[index]

    return train_method(method, steps, batch_of, lr=0.1, samples=lambda step, x, labels: numbers(step, period))


def replay_literally(model: nn.Module, ensemble: nn.Module, copies: int, interval: int, steps: int) -> list[float]:
    """Return the losses of replay, sample by sample: alpha 0.5, tau 3, ramp, swap, memory in float16."""
    optimizer = torch.optim.SGD([*model.parameters(), *ensemble.parameters()], lr=0.1)
    latest: dict[int, Tensor] = {}
    backups: list[dict[int, Tensor]] = []
    losses = []
    for step in range(steps):
        index = numbers(step)
        logits = model(X[index])
        weight = 0.5 * len(backups) / copies
        loss = torch.zeros(())
        for z, sample in zip(logits, index.tolist(), strict=True):
            ce = -z.log_softmax(0)[Y[sample]]
            known = [backup[sample] for backup in backups if sample in backup]
            if known:
                mean = torch.stack(known).mean(0)
                given = [backup.get(sample, mean) for backup in backups] + [mean] * (copies - len(backups))
                teacher = knowledge_adjustment(ensemble(torch.stack(given).unsqueeze(1)), Y[sample : sample + 1])[0]
                log_p, log_q = (teacher / 3).log_softmax(0), (z / 3).log_softmax(0)
                ce = (1 - weight) * ce + weight * 9 * (log_p.exp() * (log_p - log_q)).sum()
            loss = loss + ce / len(index)
        latest |= {sample: z.detach().half().float() for sample, z in zip(index.tolist(), logits, strict=True)}
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 2) % interval == 0:  # before the steps kappa, 2 kappa, ..., counted from 1
            backups = [dict(latest), *backups[: copies - 1]]
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("interval", [2, 6])  # shorter than an epoch: not every sample has been met at first
def test_replay_is_the_literal_replay(interval):
    method = build(num_backups=3, interval=interval, alpha=0.5, temperature=3.0)
    ensemble = FullyConnectedEnsemble(3, 3, 2, "temperature", 3.0, 0)
    model = copy.deepcopy(method.model)
    expected = replay_literally(model, ensemble, copies=3, interval=interval, steps=16)
    assert train(method, range(16)) == pytest.approx(expected, rel=1e-5)
    for a, b in zip(model.parameters(), method.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
    for a, b in zip(ensemble.parameters(), method.ensemble.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_replay_keeps_logits_and_no_networks():
    method = build(num_backups=2, interval=6)
    train(method, range(5))
    latest = method.teachers.memory[0].clone()
    assert method.teachers.filled == 1
    assert torch.equal(method.teachers.memory[1], latest)
    index = numbers(5)
    logits = method(X[index], Y[index], samples=index).logits
    assert torch.equal(method.teachers.memory[0, index], logits.detach().half())
    assert torch.equal(method.teachers.memory[1], latest)
    assert not hasattr(method, "backups")
    layers = [layer for layer in method.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(layers) == 1
    assert method.teachers.memory.nbytes == 3 * SAMPLES * 3 * 2


def test_sample_without_a_teacher_has_its_cross_entropy_alone():
    method = build(interval=2, ensemble=False)
    train(method, range(1))
    met, others = numbers(0), numbers(1)
    assert method.teachers.filled == 1
    logits = method(X[others], Y[others], samples=others)
    assert logits.total.item() == F.cross_entropy(logits.logits, Y[others]).item()
    assert logits.parts["kd"] == 0
    both = torch.cat([met, others])
    losses = method.eval()(X[both], Y[both], samples=both)
    of_met = method(X[met], Y[met], samples=met)
    of_others = method(X[others], Y[others], samples=others)
    assert losses.total.item() == pytest.approx((of_met.total.item() + of_others.total.item()) / 2, rel=1e-5)


def test_evaluation_mode_and_logits_that_are_not_finite_leave_the_memory_alone():
    method = build()
    method.eval()(X[:4], Y[:4], samples=torch.arange(4))
    method.train()
    method.model.eval()
    with torch.no_grad():  # a validation by somebody who switches the model alone
        method(X[:4], Y[:4], samples=torch.arange(4))
    assert not method.teachers.seen.any()
    logits = torch.tensor([[1.0, 2.0, 3.0], [float("nan"), 0.0, 0.0], [0.0, float("inf"), 0.0], [1e9, 0.0, -1e9]])
    method.teachers.remember(torch.arange(4), logits)
    assert method.teachers.seen[0].tolist() == [True, False, False, True] + [False] * 8
    assert method.teachers.memory[0, :4].tolist() == [[1, 2, 3], [0, 0, 0], [0, 0, 0], [65504, 0, -65504]]


def note_passes(method: MemoryReplay, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return a list to which every pass of a backup adds the step and its number, 0 for an untrained one."""
    passes = []
    run = method.backups.run

    def counting(age: int, *inputs: object) -> Tensor:
        passes.append((method.steps, max(method.teachers.pushed - age, 0)))
        return run(age, *inputs)

    monkeypatch.setattr(method.backups, "run", counting)
    return passes


@pytest.mark.slow
@pytest.mark.parametrize("copies", [1, 2, 3])
@pytest.mark.parametrize("preset", PRESETS)
def test_repeat_is_exact_for_batches_that_come_back(monkeypatch, preset, copies):
    options = PRESETS[preset] | {"num_backups": copies, "interval": 6}
    exact = train(build(teachers="exact", **options), range(36), period=2, augment=True)
    method = build(teachers="repeat", **options)
    assert method.period == 2
    passes = note_passes(method, monkeypatch)
    assert train(method, range(36), period=2, augment=True) == pytest.approx(exact, rel=1e-3)
    youngest = [(step, (step + 1) // 6) for step in range(6, 36)]
    assert passes[-30:] == youngest  # one pass per step for any number of backups
    assert method.teachers.logits.shape == (copies - 1, 2 * SAMPLES, 3)


@pytest.mark.parametrize("interval", [4, 6])
@pytest.mark.parametrize("warmup", ["untrained", "ramp"])
def test_cached_is_exact_for_inputs_that_never_change(monkeypatch, warmup, interval):
    options = PRESETS["paper"] | {"warmup": warmup, "num_backups": 2, "interval": interval}
    exact = train(build(teachers="exact", **options), range(30))
    method = build(teachers="cached", **options)
    passes = note_passes(method, monkeypatch)
    assert train(method, range(30)) == pytest.approx(exact, rel=1e-3)
    passes_of_second = [number for _, number in passes].count(2)
    assert passes_of_second == 1 + STEPS_PER_EPOCH  # the rest of the epoch in which it was taken, and a whole one


@pytest.mark.parametrize("teachers", ["cached", "repeat"])
def test_inputs_that_change_are_refused(teachers):
    method = build(teachers=teachers, interval=3, teacher_bn="eval")
    with pytest.raises(ConfigError, match=r"input \d+ is not the one of before") as error:
        train(method, range(12), augment=True)  # new draws in every epoch
    assert "epoch % mrkd.period" in error.value.hint
    assert method.steps >= STEPS_PER_EPOCH


def test_interval_of_repeat_is_rounded_to_whole_epochs():
    methods = [build(teachers="repeat", interval=interval) for interval in (1, 4, 5, 10)]
    assert [(method.period, method.interval) for method in methods] == [(1, 3), (1, 3), (2, 6), (3, 9)]


def test_repeat_takes_mixed_batches():
    options = {"interval": 3, "num_backups": 2, "warmup": "untrained"}
    exact, method = build(teachers="exact", **options), build(teachers="repeat", **options)
    mixed = MixedLabels(Y[:5], Y[:5].roll(1), torch.full((5,), 0.7))
    for _ in range(2):
        losses = [one(X[:5], mixed, samples=torch.arange(5)).total.item() for one in (exact, method)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-3)


RESUMED = {
    "replay": {"interval": 4},
    "repeat": {"interval": 6},
    "cached": {"interval": 4, "teacher_bn": "eval"},
    "exact": {"interval": 4},
}


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 4, 10])
@pytest.mark.parametrize("teachers", RESUMED)
def test_saved_state_continues_to_the_same_bits(tmp_path, teachers, stop):
    options = {"teachers": teachers, "num_backups": 2} | RESUMED[teachers]
    expected = train(whole := build(**options), range(14), period=2)
    broken = build(**options)
    train(broken, range(stop), period=2)
    torch.save(broken.state_dict(), tmp_path / "state.pt")
    continued = build(**options)
    train(continued, range(9), period=2)  # the saved state replaces all of this
    continued.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert train(continued, range(stop, 14), period=2) == expected[stop:]
    for a, b in zip(whole.parameters(), continued.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warmup": "untrained"}, "does not go with warmup=untrained"),
        ({"teacher_bn": "eval"}, "does not go with teacher_bn=eval"),
        ({"snapshot_source": "ema"}, "does not go with snapshot_source=ema"),
        ({"teacher_devices": ["cpu"]}, "does not go with teacher_devices"),
        ({"num_samples": None}, r"needs num_samples="),
        ({"num_samples": 0}, r"num_samples=0\) is out of range"),
        ({"teachers": "exact", "num_samples": 0}, r"num_samples=0\) is out of range"),
        ({"teachers": "reply"}, "there are no teachers 'reply'"),
        ({"teachers": None}, "there are no teachers 'None'"),
        ({"teachers": "cached", "teacher_bn": "batch"}, r"does not go with teacher_bn=batch: normalised by the batch"),
        ({"teachers": "cached", "num_samples": None}, r"'cached'\) needs num_samples="),
        ({"teachers": "repeat", "steps_per_epoch": None, "interval": 6}, r"needs steps_per_epoch="),
    ],
)
def test_what_does_not_go_with_the_teachers_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        build(**options)


def test_batches_that_replay_cannot_know_are_refused():
    method = build()
    index = torch.arange(4)
    with pytest.raises(ConfigError, match="need the numbers of the samples"):
        method(X[:4], Y[:4])
    with pytest.raises(ConfigError, match="other mixtures"):
        method(X[:4], MixedLabels(Y[:4], Y[:4].roll(1), torch.full((4,), 0.7)), samples=index)
    with pytest.raises(ConfigError, match=r"numbered from 10 to 13, with num_samples=12"):
        method(X[:4], Y[:4], samples=index + 10)


@pytest.mark.parametrize(
    "samples",
    [torch.arange(4) > 1, torch.arange(4.0), torch.arange(3), torch.arange(4).unsqueeze(1), [0, 1, 2, 3]],
    ids=["mask", "float", "too few", "column", "list"],
)
@pytest.mark.parametrize("teachers", ["replay", "cached"])
def test_samples_that_are_not_one_number_per_input_are_refused(teachers, samples):
    with pytest.raises(ConfigError, match="not the number of each sample in the batch"):
        build(teachers=teachers, teacher_bn=None)(X[:4], Y[:4], samples=samples)
