"""The table of training methods: what each costs and keeps, and how a section `method` becomes a module."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from asc_mrkd.config import (
    BanConfig,
    ByotConfig,
    CrossEntropyConfig,
    CskdConfig,
    DlbConfig,
    DmlConfig,
    EmaTeacherConfig,
    LabelSmoothingConfig,
    MethodConfig,
    MrkdConfig,
    MsdConfig,
    PskdConfig,
    TfkdRegConfig,
)
from asc_mrkd.methods.ban import Ban
from asc_mrkd.methods.base import Method, Run
from asc_mrkd.methods.byot import Byot
from asc_mrkd.methods.ce import CrossEntropy
from asc_mrkd.methods.cskd import Cskd
from asc_mrkd.methods.dlb import Dlb
from asc_mrkd.methods.dml import Dml
from asc_mrkd.methods.ema_teacher import EmaTeacher
from asc_mrkd.methods.msd import Msd
from asc_mrkd.methods.pskd import Pskd
from asc_mrkd.methods.tfkd_reg import TfkdReg
from asc_mrkd.mrkd import MemoryReplay
from asc_mrkd.rng import generator


@dataclass(frozen=True)
class MethodEntry:
    """A training method.

    Attributes:
        config: its section of an experiment; the first line of its docstring says what it is.
        method: its class.
        build: makes it from the section, the student and the run.
        passes: forward and backward passes of whole networks in a step, by the section; branches come on top.
        keeps: what it holds beside the student while it trains; nothing if empty.
        source: where it was published; empty if everybody knows it.
    """

    config: type[Any]
    method: type[Any]
    build: Callable[[Any, nn.Module, Run], Method]
    passes: Callable[[Any], tuple[int, int]]
    keeps: str
    source: str


def build_method(config: MethodConfig, model: nn.Module, run: Run) -> Method:
    """Build the method that the section describes around the student."""
    return METHODS[config.name].build(config, model, run)


def _ce(config: CrossEntropyConfig, model: nn.Module, run: Run) -> Method:
    return CrossEntropy(model)


def _label_smoothing(config: LabelSmoothingConfig, model: nn.Module, run: Run) -> Method:
    return CrossEntropy(model, config.epsilon)


def _mrkd(config: MrkdConfig, model: nn.Module, run: Run) -> Method:
    options: dict[str, Any] = config.model_dump(exclude={"name", "preset", "variant", "interval"})
    interval = interval_in_steps(config.interval, run)
    return MemoryReplay(model, run.num_classes, interval=interval, seed=run.seed, **options)


def _pskd(config: PskdConfig, model: nn.Module, run: Run) -> Method:
    epochs = run.total_steps // run.steps_per_epoch
    options = config.model_dump(exclude={"name"})
    return Pskd(model, run.num_classes, run.train_samples, run.steps_per_epoch, epochs, **options)


def _msd(config: MsdConfig, model: nn.Module, run: Run) -> Method:
    return Msd(model, run.num_classes, run.input_shape, seed=run.seed, **config.model_dump(exclude={"name"}))


def _byot(config: ByotConfig, model: nn.Module, run: Run) -> Method:
    return Byot(model, run.num_classes, run.input_shape, seed=run.seed, **config.model_dump(exclude={"name"}))


def _dml(config: DmlConfig, model: nn.Module, run: Run) -> Method:
    seeds = [int(generator("peer", run.seed, number).integers(2**31)) for number in range(1, config.peers)]
    return Dml(model, [run.new_model(seed) for seed in seeds], **config.model_dump(exclude={"name", "peers"}))


def _ban(config: BanConfig, model: nn.Module, run: Run) -> Method:
    return Ban(model, run.new_model, run.total_steps, seed=run.seed, **config.model_dump(exclude={"name"}))


def _tfkd_reg(config: TfkdRegConfig, model: nn.Module, run: Run) -> Method:
    return TfkdReg(model, run.num_classes, **config.model_dump(exclude={"name"}))


def _cskd(config: CskdConfig, model: nn.Module, run: Run) -> Method:
    return Cskd(model, **config.model_dump(exclude={"name"}))


def _ema_teacher(config: EmaTeacherConfig, model: nn.Module, run: Run) -> Method:
    return EmaTeacher(model, run.total_steps, **config.model_dump(exclude={"name"}))


def _dlb(config: DlbConfig, model: nn.Module, run: Run) -> Method:
    return Dlb(model, **config.model_dump(exclude={"name"}))


METHODS: dict[str, MethodEntry] = {
    "ce": MethodEntry(CrossEntropyConfig, CrossEntropy, _ce, lambda c: (1, 1), "", ""),
    "label_smoothing": MethodEntry(
        LabelSmoothingConfig, CrossEntropy, _label_smoothing, lambda c: (1, 1), "", "Szegedy et al., CVPR 2016"
    ),
    "mrkd": MethodEntry(
        MrkdConfig,
        MemoryReplay,
        _mrkd,
        lambda c: (c.copies + 1, 1),
        "copies of the network, the ensemble",
        "Wang et al., Sensors 2021",
    ),
    "pskd": MethodEntry(
        PskdConfig,
        Pskd,
        _pskd,
        lambda c: (2 if c.source == "model" else 1, 1),
        "a probability a class for every training sample, or a copy of the network",
        "Kim et al., ICCV 2021",
    ),
    "msd": MethodEntry(MsdConfig, Msd, _msd, lambda c: (1, 1), "early classifiers", "Luan et al., 2019"),
    "byot": MethodEntry(ByotConfig, Byot, _byot, lambda c: (1, 1), "early classifiers", "Zhang et al., ICCV 2019"),
    "dml": MethodEntry(
        DmlConfig, Dml, _dml, lambda c: (c.peers, c.peers), "the other peers", "Zhang et al., CVPR 2018"
    ),
    "ban": MethodEntry(
        BanConfig,
        Ban,
        _ban,
        lambda c: (2 if c.generations > 1 else 1, 1),
        "a copy of the network",
        "Furlanello et al., ICML 2018",
    ),
    "cskd": MethodEntry(CskdConfig, Cskd, _cskd, lambda c: (2, 1), "", "Yun et al., CVPR 2020"),
    "ema_teacher": MethodEntry(
        EmaTeacherConfig,
        EmaTeacher,
        _ema_teacher,
        lambda c: (2, 1),
        "a copy of the network",
        "Tarvainen and Valpola, NeurIPS 2017",
    ),
    "dlb": MethodEntry(DlbConfig, Dlb, _dlb, lambda c: (2, 2), "the logits of a batch", "Shen et al., CVPR 2022"),
    "tfkd_reg": MethodEntry(TfkdRegConfig, TfkdReg, _tfkd_reg, lambda c: (1, 1), "", "Yuan et al., CVPR 2020"),
}
"""By the name in an experiment, in the order of `asc-mrkd methods`."""


def interval_in_steps(interval: int | float | str, run: Run) -> int:
    """Return kappa in steps from steps (an integer), a fraction of the run, or "25 epochs"; at least 1.

    >>> run = Run(100, 78_200, 391, train_samples=50_000, input_shape=(3, 32, 32), seed=0, new_model=nn.Linear)
    >>> [interval_in_steps(value, run) for value in (9775, 0.125, "25 epochs", "2.5 epochs")]
    [9775, 9775, 9775, 978]
    """
    if isinstance(interval, str):
        steps = float(interval.split()[0]) * run.steps_per_epoch
    else:
        steps = interval * run.total_steps if isinstance(interval, float) else interval
    return max(1, round(steps))
