"""A model file as the predictor uses it: its front end, its normalisation, and its probabilities, computed by torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from asc_mrkd.deploy.model_file import load_model
from asc_mrkd.features.frontend import Frontend


class TorchClassifier:
    """The network of a model file."""

    def __init__(self, path: Path) -> None:
        self._file = load_model(path)
        self.description = self._file
        self.input_shape = self._file.input_shape

    def frontend(self) -> Frontend | None:
        """Return the front end that prepares the inputs; None for pictures."""
        return None if self._file.frontend is None else Frontend(self._file.frontend)

    @torch.no_grad()
    def probabilities(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Return the class probabilities (input, class), float64, of inputs before normalisation."""
        normalised = torch.stack([self._file.normalise(x) for x in inputs])
        if len(inputs) > 1:  # faster; a single input keeps the layout, and with it the last bits, of the training
            normalised = normalised.contiguous(memory_format=torch.channels_last)
        return self._file.model(normalised).double().softmax(1).numpy()

    @contextmanager
    def next_to_workers(self, workers: int, cores: int) -> Iterator[None]:
        """Compute with fewer threads next to workers: threads that wait for their cores slow each other down."""
        before = torch.get_num_threads()
        if workers > 1:
            torch.set_num_threads(max(1, cores // 2))
        try:
            yield
        finally:
            torch.set_num_threads(before)
