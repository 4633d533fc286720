import pytest
from scipy.special import log_softmax

from asc_mrkd.config import LabelSmoothingConfig
from asc_mrkd.methods import build_method
from asc_mrkd.methods.ce import CrossEntropy


@pytest.mark.parametrize("mixup", [False, True])
def test_loss_is_the_cross_entropy_of_smoothed_labels(network, batch, mixed, targets, mixup):
    x, labels = batch()
    given = mixed(labels, 0.6) if mixup else labels
    losses = CrossEntropy(network().double(), smoothing=0.2)(x.double(), given)
    log_q = log_softmax(losses.logits.detach().numpy(), axis=1)
    smoothed = 0.8 * targets(given) + 0.2 / 3
    assert losses.total.item() == pytest.approx(-(smoothed * log_q).sum(1).mean(), rel=1e-9)
    assert losses.parts["ce"].item() == pytest.approx(-(targets(given) * log_q).sum(1).mean(), rel=1e-9)


def test_weight_one_and_evaluation_mode(network, check_plain_cases):
    check_plain_cases(CrossEntropy(network(), smoothing=0.2))


def test_built_from_a_section_it_learns(network, train, run, accuracy):
    method = build_method(LabelSmoothingConfig(), network(), run(60))
    train(method, range(60))
    assert accuracy(method.model) > 0.8
