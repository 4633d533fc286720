"""The whole method: its weights over the steps, its gradients, its state."""

import copy

import pytest
import torch
from helpers.mrkd import make_batch, make_network, train_replay
from torch import nn
from torch.nn import functional as F

from asc_mrkd.errors import ConfigError, ModelError
from asc_mrkd.mrkd import PRESETS, VARIANTS, MemoryReplay, MixedLabels, kl_divergence


def test_copy_is_taken_at_the_start_of_every_step_divisible_by_the_interval():
    method = MemoryReplay(make_network(), 3, num_backups=2, interval=4)
    seen = []
    for step in range(1, 13):
        seen.append((step, method.backups.filled))
        train_replay(method, 1, first=step)
    assert [filled for _, filled in seen] == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2]


def test_alpha_zero_is_the_baseline_bit_for_bit():
    torch.manual_seed(0)
    plain = make_network()
    taught = MemoryReplay(copy.deepcopy(plain), 3, interval=2, alpha=0.0, warmup="untrained")
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)
    for step in range(10):
        x, y = make_batch(seed=step)
        optimizer.zero_grad()
        F.cross_entropy(plain(x), y).backward()
        optimizer.step()
    train_replay(taught, 10)
    for a, b in zip(plain.state_dict().values(), taught.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_teacher_forward_and_ensemble_leave_the_global_generators_alone(monkeypatch):
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3))
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("GPUs are seeded"))
    MemoryReplay(model, 3).backups(torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [3, 6, 9])
@pytest.mark.parametrize("options", [*PRESETS.values(), {"snapshot_source": "ema"}], ids=[*PRESETS, "ema"])
def test_saved_state_continues_to_the_same_bits(tmp_path, stop, options):
    def fresh() -> MemoryReplay:
        torch.manual_seed(5)
        return MemoryReplay(make_network(), 3, num_backups=3, interval=4, **options)

    whole = fresh()
    whole_optimizer = torch.optim.SGD(whole.parameters(), lr=0.05)
    broken = fresh()
    broken_optimizer = torch.optim.SGD(broken.parameters(), lr=0.05)

    def steps(method, optimizer, numbers):
        for step in numbers:
            optimizer.zero_grad()
            method(*make_batch(seed=step)).total.backward()
            optimizer.step()
            method.step()

    steps(whole, whole_optimizer, range(14))
    steps(broken, broken_optimizer, range(stop))
    torch.save(broken.state_dict(), tmp_path / "state.pt")
    torch.manual_seed(77)
    continued = MemoryReplay(make_network(), 3, num_backups=3, interval=4, **options)
    continued.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    steps(continued, torch.optim.SGD(continued.parameters(), lr=0.05), range(stop, 14))
    for (name, a), b in zip(whole.model.state_dict().items(), continued.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    for a, b in zip(whole.ensemble.parameters(), continued.ensemble.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("warmup", "expected"), [("untrained", [0.6] * 4), ("skip", [0, 0.6, 0.6, 0.6]), ("ramp", [0, 0.2, 0.4, 0.6])]
)
def test_weight_of_the_distillation_term(warmup, expected):
    method = MemoryReplay(make_network(), 3, alpha=0.6, warmup=warmup)
    weights = []
    for _ in range(4):
        weights.append(method.distillation_weight())
        method.backups.push(method.model)
    assert weights == pytest.approx(expected)


@pytest.mark.parametrize("ensemble", [True, False])
def test_missing_backups_do_not_teach(ensemble):
    method = MemoryReplay(make_network(), 3, num_backups=3, warmup="ramp", ensemble=ensemble, ensemble_layers=0)
    method.backups.push(method.model)
    for age in (1, 2):
        for tensor in method.backups[age].values():
            tensor.fill_(float("nan") if tensor.is_floating_point() else 0)
    assert method(*make_batch()).total.isfinite()


def test_detached_adjustment_teaches_the_ensemble_without_the_swap():
    options = {"num_backups": 1, "warmup": "untrained", "temperature": 2.0, "alpha": 1.0, "teacher_bn": "eval"}
    x, y = make_batch()
    torch.manual_seed(0)
    model = make_network()
    literal = MemoryReplay(model, 3, **options)
    detached = MemoryReplay(model, 3, adjustment_gradient="detached", **options)
    a, b = literal(x, y), detached(x, y)
    assert a.total.item() == pytest.approx(b.total.item(), rel=1e-6)
    student = list(model.parameters())
    for g, h in zip(
        torch.autograd.grad(a.total, student, retain_graph=True),
        torch.autograd.grad(b.total, student, retain_graph=True),
        strict=True,
    ):
        torch.testing.assert_close(g, h)
    (gradient,) = torch.autograd.grad(b.total, [detached.ensemble.layers[-1].bias])
    joined = detached.ensemble(detached.backups(x))
    free = 4 * kl_divergence((joined / 2).log_softmax(1), model(x).detach(), 2.0)
    (expected,) = torch.autograd.grad(free, [detached.ensemble.layers[-1].bias])
    torch.testing.assert_close(gradient, expected)


def test_mixed_labels_reduce_to_plain_ones_and_match_two_losses():
    torch.manual_seed(0)
    method = MemoryReplay(make_network(), 3, warmup="untrained", temperature=2.0)
    x, first = make_batch()
    second = first.roll(1)
    student = list(method.model.parameters())

    def gradients(labels):
        return torch.autograd.grad(method(x, labels).total, student)

    plain = method(x, first).total
    mixed = method(x, MixedLabels(first, second, torch.ones(8))).total
    assert plain.item() == pytest.approx(mixed.item(), rel=1e-5)
    weight = torch.full((8,), 0.7)
    one = gradients(MixedLabels(first, second, weight))
    for g, a, b in zip(one, gradients(first), gradients(second), strict=True):
        torch.testing.assert_close(g, 0.7 * a + 0.3 * b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", [{"num_backups": 0}, {"interval": 0}, {"alpha": 1.5}, {"temperature": 0.0}])
def test_impossible_settings_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        MemoryReplay(make_network(), 3, **options)


@pytest.mark.parametrize(
    "option",
    [
        "ensemble_loss",
        "adjustment",
        "adjustment_gradient",
        "ensemble_input",
        "teacher_bn",
        "warmup",
        "snapshot_source",
    ],
)
def test_a_typing_error_is_refused_where_another_choice_would_be_taken(option):
    with pytest.raises(ConfigError, match=rf"{option}='batches'\): there is no such choice"):
        MemoryReplay(make_network(), 3, interval=2, **{option: "batches"})


def test_a_state_with_another_number_of_backups_is_refused_in_words():
    saved = MemoryReplay(make_network(), 3, num_backups=3, interval=2, ensemble=False).state_dict()
    fewer = MemoryReplay(make_network(), 3, num_backups=1, interval=2, ensemble=False)
    with pytest.raises(ModelError, match="num_backups was 3 when the state was saved, and is 1 here"):
        fewer.load_state_dict(saved)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_everything_in_half_precision_gives_about_the_same_loss(kind):
    whole = MemoryReplay(make_network(), 3, interval=2)
    half = copy.deepcopy(whole).to(kind)
    x, y = make_batch()
    loss = half(x.to(kind), y).total
    loss.backward()
    assert loss.item() == pytest.approx(whole(x, y).total.item(), rel=0.02)


def test_what_would_fail_with_the_first_backup_is_refused_in_the_first_step():
    x, y = make_batch()
    with pytest.raises(ConfigError, match=rf"shape \({len(x)}, 3\), with num_classes=4"):
        MemoryReplay(make_network(), 4, interval=100)(x, y)
    method = MemoryReplay(make_network(), 3, interval=100)
    with pytest.raises(ConfigError, match=r"the labels are a tensor \(8, 3\) of torch\.float32, not class indices"):
        method(x, F.one_hot(y, 3).float())
    with pytest.raises(ConfigError, match=r"the labels are a tensor \(8,\) of torch\.uint8, not class indices"):
        method(x, y.to(torch.uint8))
    with pytest.raises(ConfigError, match="the label -100 is not the index of a class"):
        method(x, torch.where(y == y[0], -100, y))
    method.model.to("meta")
    with pytest.raises(ConfigError, match="model is on meta, and the ensemble is on cpu"):
        method(x.to("meta"), y.to("meta"))


@pytest.mark.parametrize("weight", [0.3, torch.tensor(0.3), torch.full((8, 1), 0.3)], ids=["float", "scalar", "column"])
def test_a_mixed_batch_needs_a_weight_per_input(weight):
    _, y = make_batch()
    with pytest.raises(ConfigError, match=r"not one number per input \(batch,\)") as error:
        MixedLabels(y, y.flip(0), weight)
    assert "torch.full((len(x),), weight)" in error.value.hint


def test_a_model_on_several_devices_is_refused_and_stays_where_it_is():
    model = make_network()
    model[-1].to("meta")
    with pytest.raises(ModelError, match=r"several devices: '\d\.weight' is on meta, and other tensors are on cpu"):
        MemoryReplay(model, 3, interval=2)
    assert model[-1].weight.is_meta


@pytest.mark.parametrize(("teachers", "preset"), [("exact", "paper"), ("replay", "robust")])
def test_defaults_are_a_preset_that_fits_the_teachers(teachers, preset):
    def settings_of(options):
        method = MemoryReplay(make_network(), 3, interval=2, teachers=teachers, num_samples=8, **options)
        norm = None if method.teachers.backups is None else method.backups.batch_statistics
        return method.warmup, method.ensemble.scaling, norm

    assert settings_of({}) == settings_of(PRESETS[preset])


@pytest.mark.parametrize("ensemble_loss", ["kl", "ce", "kl+ce"])
def test_what_trains_the_ensemble_leaves_the_student_alone(ensemble_loss):
    """Table 4: the student's gradient and the value of the loss are those of Eq. 8 whatever trains the ensemble."""
    options = {"num_backups": 1, "warmup": "untrained", "temperature": 2.0, "alpha": 0.5, "teacher_bn": "eval"}
    torch.manual_seed(0)
    model = make_network()
    x, y = make_batch()
    reference = MemoryReplay(model, 3, **options)
    method = MemoryReplay(model, 3, ensemble_loss=ensemble_loss, **options)
    expected, loss = reference(x, y).total, method(x, y).total
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    student = list(model.parameters())
    for g, h in zip(
        torch.autograd.grad(loss, student, retain_graph=True),
        torch.autograd.grad(expected, student, retain_graph=True),
        strict=True,
    ):
        torch.testing.assert_close(g, h)
    of_ensemble = list(method.ensemble.parameters())
    by_kl = torch.autograd.grad(expected, list(reference.ensemble.parameters()))
    by_ce = torch.autograd.grad(F.cross_entropy(method.ensemble(method.backups(x)), y), of_ensemble)
    kl, ce = "kl" in ensemble_loss, "ce" in ensemble_loss
    for gradient, a, b in zip(torch.autograd.grad(loss, of_ensemble), by_kl, by_ce, strict=True):
        torch.testing.assert_close(gradient, kl * a + ce * b)


def test_backups_of_the_running_average_are_means_over_the_steps():
    """The decay is 1 - 1 / (step + 1) at first, so the average is the plain mean of the weights, the first ones too."""
    method = MemoryReplay(make_network(), 3, num_backups=2, interval=3, snapshot_source="ema")
    seen = [method.model[4].weight.detach().clone()]
    for step in range(1, 6):  # the backup for step 6 is taken at the end of step 5
        train_replay(method, 1, first=step)
        seen.append(method.model[4].weight.detach().clone())
        if step == 2:
            torch.testing.assert_close(method.backups[0]["4.weight"], torch.stack(seen).mean(0))
    torch.testing.assert_close(method.backups[0]["4.weight"], torch.stack(seen).mean(0))
    torch.testing.assert_close(method.backups[1]["4.weight"], torch.stack(seen[:3]).mean(0))


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_leave_out_what_they_say(variant):
    torch.manual_seed(0)
    method = MemoryReplay(make_network(), 3, warmup="untrained", **VARIANTS[variant].options)
    x, y = make_batch()
    with_labels_turned = method(x, (y + 1) % 3).parts["kd"].item() != pytest.approx(method(x, y).parts["kd"].item())
    assert with_labels_turned == (variant in ("full", "no_fcn", "mean"))  # those adjust to the labels
    layers = sum(p.numel() for p in method.parameters()) - sum(p.numel() for p in method.model.parameters())
    assert (layers > 0) == (variant in ("full", "no_ka"))


@pytest.mark.parametrize("teachers", ["exact", "replay"])
def test_a_network_in_float64_is_taught_in_float64(teachers):
    method = MemoryReplay(nn.Linear(4, 3).double(), 3, interval=2, teachers=teachers, num_samples=8)
    x = torch.randn(8, 4, dtype=torch.float64)
    y = torch.randint(3, (8,))
    for _ in range(6):
        losses = method(x, y, samples=torch.arange(8))
        losses.total.backward()
        method.step()
    assert losses.total.dtype == torch.float64
    assert losses.parts["kd"] > 0
