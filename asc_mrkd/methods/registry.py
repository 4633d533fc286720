"""The table of training methods: from a section `method` of an experiment to a module."""

from typing import Any

from torch import nn

from asc_mrkd.config import CrossEntropyConfig, MrkdConfig
from asc_mrkd.methods.base import Method, Run
from asc_mrkd.methods.ce import CrossEntropy
from asc_mrkd.mrkd import MemoryReplay


def build_method(config: CrossEntropyConfig | MrkdConfig, model: nn.Module, run: Run) -> Method:
    """Build the method that the section describes around the student."""
    if isinstance(config, MrkdConfig):
        options: dict[str, Any] = config.model_dump(exclude={"name", "preset", "interval"})
        interval = interval_in_steps(config.interval, run)
        return MemoryReplay(model, run.num_classes, interval=interval, seed=run.seed, **options)
    return CrossEntropy(model)


def interval_in_steps(interval: int | float | str, run: Run) -> int:
    """Return kappa in steps from steps (an integer), a fraction of the run, or "25 epochs"; at least 1.

    >>> run = Run(num_classes=100, total_steps=78_200, steps_per_epoch=391, seed=0)
    >>> [interval_in_steps(value, run) for value in (9775, 0.125, "25 epochs", "2.5 epochs")]
    [9775, 9775, 9775, 978]
    """
    if isinstance(interval, str):
        steps = float(interval.split()[0]) * run.steps_per_epoch
    else:
        steps = interval * run.total_steps if isinstance(interval, float) else interval
    return max(1, round(steps))
