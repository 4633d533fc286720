"""The backups of the student on its own training trajectory, and their forward passes."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parallel import DistributedDataParallel

from asc_mrkd.dist import broadcast
from asc_mrkd.mrkd.adapter import logits_of

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
        devices: what the copies are spread over; each computes its logits where it lies, and nothing is waited for in
            between. None puts all of them beside the student.
        logits_of: picks the logits out of what the network returns.
    """

    def __init__(
        self,
        model: nn.Module,
        copies: int,
        batch_statistics: bool = False,
        devices: Sequence[str | torch.device] | None = None,
        logits_of: Callable[[Any], Tensor] = logits_of,
    ) -> None:
        super().__init__()
        student = unwrap(model)
        # A structure without storage: hooks, modes and wrappers of the student are never touched.
        self._skeleton = [copy.deepcopy(student).to("meta").requires_grad_(False).eval()]
        self._spread = bool(devices)
        self._ring = [_clone(state_of(student)) for _ in range(copies)]
        if devices:
            self._ring = [_moved(state, torch.device(devices[i % len(devices)])) for i, state in enumerate(self._ring)]
        self.batch_statistics, self.logits_of = batch_statistics, logits_of
        self.filled = 0

    def __len__(self) -> int:
        return len(self._ring)

    def __getitem__(self, age: int) -> State:
        """Return the tensors of the backup of that age, 0 for the youngest."""
        return self._ring[age]

    @torch.no_grad()
    def push(self, network: nn.Module | State) -> None:
        """Drop the oldest backup and store the network, or its tensors, as they are now.

        In a data-parallel run those of the first process are stored in all: every process has the same teachers.
        """
        youngest = self._ring.pop()
        state = state_of(unwrap(network)) if isinstance(network, nn.Module) else network
        for name, tensor in state.items():
            youngest[name].copy_(tensor)
            broadcast(youngest[name])
        self._ring.insert(0, youngest)
        self.filled = min(self.filled + 1, len(self))

    @torch.no_grad()
    def blend(self, model: nn.Module, decay: float) -> None:
        """Move the youngest backup towards the network as it is now: decay of the one, 1 - decay of the other.

        Buffers are averaged as the parameters are; whole numbers, such as counts of batches, are copied.
        """
        for name, tensor in state_of(unwrap(model)).items():
            mine = self._ring[0][name]
            mine.lerp_(tensor, 1 - decay) if mine.is_floating_point() else mine.copy_(tensor)
        self.filled = max(self.filled, 1)

    @torch.no_grad()
    def forward(self, x: Tensor, count: int | None = None) -> Tensor:
        """Return the logits of the `count` youngest backups (default: all): (copy, batch, class), without gradients."""
        logits = [self._teach(age, x) for age in range(len(self) if count is None else count)]
        return torch.stack([z.to(x.device, non_blocking=True) for z in logits] if self._spread else logits)

    def _teach(self, age: int, x: Tensor) -> Tensor:
        (network,) = self._skeleton
        state = self._ring[age]
        by_batch = self.batch_statistics or age >= self.filled
        if by_batch:
            state = _with_spare_statistics(network, state)
        _set_batch_norm(network, by_batch)
        if self._spread:
            x = x.to(next(iter(state.values())).device, non_blocking=True)
        return self.logits_of(functional_call(network, state, (x,)))

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
        # A move of the whole module does not gather the copies again: each goes back to where it belongs.
        home = [next(iter(state.values())).device for state in self._ring] if self._spread else None
        self._ring = [{name: fn(tensor) for name, tensor in state.items()} for state in self._ring]
        if home:
            self._ring = [_moved(state, device) for state, device in zip(self._ring, home, strict=True)]
        return super()._apply(fn, recurse)


def _moved(state: State, device: torch.device) -> State:
    return {name: tensor.to(device) for name, tensor in state.items()}


def _clone(state: State) -> State:
    return {name: tensor.clone() for name, tensor in state.items()}


def _with_spare_statistics(network: nn.Module, state: State) -> State:
    buffers = {name for name, _ in network.named_buffers()}
    return {name: tensor.clone() if name in buffers else tensor for name, tensor in state.items()}


def _set_batch_norm(network: nn.Module, by_batch: bool) -> None:
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.training = by_batch
