"""Evaluation of a network: every sample once, in float32, without the random number generator."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from asc_mrkd.engine.samples import Samples
from asc_mrkd.files import atomic_writer

BATCH_VALUES = 2**19
"""Values of a batch: 2 stereo spectrograms of 256 x 431, 170 images of 3 x 32 x 32; a CPU is slower with more."""


@torch.no_grad()
def predict(model: nn.Module, samples: Samples) -> np.ndarray:
    """Return class probabilities (sample, class), float64, of all samples; the network's mode is left as it was.

    Batches are views of the stored samples, and the logits leave the device once, at the end.
    """
    was_training = model.training
    model.eval()
    size = max(1, BATCH_VALUES // samples.read(slice(0, 1)).numel())
    starts = range(0, len(samples), size)
    logits = torch.cat([model(samples.normalise(samples.read(slice(start, start + size)))) for start in starts])
    model.train(was_training)
    return logits.double().softmax(1).cpu().numpy()


def accuracy_and_log_loss(probabilities: np.ndarray, samples: Samples) -> tuple[float, float]:
    """Return the share of right decisions and the mean of -ln p(true class)."""
    labels = samples.labels.cpu().numpy()
    of_truth = probabilities[np.arange(len(labels)), labels]
    log_loss = -np.log(of_truth.clip(np.finfo(np.float64).eps)).mean()
    return float((probabilities.argmax(1) == labels).mean()), float(log_loss)


def write_predictions(path: Path, probabilities: np.ndarray, samples: Samples, classes: list[str]) -> None:
    """Write predictions.csv: the table of the samples, the decision, and a probability a class."""
    table = samples.table.assign(prediction=[classes[index] for index in probabilities.argmax(1)])
    columns = pd.DataFrame(probabilities, columns=classes)
    with atomic_writer(path, "w") as stream:
        pd.concat([table, columns], axis=1).to_csv(stream, index=False, lineterminator="\n")
