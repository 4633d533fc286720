import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from asc_mrkd.config import PskdConfig, load_experiment
from asc_mrkd.errors import ConfigError
from asc_mrkd.methods import Run, build_method
from asc_mrkd.methods.pskd import Pskd
from asc_mrkd.mrkd import MixedLabels

SAMPLES, BATCH, CLASSES, EPOCHS = 20, 6, 3, 4
STEPS = 4  # of an epoch: 6 + 6 + 6 + 2 samples
LR = 0.5
SOURCES = ("predictions", "model")
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(SAMPLES, 1, 4, 4, generator=GENERATOR)
Y = torch.randint(CLASSES, (SAMPLES,), generator=GENERATOR)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, CLASSES)
    )


def method_around(model: nn.Module, source: str = "predictions", alpha: float = 0.8) -> Pskd:
    return Pskd(model, CLASSES, SAMPLES, STEPS, EPOCHS, alpha, source)


def batches(epoch: int) -> list[torch.Tensor]:
    order = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(100 + epoch))
    return list(order.split(BATCH))


def mixed(index: torch.Tensor) -> tuple[torch.Tensor, MixedLabels]:
    partner, weight = index.roll(1), torch.full((len(index),), 0.7)
    return 0.7 * X[index] + 0.3 * X[partner], MixedLabels(Y[index], Y[partner], weight)


def train(method: Pskd, steps: slice = slice(None), mixup: bool = False) -> list[float]:
    """Return the loss of each of these steps of the run."""
    optimizer, losses = torch.optim.SGD(method.parameters(), lr=LR), []
    for index in [index for epoch in range(EPOCHS) for index in batches(epoch)][steps]:
        x, labels = mixed(index) if mixup else (X[index], Y[index])
        loss = method(x, labels, index=index).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.step()
        losses.append(loss.item())
    return losses


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def softmax_regression(weight: np.ndarray, source: str, alpha: float, mixup: bool) -> list[float]:
    """Return the losses of PS-KD by the formulas, on softmax regression, whose gradient is known."""
    x_all, one_hot, losses = X.flatten(1).double().numpy(), np.eye(CLASSES)[Y], []
    recorded, previous = one_hot.copy(), None
    for epoch in range(EPOCHS):
        for index in (piece.numpy() for piece in batches(epoch)):
            x, target = x_all[index], one_hot[index]
            if mixup:
                x, target = (0.7 * a + 0.3 * np.roll(a, 1, axis=0) for a in (x, target))
            past = recorded[index] if source == "predictions" else softmax(x @ previous.T) if epoch else target
            share = alpha * (epoch + 1) / EPOCHS
            target = (1 - share) * target + share * past
            p = softmax(x @ weight.T)
            losses.append(-(target * np.log(p)).sum(1).mean())
            recorded[index] = p
            weight = weight - LR * (p - target).T @ x / len(index)
        previous = weight
    return losses


@pytest.mark.parametrize(("source", "mixup"), [("predictions", False), ("model", False), ("model", True)])
def test_losses_are_those_of_the_formulas(source, mixup):
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, CLASSES, bias=False))
    expected = softmax_regression(model[1].weight.detach().double().numpy(), source, 0.8, mixup)
    np.testing.assert_allclose(train(method_around(model, source), mixup=mixup), expected, rtol=2e-5)


@pytest.mark.parametrize("source", SOURCES)
def test_first_epoch_is_cross_entropy_bit_for_bit(source):
    model = network()
    plain, method = copy.deepcopy(model), method_around(model, source)
    optimizer = torch.optim.SGD(plain.parameters(), lr=LR)
    expected = []
    for index in batches(0):
        loss = F.cross_entropy(plain(X[index]), Y[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    assert train(method, slice(STEPS)) == expected
    for a, b in zip(plain.state_dict().values(), method.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_weight_of_the_past_grows_to_alpha_over_the_epochs():
    method, weights = method_around(network(), alpha=0.8), []
    for _ in range(EPOCHS * STEPS):
        weights.append(method.past_weight())
        method.step()
    assert weights == pytest.approx([0.0] * STEPS + [0.4] * STEPS + [0.6] * STEPS + [0.8] * STEPS)


def test_every_prediction_is_kept_under_the_number_of_its_sample():
    method = method_around(network())
    seen = torch.zeros(SAMPLES, dtype=torch.bool)
    for index in batches(0):
        expected = method(X[index], Y[index], index=index).logits.detach().softmax(1)
        seen[index] = True
        torch.testing.assert_close(method.past[index], expected)
        assert (method.past[~seen] == 0).all()
    assert seen.all()


def test_evaluation_mode_keeps_nothing():
    method = method_around(network()).eval()
    method(X[:5], Y[:5], index=torch.arange(5))
    assert (method.past == 0).all()


def test_model_source_teaches_what_the_last_epoch_ended_with_in_evaluation_mode():
    method = method_around(network(), "model")
    train(method, slice(STEPS))
    end = copy.deepcopy(method.model).eval()
    for index in batches(1)[:2]:
        losses = method(X[index], Y[index], index=index)
        past = end(X[index]).softmax(1)
        expected = -(past * losses.logits.log_softmax(1)).sum(1).mean()
        assert losses.parts["kd"].item() == pytest.approx(expected.item(), rel=1e-5)
        with torch.no_grad():
            method.model[4].weight.add_(1.0)
        method.step()


@pytest.mark.parametrize("source", SOURCES)
def test_past_gets_no_gradient(source):
    method = method_around(network(), source, alpha=1.0)
    train(method, slice((EPOCHS - 1) * STEPS))
    index = batches(EPOCHS - 1)[0]
    past = method._past_of(X[index], index)
    losses = method(X[index], Y[index], index=index)  # alpha_t is 1: nothing but the past
    (gradient,) = torch.autograd.grad(losses.total, losses.logits)
    torch.testing.assert_close(gradient, (losses.logits.softmax(1) - past).detach() / len(index))


@pytest.mark.parametrize("stop", [2, 5, 9])
@pytest.mark.parametrize("source", SOURCES)
def test_saved_state_continues_to_the_same_bits(tmp_path, source, stop):
    torch.manual_seed(5)
    whole = method_around(network(), source)
    broken = copy.deepcopy(whole)
    expected = train(whole)
    train(broken, slice(stop))
    torch.save(broken.state_dict(), tmp_path / "state.pt")
    continued = method_around(network(), source)
    continued.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert train(continued, slice(stop, None)) == expected[stop:]
    for a, b in zip(whole.model.state_dict().values(), continued.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_half_precision_predictions_are_kept_and_compared_in_float32():
    method = method_around(network())
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
        method_around(network())(x, labels, index=torch.arange(6))
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
        assert load_experiment(path).method == PskdConfig(source="model")
        return
    with pytest.raises(ConfigError, match=r"method\.source=model"):
        load_experiment(path)
    assert load_experiment(path, ["augment.mixup=0"]).method == PskdConfig()


@pytest.mark.parametrize("source", SOURCES)
def test_built_from_a_section_it_learns(source):
    torch.manual_seed(0)
    config = PskdConfig(alpha=0.5, source=source)
    epochs, labels = 12, torch.arange(60) % CLASSES
    x = 0.3 * torch.randn(60, 1, 4, 4) + F.one_hot(labels, 16).view(-1, 1, 4, 4)
    run = Run(CLASSES, epochs * 6, 6, 60, (1, 4, 4), seed=0, new_model=lambda seed: network())
    method = build_method(config, network(), run)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.2)
    for _ in range(epochs):
        for index in torch.randperm(60).split(10):
            optimizer.zero_grad()
            method(x[index], labels[index], index=index).total.backward()
            optimizer.step()
            method.step()
    assert method.past_weight() == pytest.approx(0.5 * (epochs + 1) / epochs)
    assert (method.model.eval()(x).argmax(1) == labels).float().mean() > 0.8
