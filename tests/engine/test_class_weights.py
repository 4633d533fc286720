"""Class weights: every class counts alike in the cross-entropy, mixed or not; without them nothing changes."""

import numpy as np
import pytest
import torch
from helpers.engine import train_run
from sklearn.utils.class_weight import compute_class_weight

from asc_mrkd.engine.loop import trainer as trainer_module
from asc_mrkd.engine.loop.trainer import balanced_weights
from asc_mrkd.mrkd.losses import MixedLabels, cross_entropy, weighted_classes
from asc_mrkd.runs import read_metrics
from asc_mrkd.store.layout import open_store


def test_the_weights_are_those_of_scikit_learn():
    labels = np.random.default_rng(0).choice(4, 100, p=[0.6, 0.3, 0.08, 0.02])
    expected = compute_class_weight("balanced", classes=np.arange(4), y=labels)
    weights = balanced_weights(torch.tensor(labels), 4)
    assert weights.tolist() == pytest.approx(expected.tolist())
    assert float(weights[labels].mean()) == pytest.approx(1.0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_every_loss_has_the_factor_of_its_class(smoothing):
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0, 1, 0])
    weights = torch.tensor([0.5, 2.0, 1.0])
    terms = torch.full((6, 3), smoothing / 3)
    terms[torch.arange(6), labels] += 1 - smoothing
    expected = -(terms * weights * logits.log_softmax(1)).sum(1).mean()
    with weighted_classes(weights):
        assert float(cross_entropy(logits, labels, smoothing)) == pytest.approx(float(expected), rel=1e-6)
        share = torch.tensor([1.0, 0.7, 0.5, 1.0, 0.6, 0.9])
        mixed = cross_entropy(logits, MixedLabels(labels, labels, share), smoothing)
    assert float(mixed) == pytest.approx(float(expected), rel=1e-6)
    plain = cross_entropy(logits, labels, smoothing)
    with weighted_classes(torch.ones(3)):
        assert float(cross_entropy(logits, labels, smoothing)) == pytest.approx(float(plain), rel=1e-6)


def test_the_weights_reach_the_training(conf, store, tmp_path, monkeypatch):
    """One clip of the first class, six of each of the two others."""
    clips = open_store(store).rows("train")
    few = clips["filename"][clips["label"] == "bus"].head(1)
    many = clips["filename"][clips["label"] != "bus"]
    (tmp_path / "list.csv").write_text("\n".join(["filename", *few, *many]) + "\n")
    used = []

    def recorded(weights):
        used.append(weights)
        return weighted_classes(weights)

    monkeypatch.setattr(trainer_module, "weighted_classes", recorded)
    data = f"data={{store: {store}, train_list: {tmp_path / 'list.csv'}}}"
    options = [data, "method=ce", "train.epochs=1", "augment.mixup=0"]
    plain = read_metrics(train_run(conf, tmp_path / "a", *options) / "metrics.jsonl")
    assert set(used) == {None}
    used.clear()
    weighted = read_metrics(train_run(conf, tmp_path / "b", *options, "train.class_weights=balanced") / "metrics.jsonl")
    assert used
    assert all(weights.tolist() == pytest.approx([13 / 3, 13 / 18, 13 / 18]) for weights in used)
    assert weighted["loss"].tolist() != plain["loss"].tolist()
