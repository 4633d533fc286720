"""The backups of the student on its own training trajectory, and their forward passes."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parallel import DistributedDataParallel

from asc_mrkd.dist import broadcast
from asc_mrkd.mrkd.logits import logits_of

State = dict[str, Tensor]


def unwrap(model: nn.Module) -> nn.Module:
    """Return the network inside torch.compile and (distributed) data-parallel wrappers."""
    if isinstance(model, nn.DataParallel | DistributedDataParallel):
        return unwrap(model.module)
    compiled = getattr(model, "_orig_mod", None)  # as torch.compile names it
    if compiled is None:
        return model
    return unwrap(compiled)


def state_of(model: nn.Module) -> State:
    """Return all tensors of a network by name: parameters and buffers, those left out of state_dict too."""
    named = (*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False))
    return {name: tensor.detach() for name, tensor in named}


class Backups(nn.Module):
    """A ring of n backups of a network's tensors; backup 0 is the youngest (theta-hat 1 of the paper).

    Until the first rotation every backup holds the network as it was given. `push` reuses the oldest backup for the
    youngest: the cascade of Algorithm 1 for the price of one copy. Backups share no storage with the student and never
    receive a gradient.

    Args:
        model: the student; only its structure is kept.
        num_backups: n.
        batch_statistics: normalise with the statistics of the batch instead of the running ones; the running
            statistics of the backups stay as they are. Backups that were never pushed always do so, because the
            running statistics of an untrained network let its logits explode.
        devices: devices to spread the backups over; each backup computes its logits on its device, without waiting
            for the others. None keeps all of them on the student's device.
        logits_of: function that picks the logits out of the output of the network.
    """

    def __init__(
        self,
        model: nn.Module,
        num_backups: int,
        batch_statistics: bool = False,
        devices: Sequence[str | torch.device] | None = None,
        logits_of: Callable[[Any], Tensor] = logits_of,
    ) -> None:
        super().__init__()
        student = unwrap(model)
        # A structure without storage, in a list: hooks, modes and wrappers of the student are never touched.
        self._skeleton = [copy.deepcopy(student).to("meta").requires_grad_(False).eval()]
        self._spread = bool(devices)
        self._states = [_clone(state_of(student)) for _ in range(num_backups)]
        if devices:
            for i, state in enumerate(self._states):
                self._states[i] = _move(state, torch.device(devices[i % len(devices)]))
        self.batch_statistics = batch_statistics
        self.logits_of = logits_of
        self.filled = 0
        """Number of real backups: those that were pushed."""

    def __len__(self) -> int:
        return len(self._states)

    def __getitem__(self, age: int) -> State:
        """Return the tensors of the backup of that age, 0 for the youngest."""
        return self._states[age]

    @torch.no_grad()
    def push(self, network: nn.Module | State) -> None:
        """Drop the oldest backup and store the network, or its tensors, as they are now.

        In a data-parallel run all processes store those of the first one, so that all have the same teachers.
        """
        youngest = self._states.pop()
        state = state_of(unwrap(network)) if isinstance(network, nn.Module) else network
        for name, tensor in state.items():
            youngest[name].copy_(tensor)
            broadcast(youngest[name])
        self._states.insert(0, youngest)
        self.filled = min(self.filled + 1, len(self))

    @torch.no_grad()
    def blend(self, model: nn.Module, decay: float) -> None:
        """Replace the youngest backup by decay * backup + (1 - decay) * network.

        Buffers are averaged as the parameters are; whole numbers, such as counts of batches, are copied.
        """
        for name, tensor in state_of(unwrap(model)).items():
            average = self._states[0][name]
            if average.is_floating_point():
                average.lerp_(tensor, 1 - decay)
            else:
                average.copy_(tensor)
        self.filled = max(self.filled, 1)

    @torch.no_grad()
    def forward(self, x: Tensor, count: int | None = None) -> Tensor:
        """Return the logits of the `count` youngest backups (default: all): (backup, batch, class), no gradients."""
        if count is None:
            count = len(self)
        logits = [self._run_backup(age, x) for age in range(count)]
        if self._spread:
            logits = [z.to(x.device, non_blocking=True) for z in logits]
        return torch.stack(logits)

    def _run_backup(self, age: int, x: Tensor) -> Tensor:
        network = self._skeleton[0]
        state = self._states[age]
        by_batch = self.batch_statistics or age >= self.filled
        if by_batch:
            state = _with_spare_buffers(network, state)
        _set_batch_norm(network, by_batch)
        if self._spread:
            x = x.to(next(iter(state.values())).device, non_blocking=True)
        return self.logits_of(functional_call(network, state, (x,)))

    def get_extra_state(self) -> dict[str, Any]:
        """Return the backups and the number of pushed ones, for `state_dict`."""
        return {"states": self._states, "filled": self.filled}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the backups from a `state_dict`."""
        for own, saved in zip(self._states, state["states"], strict=True):
            for name, tensor in own.items():
                tensor.copy_(saved[name])
        self.filled = state["filled"]

    def _apply(self, fn: Any, recurse: bool = True) -> "Backups":
        homes = [next(iter(state.values())).device for state in self._states]
        self._states = [{name: fn(tensor) for name, tensor in state.items()} for state in self._states]
        if self._spread:  # each backup goes back to its own device
            self._states = [_move(state, home) for state, home in zip(self._states, homes, strict=True)]
        return super()._apply(fn, recurse)


def _move(state: State, device: torch.device) -> State:
    return {name: tensor.to(device) for name, tensor in state.items()}


def _clone(state: State) -> State:
    return {name: tensor.clone() for name, tensor in state.items()}


def _with_spare_buffers(network: nn.Module, state: State) -> State:
    """Return the state with copies of its buffers, which batch normalisation in training mode overwrites."""
    buffers = {name for name, _ in network.named_buffers()}
    return {name: tensor.clone() if name in buffers else tensor for name, tensor in state.items()}


def _set_batch_norm(network: nn.Module, by_batch: bool) -> None:
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.training = by_batch
