"""The table of training methods: from a section `method` of an experiment to a module."""

from collections.abc import Callable
from typing import Any

from torch import nn

from asc_mrkd.config import CrossEntropyConfig, MethodConfig, MrkdConfig, MsdConfig, PskdConfig
from asc_mrkd.methods.base import Method, Run
from asc_mrkd.methods.ce import CrossEntropy
from asc_mrkd.methods.msd import Msd
from asc_mrkd.methods.pskd import Pskd
from asc_mrkd.mrkd import MemoryReplay


def build_method(config: MethodConfig, model: nn.Module, run: Run) -> Method:
    """Build the method that the section describes around the student."""
    return BUILDERS[type(config)](config, model, run)


def _ce(config: CrossEntropyConfig, model: nn.Module, run: Run) -> Method:
    return CrossEntropy(model)


def _mrkd(config: MrkdConfig, model: nn.Module, run: Run) -> Method:
    options: dict[str, Any] = config.model_dump(exclude={"name", "preset", "interval"})
    interval = interval_in_steps(config.interval, run)
    return MemoryReplay(model, run.num_classes, interval=interval, seed=run.seed, **options)


def _pskd(config: PskdConfig, model: nn.Module, run: Run) -> Method:
    epochs = run.total_steps // run.steps_per_epoch
    options = config.model_dump(exclude={"name"})
    return Pskd(model, run.num_classes, run.train_samples, run.steps_per_epoch, epochs, **options)


def _msd(config: MsdConfig, model: nn.Module, run: Run) -> Method:
    return Msd(model, run.num_classes, run.input_shape, seed=run.seed, **config.model_dump(exclude={"name"}))


BUILDERS: dict[type, Callable[[Any, nn.Module, Run], Method]] = {
    CrossEntropyConfig: _ce,
    MrkdConfig: _mrkd,
    PskdConfig: _pskd,
    MsdConfig: _msd,
}


def interval_in_steps(interval: int | float | str, run: Run) -> int:
    """Return kappa in steps from steps (an integer), a fraction of the run, or "25 epochs"; at least 1.

    >>> run = Run(100, total_steps=78_200, steps_per_epoch=391, train_samples=50_000, input_shape=(3, 32, 32), seed=0)
    >>> [interval_in_steps(value, run) for value in (9775, 0.125, "25 epochs", "2.5 epochs")]
    [9775, 9775, 9775, 978]
    """
    if isinstance(interval, str):
        steps = float(interval.split()[0]) * run.steps_per_epoch
    else:
        steps = interval * run.total_steps if isinstance(interval, float) else interval
    return max(1, round(steps))
