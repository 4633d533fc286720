"""The divergence and the fully connected ensemble."""

import pytest
import torch
from torch.nn import functional as F

from asc_mrkd.errors import ConfigError
from asc_mrkd.mrkd import FullyConnectedEnsemble, kl_divergence


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


@pytest.mark.parametrize(
    ("classes", "num_backups", "expected"), [(10, 1, 220), (10, 3, 420), (100, 3, 40_200), (3, 3, 42)]
)
def test_ensemble_parameters(classes, num_backups, expected):
    assert sum(p.numel() for p in FullyConnectedEnsemble(num_backups, classes).parameters()) == expected


def test_ensemble_without_layers_is_the_mean_and_seeded_apart():
    logits = torch.randn(3, 4, 5)
    assert torch.equal(FullyConnectedEnsemble(3, 5, layers=0)(logits), logits.mean(0))
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    a, b = FullyConnectedEnsemble(3, 5, seed=7), FullyConnectedEnsemble(3, 5, seed=7)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(a(logits), b(logits))


def test_an_unknown_form_of_the_input_is_not_taken_for_raw_logits():
    with pytest.raises(ConfigError, match="there is no scaling 'layer_norm'"):
        FullyConnectedEnsemble(3, 10, scaling="layer_norm")
