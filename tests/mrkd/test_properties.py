import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from asc_mrkd.errors import ConfigError
from asc_mrkd.mrkd import (
    PRESETS,
    Backups,
    FullyConnectedEnsemble,
    MemoryReplay,
    MixedLabels,
    kl_divergence,
    knowledge_adjustment,
    log_target,
)


def network(classes: int = 3) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, classes)
    )


def batch(classes: int = 3, size: int = 8, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, 1, 4, 4, generator=generator)
    return x, torch.randint(classes, (size,), generator=generator)


def train(method: MemoryReplay, steps: int, first: int = 0, lr: float = 0.1) -> torch.optim.SGD:
    optimizer = torch.optim.SGD(method.parameters(), lr=lr, momentum=0.9)
    for step in range(first, first + steps):
        loss = method(*batch(seed=step))
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        method.step()
    return optimizer


logits_and_labels = st.integers(2, 8).flatmap(
    lambda m: st.lists(
        st.tuples(st.lists(st.integers(-9, 9), min_size=m, max_size=m), st.integers(0, m - 1)), min_size=1, max_size=6
    )
)


@settings(max_examples=200, deadline=None)
@given(logits_and_labels, st.sampled_from([torch.float16, torch.float32, torch.float64]))
def test_adjustment_keeps_values_and_tops_the_label(rows, dtype):
    logits = torch.tensor([row for row, _ in rows], dtype=dtype)
    labels = torch.tensor([label for _, label in rows])
    before = logits.clone()
    adjusted = knowledge_adjustment(logits, labels)
    assert torch.equal(logits, before)
    assert torch.equal(adjusted.sort(1).values, logits.sort(1).values)
    at_label = adjusted.gather(1, labels[:, None])[:, 0]
    assert torch.equal(at_label, adjusted.max(1).values)
    right = logits.gather(1, labels[:, None])[:, 0] == logits.max(1).values
    assert torch.equal(adjusted[right], logits[right])
    assert ((adjusted != logits).sum(1) <= 2).all()


def test_adjustment_commutes_with_softmax():
    logits, labels = torch.randn(50, 7, dtype=torch.double), torch.arange(50) % 7
    for tau in (1, 4):
        a = (knowledge_adjustment(logits, labels) / tau).softmax(1)
        torch.testing.assert_close(a, knowledge_adjustment((logits / tau).softmax(1), labels), rtol=0, atol=1e-15)


def test_mean_of_kls_is_kl_to_the_mean_probability_plus_the_divergence_among_teachers():
    student = torch.randn(6, 5, dtype=torch.double, requires_grad=True)
    teachers = torch.randn(3, 6, 5, dtype=torch.double).log_softmax(2)
    mean = teachers.logsumexp(0) - torch.log(torch.tensor(3.0))
    of_each = torch.stack([kl_divergence(t, student, 1.0) for t in teachers]).mean()
    to_mean = kl_divergence(mean, student, 1.0)
    (gradient_each,) = torch.autograd.grad(of_each, student)
    (gradient_mean,) = torch.autograd.grad(to_mean, student)
    torch.testing.assert_close(gradient_each, gradient_mean)
    entropy = lambda log_p: -(log_p.exp() * log_p).sum(-1).mean()  # noqa: E731
    assert (of_each - to_mean).item() == pytest.approx((entropy(mean) - entropy(teachers)).item())


def test_kl_is_summed_over_classes():
    target, student = torch.randn(4, 3).log_softmax(1), torch.randn(4, 3)
    wider = kl_divergence(F.pad(target, (0, 5), value=-1e4), F.pad(student, (0, 5), value=-1e4), 1.0)
    assert wider.item() == pytest.approx(kl_divergence(target, student, 1.0).item(), rel=1e-5)


def test_extreme_ensemble_logits_give_finite_gradients():
    joined = torch.tensor([[500.0, -500.0, 0.0]], requires_grad=True)
    labels = MixedLabels(torch.tensor([1]), torch.tensor([2]), torch.tensor([1.0]))
    for target in (labels, labels.first):
        loss = kl_divergence(log_target(joined, target, 1.0), torch.zeros(1, 3), 1.0)
        (gradient,) = torch.autograd.grad(loss, joined)
        assert gradient.isfinite().all()


def test_one_hot_teacher_at_temperature_one_is_cross_entropy():
    student, labels = torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 0])
    target = log_target(F.one_hot(labels, 4) * 200.0, labels, 1.0)
    assert kl_divergence(target, student, 1.0).item() == pytest.approx(F.cross_entropy(student, labels).item())


@pytest.mark.parametrize(("classes", "copies", "expected"), [(10, 1, 220), (10, 3, 420), (100, 3, 40_200), (3, 3, 42)])
def test_ensemble_parameters(classes, copies, expected):
    assert sum(p.numel() for p in FullyConnectedEnsemble(copies, classes).parameters()) == expected


def test_ensemble_of_depth_zero_is_the_mean_and_seeded_apart():
    logits = torch.randn(3, 4, 5)
    assert torch.equal(FullyConnectedEnsemble(3, 5, depth=0)(logits), logits.mean(0))
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    a, b = FullyConnectedEnsemble(3, 5, seed=7), FullyConnectedEnsemble(3, 5, seed=7)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(a(logits), b(logits))


def test_ring_holds_the_weights_of_its_refreshes():
    model = network()
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


def test_copy_is_taken_at_the_start_of_every_step_divisible_by_the_interval():
    method = MemoryReplay(network(), 3, copies=2, interval=4)
    seen = []
    for step in range(1, 13):
        seen.append((step, method.backups.filled))
        train(method, 1, first=step)
    assert [filled for _, filled in seen] == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2]


@pytest.mark.parametrize("teacher_bn", ["eval", "batch"])
def test_teachers_stay_frozen_and_leave_the_student_alone(teacher_bn):
    method = MemoryReplay(network(), 3, copies=2, interval=1000, before_first="init", teacher_bn=teacher_bn)
    method.backups.push(method.model)
    before = [{k: v.clone() for k, v in method.backups[age].items()} for age in range(2)]
    train(method, 20)
    for age in range(2):
        assert all(torch.equal(v, method.backups[age][k]) for k, v in before[age].items())
        assert not any(v.requires_grad for v in method.backups[age].values())
    assert len(list(method.parameters())) == len(list(method.model.parameters())) + 4

    model = network()
    x, _ = batch()
    model(x)
    statistics = [b.clone() for b in model.buffers()]
    Backups(model, 2)(x)
    assert all(torch.equal(a, b) for a, b in zip(statistics, model.buffers(), strict=True))
    assert model.training


def test_backup_gives_the_logits_of_the_student_at_that_time():
    model = network()
    ring = Backups(model, 1)
    train(MemoryReplay(model, 3, interval=1000), 5)
    ring.push(model)
    x, _ = batch(seed=99)
    torch.testing.assert_close(ring(x)[0], copy.deepcopy(model).eval()(x))
    by_batch = Backups(model, 1, batch_statistics=True)
    by_batch.push(model)
    torch.testing.assert_close(by_batch(x)[0], copy.deepcopy(model).train()(x))


def test_untrained_copies_of_a_deep_network_stay_finite():
    layers = [m for _ in range(30) for m in (nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())]
    deep = nn.Sequential(nn.Conv2d(1, 8, 1), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    for m in deep.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out")
            m.weight.data.mul_(3)
    assert Backups(deep, 1)(torch.randn(16, 1, 6, 6)).abs().max() < 100
    assert deep.eval()(torch.randn(16, 1, 6, 6)).abs().max() > 1e6


def test_alpha_zero_is_the_baseline_bit_for_bit():
    torch.manual_seed(0)
    plain = network()
    taught = MemoryReplay(copy.deepcopy(plain), 3, interval=2, alpha=0.0, before_first="init")
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)
    for step in range(10):
        x, y = batch(seed=step)
        optimizer.zero_grad()
        F.cross_entropy(plain(x), y).backward()
        optimizer.step()
    train(taught, 10)
    for a, b in zip(plain.state_dict().values(), taught.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_teacher_forward_and_ensemble_do_not_draw_from_the_global_generator():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3))
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    MemoryReplay(model, 3).backups(torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("stop", [3, 6, 9])
@pytest.mark.parametrize("preset", PRESETS)
def test_saved_state_continues_to_the_same_bits(tmp_path, stop, preset):
    def fresh() -> MemoryReplay:
        torch.manual_seed(5)
        return MemoryReplay(network(), 3, copies=3, interval=4, **PRESETS[preset])

    whole = fresh()
    whole_optimizer = torch.optim.SGD(whole.parameters(), lr=0.05)
    broken = fresh()
    broken_optimizer = torch.optim.SGD(broken.parameters(), lr=0.05)

    def steps(method, optimizer, numbers):
        for step in numbers:
            optimizer.zero_grad()
            method(*batch(seed=step)).total.backward()
            optimizer.step()
            method.step()

    steps(whole, whole_optimizer, range(14))
    steps(broken, broken_optimizer, range(stop))
    torch.save(broken.state_dict(), tmp_path / "state.pt")
    torch.manual_seed(77)
    continued = MemoryReplay(network(), 3, copies=3, interval=4, **PRESETS[preset])
    continued.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    steps(continued, torch.optim.SGD(continued.parameters(), lr=0.05), range(stop, 14))
    for (name, a), b in zip(whole.model.state_dict().items(), continued.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    for a, b in zip(whole.ensemble.parameters(), continued.ensemble.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("before_first", "expected"), [("init", [0.6] * 4), ("skip", [0, 0.6, 0.6, 0.6]),
                                                        ("ramp", [0, 0.2, 0.4, 0.6])])  # fmt: skip
def test_weight_of_the_distillation_term(before_first, expected):
    method = MemoryReplay(network(), 3, alpha=0.6, before_first=before_first)
    weights = []
    for _ in range(4):
        weights.append(method.distillation_weight())
        method.backups.push(method.model)
    assert weights == pytest.approx(expected)


@pytest.mark.parametrize("ensemble", [True, False])
def test_missing_backups_do_not_teach(ensemble):
    method = MemoryReplay(network(), 3, copies=3, before_first="ramp", ensemble=ensemble, depth=0)
    method.backups.push(method.model)
    for age in (1, 2):
        for tensor in method.backups[age].values():
            tensor.fill_(float("nan") if tensor.is_floating_point() else 0)
    assert method(*batch()).total.isfinite()


def test_detached_adjustment_teaches_the_ensemble_without_the_swap():
    options = {"copies": 1, "before_first": "init", "temperature": 2.0, "alpha": 1.0, "teacher_bn": "eval"}
    x, y = batch()
    torch.manual_seed(0)
    model = network()
    literal = MemoryReplay(model, 3, **options)
    detached = MemoryReplay(model, 3, adjustment_gradient="detached", **options)
    a, b = literal(x, y), detached(x, y)
    assert a.total.item() == pytest.approx(b.total.item(), rel=1e-6)
    student = list(model.parameters())
    for g, h in zip(torch.autograd.grad(a.total, student, retain_graph=True),
                    torch.autograd.grad(b.total, student, retain_graph=True), strict=True):  # fmt: skip
        torch.testing.assert_close(g, h)
    (gradient,) = torch.autograd.grad(b.total, [detached.ensemble.layers[-1].bias])
    joined = detached.ensemble(detached.backups(x))
    free = 4 * kl_divergence((joined / 2).log_softmax(1), model(x).detach(), 2.0)
    (expected,) = torch.autograd.grad(free, [detached.ensemble.layers[-1].bias])
    torch.testing.assert_close(gradient, expected)


def test_mixed_labels_reduce_to_plain_ones_and_match_two_losses():
    torch.manual_seed(0)
    method = MemoryReplay(network(), 3, before_first="init", temperature=2.0)
    x, first = batch()
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


def test_mixed_target_is_the_mixture_of_the_two_adjusted_targets():
    logits, weight = torch.randn(40, 6), torch.rand(40)
    first, second = torch.arange(40) % 6, (torch.arange(40) + 2) % 6
    target = log_target(logits, MixedLabels(first, second, weight), 3.0).exp()
    parts = [(knowledge_adjustment(logits, labels) / 3).softmax(1) for labels in (first, second)]
    torch.testing.assert_close(target, weight[:, None] * parts[0] + (1 - weight[:, None]) * parts[1])


@pytest.mark.parametrize("options", [{"copies": 0}, {"interval": 0}, {"alpha": 1.5}, {"temperature": 0.0}])
def test_impossible_settings_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        MemoryReplay(network(), 3, **options)


def test_defaults_are_the_robust_preset():
    defaults = MemoryReplay.__init__.__kwdefaults__
    assert {key: defaults[key] for key in PRESETS["robust"]} == PRESETS["robust"]


def test_compiled_and_wrapped_students_share_the_backups_of_the_bare_one():
    model = network()
    x, _ = batch()
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
