"""Evaluation of a network: every sample once, in float32, without the random number generator."""

import numpy as np
import torch
from torch import nn

from asc_mrkd.engine.samples import Samples

BATCH_VALUES = 2**19
"""Values per batch: 2 stereo spectrograms of 256 x 431, 170 images of 3 x 32 x 32; a CPU is slower with more."""


@torch.no_grad()
def predict(model: nn.Module, samples: Samples) -> np.ndarray:
    """Return class probabilities (sample, class), float64, of all samples; the network's mode is left as it was.

    Batches are views of the stored samples, and the logits leave the device once, at the end.
    """
    was_training = model.training
    model.eval()
    size = max(1, BATCH_VALUES // samples.gather(slice(0, 1)).numel())
    starts = range(0, len(samples), size)
    logits = torch.cat([model(samples.normalise(samples.gather(slice(start, start + size)))) for start in starts])
    model.train(was_training)
    return logits.double().softmax(1).cpu().numpy()
