"""Knowledge distillation: its losses against formulas, its cache, its ramp, and what it refuses."""

import numpy as np
import pytest
import torch
from helpers.methods import (
    accuracy_of,
    check_continues,
    check_plain_cases,
    label_distributions,
    make_batch,
    make_context,
    make_network,
    mix_labels,
    train_method,
)
from scipy.special import log_softmax, softmax
from torch import nn

from asc_mrkd.config import MethodConfig
from asc_mrkd.errors import ConfigError
from asc_mrkd.methods import METHODS, build_method, load_experiment
from asc_mrkd.methods.base import distillation
from asc_mrkd.methods.kd import decoupled_distillation, standardised

INDEX = torch.arange(12)


class Teacher(nn.Module):
    """A network of another seed, which notes its calls."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.network = make_network(int(path))
        self.calls = 0

    def forward(self, x, index):
        self.calls += 1
        return self.network(x)


def build(teacher_files=("1", "2"), steps=8, samples=96, **options):
    section = MethodConfig(name="kd", teacher_files=list(teacher_files), **options)
    context = make_context(steps, train_samples=samples, load_teacher=Teacher)
    return build_method(section, make_network(), context)


def index_of(step, x, labels):
    return 12 * step + torch.arange(len(x))


def mean_logits(x):
    with torch.no_grad():
        return torch.stack([make_network(seed).eval()(x) for seed in (1, 2)]).mean(0).numpy()


@pytest.mark.parametrize("mixup", [False, True])
@pytest.mark.parametrize("standardise", [False, True])
def test_the_loss_is_hintons(mixup, standardise):
    method = build(temperature=2.0, label_weight=0.3, weight=0.6, standardise=standardise)
    x, labels = make_batch()
    given = mix_labels(labels, 0.6) if mixup else labels
    losses = method(x, given, index=INDEX)
    s, t = losses.logits.detach().numpy(), mean_logits(x)
    ce = -(label_distributions(given) * log_softmax(s, axis=1)).sum(1).mean()
    if standardise:
        s, t = ((z - z.mean(1, keepdims=True)) / z.std(1, ddof=1, keepdims=True) for z in (s, t))
    target = softmax(t / 2, axis=1)
    kd = 4 * (target * (np.log(target) - log_softmax(s / 2, axis=1))).sum(1).mean()
    assert losses.total.item() == pytest.approx(0.3 * ce + 0.6 * kd, rel=1e-4)
    assert losses.parts["teacher_kd"].item() == pytest.approx(kd, rel=1e-4)


def test_the_parts_of_the_decoupled_loss_add_up_to_the_whole():
    """KL = KL_target + (1 - p_teacher(label)) KL_other, sample by sample (Zhao et al., Eq. 7)."""
    generator = torch.Generator().manual_seed(0)
    teacher, student = torch.randn(2, 20, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(5, (20,), generator=generator)
    for row in range(20):
        one = slice(row, row + 1)
        rest = 1 - softmax(teacher[row].numpy() / 3)[labels[row]]
        decoupled = decoupled_distillation(teacher[one], student[one], labels[one], 3.0, 1.0, float(rest))
        torch.testing.assert_close(decoupled, distillation(teacher[one], student[one], 3.0))


def test_the_decoupled_loss_of_mixed_labels_is_the_mixture():
    x, labels = make_batch()
    method = build(loss="dkd", label_weight=0.0, weight=1.0)
    first, second = (method(x, one, index=INDEX).total for one in (labels, labels.roll(1)))
    mixed = method(x, mix_labels(labels, 0.25), index=INDEX).total
    torch.testing.assert_close(mixed, 0.25 * first + 0.75 * second)


def test_standardised_logits_forget_offset_and_scale():
    z = torch.randn(6, 10, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(standardised(3 * z + 5), standardised(z))


def test_without_weight_it_is_the_baseline_bit_for_bit():
    baseline = build_method(MethodConfig(name="ce"), make_network(), make_context(8))
    method = build(weight=0.0, label_weight=1.0)
    assert train_method(method, range(8), index=index_of) == train_method(baseline, range(8))
    assert all(teacher.calls == 0 for teacher in method.teacher.networks)


def test_plain_cases_and_that_the_student_learns_from_its_teacher_alone():
    check_plain_cases(build(), index=INDEX)
    teacher = make_network(1)
    baseline = build_method(MethodConfig(name="ce"), teacher, make_context(80))
    train_method(baseline, range(80))
    method = build(("1",), steps=80, label_weight=0.0, weight=1.0)
    method.teacher.networks[0].network.load_state_dict(teacher.state_dict())
    train_method(method, range(80), index=index_of)
    assert accuracy_of(method.model) > 0.8


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ({}, [0.9, 0.9, 0.9]),
        ({"ramp": "linear", "ramp_interval": 4}, [0.0, 0.45, 0.9]),
        ({"ramp": "gaussian", "ramp_interval": 0.5}, [0.9 * np.exp(-5), 0.9 * np.exp(-1.25), 0.9]),
    ],
)
def test_ramps(options, weights):
    method = build(**options)
    found = []
    for step in (0, 2, 4):
        method.steps = step
        found.append(method.distillation_weight())
    assert found == pytest.approx(weights)


def test_cached_teachers_run_once_per_sample():
    method = build(teachers="cached", steps=2)
    x, labels = make_batch()
    first = method(x, labels, index=INDEX).total
    again = method(x, labels, index=INDEX).total
    torch.testing.assert_close(again, first, rtol=1e-3, atol=1e-3)
    assert [teacher.calls for teacher in method.teacher.networks] == [1, 1]
    with pytest.raises(ConfigError, match="input 0 is not the one of before"):
        method(x.flip(0), labels, index=INDEX)


def test_the_teachers_are_neither_trained_nor_kept():
    method = build(variant="mrkd", teachers="cached")
    kept = sum(parameter.numel() for parameter in method.parameters())
    ensemble = sum(parameter.numel() for parameter in method.replay.ensemble.parameters())
    assert kept == ensemble + sum(parameter.numel() for parameter in make_network().parameters())
    assert not any("network" in key for key in method.state_dict() if key.startswith("teacher"))
    method.train()
    assert all(not teacher.training for teacher in method.teacher.networks)


def test_backups_and_trained_teachers_add_up():
    method = build(variant="mrkd", label_weight=1.0, weight=0.5, steps=16)
    alone = build_method(MethodConfig(name="mrkd"), make_network(), make_context(16))
    x, labels = make_batch()
    expected = alone(x, labels)
    losses = method(x, labels, index=INDEX)
    torch.testing.assert_close(losses.total, expected.total + 0.5 * losses.parts["teacher_kd"])
    train_method(method, range(16), index=index_of)
    assert method.replay.teachers.filled == 3
    assert {"ce", "kd", "teacher_kd"} <= method(x, labels, index=INDEX).parts.keys()


def test_replayed_backups_are_those_of_mrkd():
    method = build(variant="mrkd", backups="replay", label_weight=1.0, weight=0.0, samples=48, steps=16)
    section = MethodConfig(name="mrkd", teachers="replay")
    alone = build_method(section, make_network(), make_context(16, train_samples=48))

    def batch(step):
        return make_batch(step % 4)

    def index(step, x, labels):
        return index_of(step % 4, x, labels)

    assert train_method(method, range(16), batch_of=batch, index=index) == train_method(
        alone, range(16), batch_of=batch, index=index
    )


KEPT = [{}, {"teachers": "cached", "ramp": "linear"}, {"variant": "mrkd"}, {"variant": "mrkd", "backups": "replay"}]


@pytest.mark.parametrize("options", KEPT)
def test_it_continues_bit_for_bit(tmp_path, options):
    def batch(step):
        return make_batch(step % 4)

    def index(step, x, labels):
        return index_of(step % 4, x, labels)

    check_continues(tmp_path, lambda: build(steps=12, samples=48, **options), 7, 12, batch_of=batch, index=index)


@pytest.mark.parametrize(
    ("options", "passes"),
    [
        ({"teacher_files": ["a", "b"]}, (3, 1)),
        ({"teacher_files": ["a", "b.csv"]}, (2, 1)),
        ({"teacher_files": ["a"], "variant": "mrkd"}, (5, 1)),
        ({"teacher_files": ["a"], "variant": "mrkd", "backups": "replay"}, (2, 1)),
        ({"teacher_files": ["a"], "teachers": "cached"}, (1, 1)),
    ],
)
def test_passes(options, passes):
    defaults = {"variant": "alone", "teachers": "exact", "backups": "exact"}
    assert METHODS["kd"].passes(defaults | options) == passes


@pytest.mark.parametrize(
    ("method", "others", "message"),
    [
        ("kd", [], "kd has no teacher"),
        ("{name: kd, teacher_files: exp/a, teachers: cached}", [], r"teachers=cached needs the same inputs"),
        ("{name: kd, teacher_files: [a.csv]}", [], r"single clips, which augment\.mixup mixes"),
        (
            "{name: kd, teacher_files: exp/a, variant: mrkd, backups: replay}",
            [],
            r"backups=replay has the logits of other",
        ),
        ("{name: kd, teacher_files: exp/a}", ["data.folds=2"], "trained with the test clips of a fold"),
    ],
)
def test_what_cannot_be_taught_is_refused(conf, method, others, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment(conf, [f"method={method}", *others])


def test_one_file_may_be_written_without_brackets(conf):
    experiment = load_experiment(conf, ["method={name: kd, teacher_files: exp/a}"])
    assert experiment.method.options["teacher_files"] == ["exp/a"]
