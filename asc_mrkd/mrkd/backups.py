"""The backups of the student on its own training trajectory, and their forward passes."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parallel import DistributedDataParallel

State = dict[str, Tensor]


def unwrap(model: nn.Module) -> nn.Module:
    """Return the network inside torch.compile and (distributed) data-parallel wrappers."""
    if isinstance(model, nn.DataParallel | DistributedDataParallel):
        return unwrap(model.module)
    compiled = getattr(model, "_orig_mod", None)  # as torch.compile names it
    return model if compiled is None else unwrap(compiled)


def state_of(model: nn.Module) -> State:
    """Return all tensors of a network by name: parameters and buffers, those left out of state_dict too."""
    named = (*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False))
    return {name: tensor.detach() for name, tensor in named}


class Backups(nn.Module):
    """A ring of n copies of a network's tensors; copy 0 is the youngest (theta-hat 1 of the paper).

    Until the first rotation every copy holds the network as it was given. `push` renames the oldest copy to the
    youngest and overwrites it: the cascade of Algorithm 1 for the price of one copy. No storage is shared with the
    student and no copy ever receives a gradient.

    Args:
        model: the student; it is not kept, only its structure.
        copies: n.
        batch_statistics: normalise with the statistics of the batch instead of the running ones; the running
            statistics of the backups stay as they are. Copies that were never pushed always do so, because the
            running statistics of an untrained network let its logits explode.
    """

    def __init__(self, model: nn.Module, copies: int, batch_statistics: bool = False) -> None:
        super().__init__()
        student = unwrap(model)
        # A structure without storage: hooks, modes and wrappers of the student are never touched.
        self._skeleton = [copy.deepcopy(student).to("meta").requires_grad_(False).eval()]
        self._ring = [_clone(state_of(student)) for _ in range(copies)]
        self.batch_statistics = batch_statistics
        self.filled = 0

    def __len__(self) -> int:
        return len(self._ring)

    def __getitem__(self, age: int) -> State:
        """Return the tensors of the backup of that age, 0 for the youngest."""
        return self._ring[age]

    @torch.no_grad()
    def push(self, model: nn.Module) -> None:
        """Drop the oldest backup and store the network as it is now."""
        youngest = self._ring.pop()
        for name, tensor in state_of(unwrap(model)).items():
            youngest[name].copy_(tensor)
        self._ring.insert(0, youngest)
        self.filled = min(self.filled + 1, len(self))

    @torch.no_grad()
    def forward(self, x: Tensor, count: int | None = None) -> Tensor:
        """Return the logits of the `count` youngest backups (default: all): (copy, batch, class), without gradients."""
        return torch.stack([self._teach(age, x) for age in range(len(self) if count is None else count)])

    def _teach(self, age: int, x: Tensor) -> Tensor:
        (network,) = self._skeleton
        state = self._ring[age]
        by_batch = self.batch_statistics or age >= self.filled
        if by_batch:
            state = _with_spare_statistics(network, state)
        _set_batch_norm(network, by_batch)
        return functional_call(network, state, (x,))

    def get_extra_state(self) -> dict[str, Any]:
        """Return the copies and how many were pushed, for `state_dict`."""
        return {"ring": self._ring, "filled": self.filled}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the copies from a `state_dict`."""
        for mine, saved in zip(self._ring, state["ring"], strict=True):
            for name, tensor in mine.items():
                tensor.copy_(saved[name])
        self.filled = state["filled"]

    def _apply(self, fn: Any, recurse: bool = True) -> "Backups":
        self._ring = [{name: fn(tensor) for name, tensor in state.items()} for state in self._ring]
        return super()._apply(fn, recurse)


def _clone(state: State) -> State:
    return {name: tensor.clone() for name, tensor in state.items()}


def _with_spare_statistics(network: nn.Module, state: State) -> State:
    buffers = {name for name, _ in network.named_buffers()}
    return {name: tensor.clone() if name in buffers else tensor for name, tensor in state.items()}


def _set_batch_norm(network: nn.Module, by_batch: bool) -> None:
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.training = by_batch
