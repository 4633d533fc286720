"""Evaluation of a network: every sample once, in float32, without the random number generator."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from asc_mrkd.data.samples import Samples
from asc_mrkd.files import atomic_writer


@torch.no_grad()
def predict(model: nn.Module, samples: Samples, batch_size: int = 32) -> np.ndarray:
    """Return class probabilities (sample, class), float64, of all samples; the network's mode is left as it was."""
    was_training = model.training
    model.eval()
    positions = np.arange(len(samples))
    logits = [
        model(samples.normalise(samples.read(positions[start : start + batch_size]))).double().cpu()
        for start in range(0, len(samples), batch_size)
    ]
    model.train(was_training)
    return torch.cat(logits).softmax(1).numpy()


def accuracy_and_log_loss(probabilities: np.ndarray, samples: Samples) -> tuple[float, float]:
    """Return the share of right decisions and the mean of -ln p(true class)."""
    labels = samples.labels.cpu().numpy()
    of_truth = probabilities[np.arange(len(labels)), labels]
    log_loss = -np.log(of_truth.clip(np.finfo(np.float64).eps)).mean()
    return float((probabilities.argmax(1) == labels).mean()), float(log_loss)


def write_predictions(path: Path, probabilities: np.ndarray, samples: Samples) -> None:
    """Write predictions.csv: the table of the samples, the decision, and a probability a class."""
    table = samples.table.assign(prediction=[samples.classes[index] for index in probabilities.argmax(1)])
    for index, name in enumerate(samples.classes):
        table[name] = probabilities[:, index]
    with atomic_writer(path, "w") as stream:
        table.to_csv(stream, index=False, lineterminator="\n")
