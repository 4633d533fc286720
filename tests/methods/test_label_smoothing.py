"""Label smoothing."""

import pytest
from helpers.methods import (
    accuracy_of,
    check_plain_cases,
    label_distributions,
    make_batch,
    make_context,
    make_network,
    mix_labels,
    train_method,
)
from scipy.special import log_softmax

from asc_mrkd.config import MethodConfig
from asc_mrkd.methods import build_method
from asc_mrkd.methods.label_smoothing import LabelSmoothing


@pytest.mark.parametrize("mixup", [False, True])
def test_loss_is_the_cross_entropy_of_smoothed_labels(mixup):
    x, labels = make_batch()
    given = mix_labels(labels, 0.6) if mixup else labels
    losses = LabelSmoothing(make_network().double(), epsilon=0.2)(x.double(), given)
    log_q = log_softmax(losses.logits.detach().numpy(), axis=1)
    smoothed = 0.8 * label_distributions(given) + 0.2 / 3
    assert losses.total.item() == pytest.approx(-(smoothed * log_q).sum(1).mean(), rel=1e-9)
    assert losses.parts["ce"].item() == pytest.approx(-(label_distributions(given) * log_q).sum(1).mean(), rel=1e-9)


def test_weight_one_and_evaluation_mode():
    check_plain_cases(LabelSmoothing(make_network(), epsilon=0.2))


def test_built_from_a_section_it_learns():
    method = build_method(MethodConfig(name="label_smoothing"), make_network(), make_context(60))
    train_method(method, range(60))
    assert accuracy_of(method.model) > 0.8
