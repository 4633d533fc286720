"""One split of a data set, ready to be indexed: what the engine trains on, whatever it came from."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

Reader = Callable[[Tensor | slice], Tensor]
"""Positions (batch,), or a range of them, to inputs (batch, channel, height, width) on the training device."""


@dataclass(frozen=True)
class Samples:
    """Inputs, labels and their table.

    Attributes:
        read: the inputs at some positions, in the type they are stored in.
        labels: class indices (sample,) on the training device.
        table: a row a sample: filename, label, identifier, source_label.
        mean: subtracted from a sample, broadcastable to it.
        std: then divided by.
    """

    read: Reader
    labels: Tensor
    table: pd.DataFrame
    mean: Tensor
    std: Tensor

    def __len__(self) -> int:
        return len(self.table)

    def normalise(self, x: Tensor) -> Tensor:
        """Return stored inputs (batch, channel, height, width) with zero mean and unit deviation, float32."""
        return (x.float() - self.mean) / self.std


def make_samples(
    inputs: np.ndarray,
    rows: np.ndarray,
    table: pd.DataFrame,
    classes: list[str],
    statistics: tuple[np.ndarray, np.ndarray],
    device: torch.device,
) -> Samples:
    """Put some rows of an array (row, channel, height, width) and their table (label in classes) on a device."""
    index_of = {name: index for index, name in enumerate(classes)}
    labels = torch.tensor([index_of[label] for label in table["label"]], device=device)
    mean, std = (torch.from_numpy(values).to(device, torch.float32) for values in statistics)
    columns = ["filename", "label", "identifier", "source_label"]
    return Samples(_reader(inputs, rows, device), labels, table[columns].reset_index(drop=True), mean, std)


def _reader(inputs: np.ndarray, rows: np.ndarray, device: torch.device) -> Reader:
    """Keep the rows on the device if they take less than half of its free memory, else read the memory map."""
    if len(rows) * inputs[0].nbytes < _free_bytes(device) / 2:
        resident = torch.from_numpy(inputs[rows]).to(device)
        return lambda where: resident[where]
    return lambda where: torch.from_numpy(inputs[rows[where if isinstance(where, slice) else where.cpu()]]).to(device)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
