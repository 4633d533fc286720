"""A model file as the predictor uses it: its front end, its normalisation, and its probabilities, computed by torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from asc_mrkd.deploy.model_file import load_model
from asc_mrkd.device import choose_device
from asc_mrkd.errors import ModelError
from asc_mrkd.features.frontend import Frontend


class TorchClassifier:
    """The network of a model file.

    Args:
        path: model file, seed folder or run folder.
        device: device that computes, as torch names it; `auto` is a GPU if there is one.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self._file = load_model(path)
        self._device = choose_device(device)
        self._file.model.to(self._device)
        self.device = str(self._device)
        self.description = self._file
        self.input_shape = self._file.input_shape

    def frontend(self) -> Frontend | None:
        """Return the front end that prepares the inputs; None for pictures."""
        return None if self._file.frontend is None else Frontend(self._file.frontend)

    @torch.no_grad()
    def outputs(self, inputs: list[np.ndarray], with_embeddings: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return class probabilities and embeddings of inputs before normalisation.

        Returns:
            Probabilities (input, class), float64, and the inputs of the classifier (input, value), float32, of which
            there are none unless they are wanted.

        Raises:
            ModelError: embeddings are wanted, and no layer of the network gives the classes.
        """
        normalised = torch.stack([self._file.normalise(x) for x in inputs])
        if len(inputs) > 1:  # faster; a single input keeps the layout, and with it the last bits, of the training
            normalised = normalised.contiguous(memory_format=torch.channels_last)
        normalised = normalised.to(self._device)
        if with_embeddings:
            logits, embeddings = run_with_embeddings(self._file.model, normalised, len(self._file.classes))
        else:
            logits = self._file.model(normalised)
            embeddings = logits[:, :0]
        return logits.cpu().double().softmax(1).numpy(), embeddings.cpu().numpy()

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


def run_with_embeddings(model: nn.Module, x: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Return the logits (input, class) of a network, and what its last layer with that many outputs got (input, value).

    The input of a convolution is averaged over its places, that of a linear layer over its steps.

    Raises:
        ModelError: no convolution or linear layer with `num_classes` outputs has run.

    >>> network = nn.Sequential(nn.Conv2d(1, 5, 3), nn.Conv2d(5, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> [tuple(part.shape) for part in run_with_embeddings(network, torch.zeros(3, 1, 8, 8), 2)]
    [(3, 2), (3, 5)]
    """
    kept: list[Tensor] = []

    def keep(layer: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
        features = (*args, *kwargs.values())[0]
        if isinstance(layer, nn.Linear):
            kept[:] = [features.flatten(1, -2).mean(1) if features.dim() > 2 else features]
        else:
            kept[:] = [features.flatten(2).mean(2)]

    hooks = []
    for layer in model.modules():
        outputs = getattr(layer, "out_channels", getattr(layer, "out_features", None))
        if isinstance(layer, _ConvNd | nn.Linear) and outputs == num_classes:
            hooks.append(layer.register_forward_pre_hook(keep, with_kwargs=True))
    try:
        logits = model(x)
    finally:
        for hook in hooks:
            hook.remove()
    if not kept:
        raise ModelError(
            f"no layer of {type(model).__name__} gives {num_classes} classes, so there is none in front of it",
            "embeddings need a network that ends in a linear layer or a convolution",
        )
    return logits, kept[0]
