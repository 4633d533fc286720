"""One split of a data set, ready to be indexed: what the engine trains on, whatever it came from."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from asc_mrkd.errors import DataError
from asc_mrkd.features.store import FeatureStore

Reader = Callable[[np.ndarray], Tensor]
"""Positions (batch,) to inputs (batch, channel, mel, frame) on the training device."""


@dataclass(frozen=True)
class Samples:
    """Inputs, labels and their table.

    Attributes:
        read: the inputs at some positions, in the type they are stored in.
        labels: class indices (sample,) on the training device.
        table: a row a sample: filename, label, identifier, source_label.
        classes: class names in the order of the indices.
        mean: subtracted from a sample, broadcastable to it.
        std: then divided by.
    """

    read: Reader
    labels: Tensor
    table: pd.DataFrame
    classes: list[str]
    mean: Tensor
    std: Tensor

    def __len__(self) -> int:
        return len(self.table)

    def normalise(self, x: Tensor) -> Tensor:
        """Return stored inputs (batch, channel, mel, frame) with zero mean and unit deviation, float32."""
        return (x.float() - self.mean) / self.std


def samples_of_store(store: FeatureStore, split: str, device: torch.device) -> Samples:
    """Take the usable clips of one split (train, test) of a feature store.

    Raises:
        DataError: there is none.
    """
    table = store.rows(split).reset_index(drop=True)
    if table.empty:
        raise DataError(f"{store.folder}: no usable {split} clips", "asc-mrkd check-data names what is wrong")
    index_of = {name: index for index, name in enumerate(store.classes)}
    labels = torch.tensor([index_of[label] for label in table["label"]], device=device)
    mean, std = (torch.from_numpy(values).to(device).view(1, -1, 1) for values in store.statistics())
    read = _reader(store.features, table["row"].to_numpy(), device)
    return Samples(read, labels, table[["filename", "label", "identifier", "source_label"]], store.classes, mean, std)


def _reader(features: np.ndarray, rows: np.ndarray, device: torch.device) -> Reader:
    """Keep the rows on the device if they take less than half of its free memory, else read the memory map."""
    if len(rows) * features[0].nbytes < _free_bytes(device) / 2:
        resident = torch.from_numpy(features[rows]).to(device)
        return lambda positions: resident[torch.from_numpy(positions).to(device)]
    return lambda positions: torch.from_numpy(features[rows[positions]]).to(device)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
