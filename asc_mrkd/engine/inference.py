"""Evaluation of a network: every sample once, in float32, without the random number generator."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from asc_mrkd.engine.data.samples import Samples
from asc_mrkd.engine.loop.not_finite import LOWER_RATE
from asc_mrkd.errors import NonFiniteError
from asc_mrkd.progress import count_nothing

BATCH_VALUES = 2**19
"""Values per batch: 2 stereo spectrograms of 256 x 431, 170 images of 3 x 32 x 32; a CPU is slower with more."""


@torch.no_grad()
def predict(model: nn.Module, samples: Samples, advance: Callable[[int], object] = count_nothing) -> np.ndarray:
    """Return class probabilities (sample, class), float64, of all samples; the network's mode is left as it was.

    Batches are views of the stored samples, and the logits leave the device once, at the end.

    Args:
        model: any classifier.
        samples: the samples.
        advance: called with the number of samples after every batch.

    Raises:
        NonFiniteError: a probability is NaN; the sample is named.
    """
    was_training = model.training
    model.eval()
    size = max(1, BATCH_VALUES // samples.gather(slice(0, 1)).numel())
    logits: list[Tensor] = []
    for start in range(0, len(samples), size):
        logits.append(model(samples.normalise(samples.gather(slice(start, start + size)))))
        advance(len(logits[-1]))
    model.train(was_training)
    probabilities = torch.cat(logits).cpu().double().softmax(1).numpy()  # not every device has float64
    _require_finite(probabilities, samples)
    return probabilities


def _require_finite(probabilities: np.ndarray, samples: Samples) -> None:
    wrong = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if not wrong.size:
        return
    first = int(wrong[0])
    name = samples.table["filename"].iloc[first]
    faulty_input = not samples.normalise(samples.gather(slice(first, first + 1))).isfinite().all()
    reason = "whose values are not finite" if faulty_input else "whose values are finite: the weights have diverged"
    raise NonFiniteError(
        f"the network gives no probabilities for {len(wrong)} of {len(samples)} samples, the first is {name}, {reason}",
        "asc-mrkd check-data STORE finds the damage" if faulty_input else LOWER_RATE,
    )
