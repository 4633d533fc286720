"""What every training method offers the engine, and what it may know of the run."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from asc_mrkd.mrkd.labels import Labels
from asc_mrkd.mrkd.losses import Losses


@dataclass(frozen=True)
class Run:
    """What a method may know of the run when it is built."""

    num_classes: int
    total_steps: int
    steps_per_epoch: int
    train_samples: int
    input_shape: tuple[int, ...]
    seed: int


class Method(Protocol):
    """A module that owns the student and whatever else is trained or kept, and turns a batch into losses."""

    model: nn.Module
    """The student: the only part that is exported."""

    needs: ClassVar[tuple[str, ...]]
    """What it takes by name beside inputs and labels: `index`, the numbers of the samples in the training set."""

    def __call__(self, x: Tensor, labels: Labels, **needed: Tensor) -> Losses:
        """Return the losses of a batch."""

    def step(self) -> None:
        """Be told that the optimiser has taken a step."""

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Move to a device and into a memory format, as `torch.nn.Module.to` does."""

    def train(self) -> Any:
        """Switch to training mode."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return what the optimiser trains."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything needed to go on."""

    def load_state_dict(self, state_dict: Any) -> Any:
        """Go on from a `state_dict`."""
