"""Diagnostics of the teachers, compared with plain numpy."""

import numpy as np
import pytest
import torch
from helpers.mrkd import make_batch, make_network

from asc_mrkd.mrkd import MemoryReplay, MixedLabels
from asc_mrkd.mrkd.adjustment import adjusted_divergence
from asc_mrkd.mrkd.diagnostics import teacher_diagnostics
from asc_mrkd.mrkd.losses import cross_entropy

TAU, N, M = 3.0, 40, 5
RNG = np.random.default_rng(0)
TEACHERS, JOINED, STUDENT = 3 * RNG.standard_normal((2, N, M)), RNG.standard_normal((N, M)), RNG.standard_normal((N, M))
LABELS = RNG.integers(0, M, N)


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(p)).sum(-1)


def diagnose(joined, labels=None, adjustment="swap") -> dict[str, float]:
    labels = torch.from_numpy(LABELS) if labels is None else labels
    tensors = (
        torch.from_numpy(TEACHERS),
        None if joined is None else torch.from_numpy(joined),
        torch.from_numpy(STUDENT),
    )
    return {name: value.item() for name, value in teacher_diagnostics(*tensors, labels, TAU, adjustment).items()}


def test_every_figure_with_an_ensemble():
    told = diagnose(JOINED)
    for i, teacher in enumerate(TEACHERS, start=1):
        assert told[f"teacher_accuracy_{i}"] == pytest.approx((teacher.argmax(1) == LABELS).mean())
        assert told[f"teacher_disagreement_{i}"] == pytest.approx((teacher.argmax(1) != STUDENT.argmax(1)).mean())
    p = softmax(TEACHERS / TAU)
    assert told["teacher_divergence"] == pytest.approx((entropy(p.mean(0)) - entropy(p).mean(0)).mean())
    right = JOINED.argmax(1) == LABELS
    assert told["ensemble_accuracy"] == pytest.approx(right.mean())
    assert told["adjusted"] == pytest.approx(1 - right.mean())
    assert told["ensemble_std"] == pytest.approx(JOINED.std(ddof=1))
    target = softmax(JOINED / TAU)
    assert told["target_entropy"] == pytest.approx(entropy(target).mean())  # a swap does not change it
    assert told["target_probability"] == pytest.approx(target.max(1).mean())  # the true class has the largest


def test_without_an_ensemble_the_targets_are_those_of_the_backups():
    told = diagnose(None, adjustment="none")
    p = softmax(TEACHERS / TAU)
    assert told["target_entropy"] == pytest.approx(entropy(p).mean())
    assert told["target_probability"] == pytest.approx(p[:, np.arange(N), LABELS].mean())
    assert told["adjusted"] == pytest.approx((TEACHERS.argmax(2) != LABELS).mean())
    assert not {"ensemble_accuracy", "ensemble_std"} & told.keys()


@pytest.mark.parametrize("mixed", [False, True])
def test_ratio_of_gradients_is_that_of_autograd(mixed):
    labels = torch.from_numpy(LABELS)
    if mixed:
        labels = MixedLabels(labels, labels.roll(1), torch.from_numpy(RNG.random(N)))
    student, joined = torch.from_numpy(STUDENT).requires_grad_(), torch.from_numpy(JOINED)
    kd = TAU**2 * adjusted_divergence(joined, student, labels, TAU)
    of_kd, of_ce = (torch.autograd.grad(loss, student)[0] for loss in (kd, cross_entropy(student, labels)))
    assert diagnose(JOINED, labels)["gradient_ratio"] == pytest.approx((of_kd.norm() / of_ce.norm()).item())


def test_backups_tell_their_ages_in_steps():
    method, ages = MemoryReplay(make_network(), 3, num_backups=2, interval=7), {}
    taken: list[int] = []  # steps before which a backup was taken
    for t in range(1, 42):
        filled = method.backups.filled
        parts = method(*make_batch(seed=t)).parts
        ages[t] = [parts[f"teacher_age_{i}"].item() for i in (1, 2) if f"teacher_age_{i}" in parts]
        if ages[t]:
            assert ages[t] == [t - step for step in taken[:filled]]
        ring = method.backups.youngest
        method.step()
        if method.backups.youngest is not ring:
            taken.insert(0, t + 1)
    assert [t for t in ages if ages[t]] == [11, 21, 31, 41]  # every tenth step, from the first backup on


def test_only_a_tenth_of_the_steps_pays_for_it():
    method = MemoryReplay(make_network(), 3, interval=1, num_backups=1, warmup="ramp")
    told = []
    for _ in range(25):
        told.append("teacher_divergence" in method(*make_batch()).parts)
        method.step()
    assert [step for step, present in enumerate(told) if present] == [10, 20]


def test_a_look_changes_no_number(monkeypatch):
    method = MemoryReplay(make_network(), 3, warmup="untrained")
    x, y = make_batch()
    with_look = method(x, y).total
    monkeypatch.setattr("asc_mrkd.mrkd.memory_replay.teacher_diagnostics", lambda *_: {})
    assert torch.equal(method(x, y).total, with_look)
