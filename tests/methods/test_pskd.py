"""Progressive self-knowledge distillation."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.methods import CLASSES, accuracy_of, check_continues, make_batch, make_context, make_network, train_method
from scipy.special import softmax
from torch import nn
from torch.nn import functional as F

from asc_mrkd.config import MethodConfig
from asc_mrkd.errors import ConfigError
from asc_mrkd.methods import build_method, load_experiment
from asc_mrkd.methods.pskd import Pskd
from asc_mrkd.mrkd.losses import Labels, MixedLabels

SAMPLES = 20
BATCH = 6
EPOCHS = 4
STEPS = 4  # of an epoch: 6 + 6 + 6 + 2 samples
LR = 0.5
SOURCES = ("predictions", "model")
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(SAMPLES, 1, 4, 4, generator=GENERATOR)
Y = torch.randint(CLASSES, (SAMPLES,), generator=GENERATOR)


def build_pskd(model: nn.Module, source: str = "predictions", alpha: float = 0.8) -> Pskd:
    return Pskd(model, CLASSES, SAMPLES, STEPS, EPOCHS, alpha=alpha, source=source)


def batches(epoch: int) -> list[torch.Tensor]:
    """Return the numbers of the samples of each batch of an epoch."""
    order = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(100 + epoch))
    return list(order.split(BATCH))


def mixed(index: torch.Tensor) -> tuple[torch.Tensor, MixedLabels]:
    partner, weight = index.roll(1), torch.full((len(index),), 0.7)
    return 0.7 * X[index] + 0.3 * X[partner], MixedLabels(Y[index], Y[partner], weight)


def sample_numbers(step: int, *_: object) -> torch.Tensor:
    """Return the numbers of the samples of a step."""
    return batches(step // STEPS)[step % STEPS]


def train_pskd(method: Pskd, steps: range = range(EPOCHS * STEPS), mixup: bool = False) -> list[float]:
    """Return the loss of each of these steps of the run."""

    def batch_of(step: int) -> tuple[torch.Tensor, Labels]:
        index = sample_numbers(step)
        return mixed(index) if mixup else (X[index], Y[index])

    return train_method(method, steps, batch_of, LR, index=sample_numbers)


def softmax_regression(weight: np.ndarray, source: str, alpha: float, mixup: bool) -> list[float]:
    """Return the losses of PS-KD by the formulas, on softmax regression, whose gradient is known."""
    x_all, one_hot, losses = X.flatten(1).double().numpy(), np.eye(CLASSES)[Y], []
    recorded, previous = one_hot.copy(), None
    for epoch in range(EPOCHS):
        for index in (piece.numpy() for piece in batches(epoch)):
            x, target = x_all[index], one_hot[index]
            if mixup:
                x, target = (0.7 * a + 0.3 * np.roll(a, 1, axis=0) for a in (x, target))
            past = recorded[index]  # the labels, before the first prediction
            if source == "model":
                past = softmax(x @ previous.T, axis=1) if epoch else target
            share = alpha * (epoch + 1) / EPOCHS
            target = (1 - share) * target + share * past
            p = softmax(x @ weight.T, axis=1)
            losses.append(-(target * np.log(p)).sum(1).mean())
            recorded[index] = p
            weight = weight - LR * (p - target).T @ x / len(index)
        previous = weight
    return losses


@pytest.mark.parametrize(("source", "mixup"), [("predictions", False), ("model", False), ("model", True)])
def test_losses_are_those_of_the_formulas(source, mixup):
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, CLASSES, bias=False))
    expected = softmax_regression(model[1].weight.detach().double().numpy(), source, 0.8, mixup)
    np.testing.assert_allclose(train_pskd(build_pskd(model, source), mixup=mixup), expected, rtol=2e-5)


@pytest.mark.parametrize("source", SOURCES)
def test_first_epoch_is_cross_entropy_bit_for_bit(source):
    model = make_network()
    plain, method = copy.deepcopy(model), build_pskd(model, source)
    optimizer = torch.optim.SGD(plain.parameters(), lr=LR)
    expected = []
    for index in batches(0):
        loss = F.cross_entropy(plain(X[index]), Y[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    assert train_pskd(method, range(STEPS)) == expected
    for a, b in zip(plain.state_dict().values(), method.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_weight_of_the_past_grows_to_alpha_over_the_epochs():
    method, weights = build_pskd(make_network(), alpha=0.8), []
    for _ in range(EPOCHS * STEPS):
        weights.append(method.past_weight())
        method.step()
    assert weights == pytest.approx([0.0] * STEPS + [0.4] * STEPS + [0.6] * STEPS + [0.8] * STEPS)


def test_every_prediction_is_kept_under_the_number_of_its_sample():
    method = build_pskd(make_network())
    seen = torch.zeros(SAMPLES, dtype=torch.bool)
    for index in batches(0):
        expected = method(X[index], Y[index], index=index).logits.detach().softmax(1)
        seen[index] = True
        torch.testing.assert_close(method.past[index], expected)
        assert (method.past[~seen] == 0).all()
    assert seen.all()


def test_evaluation_mode_keeps_nothing():
    method = build_pskd(make_network()).eval()
    method(X[:5], Y[:5], index=torch.arange(5))
    assert (method.past == 0).all()


def test_model_source_teaches_what_the_last_epoch_ended_with_in_evaluation_mode():
    method = build_pskd(make_network(), "model")
    train_pskd(method, range(STEPS))
    end = copy.deepcopy(method.model).eval()
    for index in batches(1)[:2]:
        losses = method(X[index], Y[index], index=index)
        past = end(X[index]).softmax(1)
        expected = -(past * losses.logits.log_softmax(1)).sum(1).mean()
        assert losses.parts["kd"].item() == pytest.approx(expected.item(), rel=1e-5)
        with torch.no_grad():
            method.model.linear.weight.add_(1.0)
        method.step()


@pytest.mark.parametrize("source", SOURCES)
def test_past_gets_no_gradient(source):
    method = build_pskd(make_network(), source, alpha=1.0)
    train_pskd(method, range((EPOCHS - 1) * STEPS))
    index = batches(EPOCHS - 1)[0]
    past = method.past_probabilities(X[index], index)
    losses = method(X[index], Y[index], index=index)  # alpha_t is 1: nothing but the past
    (gradient,) = torch.autograd.grad(losses.total, losses.logits)
    torch.testing.assert_close(gradient, (losses.logits.softmax(1) - past).detach() / len(index))


@pytest.mark.parametrize("stop", [2, 5, 9])
@pytest.mark.parametrize("source", SOURCES)
def test_saved_state_continues_to_the_same_bits(tmp_path, source, stop):
    check_continues(
        tmp_path,
        lambda: build_pskd(make_network(), source),
        stop,
        EPOCHS * STEPS,
        batch_of=lambda step: (X[sample_numbers(step)], Y[sample_numbers(step)]),
        lr=LR,
        index=sample_numbers,
    )


def test_half_precision_predictions_are_kept_and_compared_in_float32():
    method = build_pskd(make_network())
    for epoch in range(2):
        for index in batches(epoch):
            with torch.autocast("cpu", torch.bfloat16):
                losses = method(X[index], Y[index], index=index)
            assert losses.logits.dtype == torch.bfloat16
            assert losses.total.dtype == torch.float32
            losses.total.backward()
            method.step()
    torch.testing.assert_close(method.past.sum(1), torch.ones(SAMPLES))


def test_mixed_batch_is_refused_where_predictions_are_kept():
    x, labels = mixed(torch.arange(6))
    with pytest.raises(ConfigError) as error:
        build_pskd(make_network())(x, labels, index=torch.arange(6))
    assert "source=model" in error.value.hint


@pytest.mark.parametrize(("source", "refused"), [("predictions", True), ("model", False)])
def test_experiment_with_mixup_needs_the_model_as_source(tmp_path: Path, source, refused):
    path = tmp_path / "conf.yaml"
    path.write_text(f"""
data: {{images: somewhere}}
method: {{name: pskd, source: {source}}}
augment: {{mixup: 0.2}}
train: {{epochs: 2, batch_size: 4}}
""")
    if not refused:
        assert load_experiment(path).method == MethodConfig(name="pskd", alpha=0.8, source="model")
        return
    with pytest.raises(ConfigError, match=r"pskd keeps the predictions of the last epoch") as error:
        load_experiment(path)
    assert error.value.hint == "write method.source=model, or augment.mixup=0"
    unmixed = load_experiment(path, ["augment.mixup=0"])
    assert unmixed.method == MethodConfig(name="pskd", alpha=0.8, source="predictions")


@pytest.mark.parametrize("source", SOURCES)
def test_built_from_a_section_it_learns(source):
    context = make_context(6, epochs=12, train_samples=72)
    method = build_method(MethodConfig(name="pskd", alpha=0.5, source=source), make_network(), context)
    samples, labels = make_batch(size=72)
    order = [torch.randperm(72, generator=torch.Generator().manual_seed(epoch)) for epoch in range(12)]

    def numbers(step: int, *_: object) -> torch.Tensor:
        return order[step // 6].split(12)[step % 6]

    train_method(method, range(72), lambda step: (samples[numbers(step)], labels[numbers(step)]), index=numbers)
    assert method.past_weight() == 0.5, "after the last epoch it stays alpha"
    assert accuracy_of(method.model) > 0.8
