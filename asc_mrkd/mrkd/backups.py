"""The backups of the student on its own training trajectory, and their forward passes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from asc_mrkd.device import choose_device
from asc_mrkd.dist import broadcast
from asc_mrkd.errors import ModelError, NonFiniteError
from asc_mrkd.mrkd.folding import fold_normalisation
from asc_mrkd.mrkd.logits import logits_of
from asc_mrkd.mrkd.networks import (
    State,
    blend_networks,
    compiler_of,
    copy_input,
    copy_network,
    device_of,
    state_of,
    unwrap,
    write_state,
)


class Backups(nn.Module):
    """A ring of n backups, copies of a network; backup 0 is the youngest (theta-hat 1 of the paper).

    Until the first rotation every backup is a copy of the network as it was given. `push` replaces the oldest backup by
    the youngest: the cascade of Algorithm 1 for the price of one copy. Backups share no storage with the student, run
    in evaluation mode and never receive a gradient. If the student is compiled, they are compiled likewise, once for
    all backups. Where rounding differs anyway, under autocast or with weights stored channels last, backups with
    running statistics run as copies with folded normalisation.

    Args:
        model: the student; it is copied with everything that its layers hold.
        num_backups: n.
        batch_statistics: normalise with the statistics of the batch instead of the running ones; the running
            statistics of the backups stay as they are. Backups that were never pushed always do so, because the
            running statistics of an untrained network let its logits explode.
        devices: devices to spread the backups over; each backup computes its logits on its device, without waiting
            for the others. None keeps all of them on the student's device.
        logits_of: function that picks the logits out of the output of the network.

    Raises:
        ModelError: a layer of the network cannot be copied.
        ConfigError: a device does not exist.
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
        self._homes = [one if isinstance(one, torch.device) else choose_device(one) for one in devices or ()]
        # A list, so that the backups are no layers: no optimiser finds them, and `train` leaves their modes alone.
        self._networks = [self._make_backup(model, number) for number in range(num_backups)]
        self._runners: list[nn.Module | None] = [None] * num_backups
        """The networks as they run, compiled or folded; None if that is to be made from the network."""
        self._compile = compiler_of(model)
        self.batch_statistics = batch_statistics
        self.logits_of = logits_of
        self.filled = 0
        """Number of real backups: those that were pushed."""

    def __len__(self) -> int:
        return len(self._networks)

    def __getitem__(self, age: int) -> State:
        """Return the tensors of the backup of that age, 0 for the youngest."""
        return state_of(self._networks[age])

    def weights(self) -> list[Tensor]:
        """Return the parameters of all backups; nothing but `blend` writes to them, backups are replaced as a whole."""
        return [parameter for network in self._networks for parameter in network.parameters()]

    @property
    def youngest(self) -> nn.Module:
        """The network of backup 0."""
        return self._networks[0]

    @torch.no_grad()
    def push(self, model: nn.Module) -> None:
        """Drop the oldest backup and store the network as it is now.

        In a data-parallel run all processes store that of the first one, so that all have the same teachers.

        Raises:
            NonFiniteError: a weight is NaN or infinite; nothing is stored.
        """
        require_finite_weights(model)
        oldest = self._networks.pop()
        youngest = copy_network(model).requires_grad_(False).eval().to(device_of(oldest))
        for tensor in state_of(youngest).values():
            broadcast(tensor)
        self._networks.insert(0, youngest)
        self._runners = [None, *self._runners[:-1]]
        self.filled = min(self.filled + 1, len(self))

    @torch.no_grad()
    def blend(self, model: nn.Module, decay: float) -> None:
        """Replace the youngest backup by decay * backup + (1 - decay) * network, as `blend_networks` does."""
        blend_networks(self.youngest, unwrap(model), decay)
        self._runners[0] = None
        self.filled = max(self.filled, 1)

    @torch.no_grad()
    def forward(self, x: Any, count: int | None = None, **keywords: Any) -> Tensor:
        """Return the logits of the `count` youngest backups (default: all): (backup, batch, class), no gradients.

        Args:
            x: input of the student, batch first.
            count: number of backups.
            keywords: further inputs of the student, by name.
        """
        if count is None:
            count = len(self)
        distinct = min(count, self.filled + 1)  # those that were never pushed are the same network
        logits = [self.run(age, x, keywords) for age in range(distinct)]
        logits += logits[-1:] * (count - distinct)
        if self._homes:
            target = next((leaf.device for leaf in tree_leaves((x, keywords)) if isinstance(leaf, Tensor)), None)
            logits = [z.to(target, non_blocking=True) for z in logits]
        return torch.stack(logits)

    @torch.no_grad()
    def run(self, age: int, x: Any, keywords: Mapping[str, Any]) -> Tensor:
        """Return the logits (batch, class) of the backup of that age, on its device."""
        network = self._networks[age]
        by_batch = self.batch_statistics or age >= self.filled
        _normalise_by_batch(network, by_batch)
        x, keywords = copy_input((x, keywords), device_of(network))
        if self._compile is None and (by_batch or not _may_round(network)):
            return self.logits_of(network(x, **keywords))
        runner = self._runners[age]
        if runner is None:
            runner = self._compile(network) if self._compile else fold_normalisation(network, x, keywords)
            self._runners[age] = runner
        return self.logits_of(runner(x, **keywords)).clone()  # the next run of a CUDA graph writes to the same place

    def _make_backup(self, model: nn.Module, number: int) -> nn.Module:
        backup = copy_network(model).requires_grad_(False).eval()
        if self._homes:
            backup.to(self._homes[number % len(self._homes)])
        return backup

    def get_extra_state(self) -> dict[str, Any]:
        """Return the backups and the number of pushed ones, for `state_dict`."""
        return {"states": [state_of(network) for network in self._networks], "filled": self.filled}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the backups from a `state_dict`.

        Raises:
            ModelError: it has another number of backups, or backups of another network.
        """
        states = state["states"]
        if len(states) != len(self):
            raise ModelError(
                f"num_backups was {len(states)} when the state was saved, and is {len(self)} here",
                f"load it with num_backups={len(states)}",
            )
        networks = [copy_network(network) for network in self._networks]
        for network, saved in zip(networks, states, strict=True):
            write_state(network, saved)
        self._networks = networks  # written nowhere in place: the state may share their weights
        self._runners = [None] * len(self)
        self.filled = state["filled"]

    def _apply(self, fn: Any, recurse: bool = True) -> "Backups":
        self._runners = [None] * len(self)
        for network in self._networks:
            home = device_of(network)
            network._apply(fn)
            if self._homes:  # each backup goes back to its own device
                network.to(home)
        return super()._apply(fn, recurse)


def require_finite_weights(model: nn.Module) -> None:
    """Refuse a network with a weight that is NaN or infinite.

    Raises:
        NonFiniteError: the first such weight.
    """
    for name, tensor in unwrap(model).named_parameters():
        if not torch.isfinite(tensor).all():
            raise NonFiniteError(
                f"'{name}' of the student is not finite: no backup of it is stored",
                "try a lower learning rate; skip steps whose loss or gradient is not finite",
            )


def _may_round(network: nn.Module) -> bool:
    """Return whether results may differ by rounding: under autocast, or with weights stored channels last."""
    if torch.is_autocast_enabled(device_of(network).type):
        return True
    maps = [weight for weight in network.parameters() if weight.dim() == 4]
    return any(not weight.is_contiguous() for weight in maps)


def _normalise_by_batch(network: nn.Module, by_batch: bool) -> None:
    """Let batch normalisation use the statistics of the batch, or the running ones; these stay as they are."""
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.training = by_batch
            layer.track_running_stats = not by_batch and layer.running_mean is not None
