"""The section `method` of an experiment: one class a training method."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from asc_mrkd.config.mrkd import MrkdConfig
from asc_mrkd.schema import Count, Fraction, NotNegative, Positive, Schema


class CrossEntropyConfig(Schema):
    """Training with labels only: the baseline."""

    title: ClassVar[str] = "CE"
    name: Literal["ce"] = "ce"


class LabelSmoothingConfig(Schema):
    """Labels that leave a share to all classes."""

    title: ClassVar[str] = "Label smoothing"
    name: Literal["label_smoothing"] = "label_smoothing"
    epsilon: Fraction = 0.1
    """Share that is spread evenly over all classes, the true one included."""


class PskdConfig(Schema):
    """Progressive self-knowledge distillation, the paper's Self-KD; with Mixup it needs source=model."""

    title: ClassVar[str] = "Self-KD"
    name: Literal["pskd"] = "pskd"
    alpha: Fraction = 0.8
    """Weight of the past predictions in the last epoch; it grows linearly over the epochs."""
    source: Literal["predictions", "model"] = "predictions"
    """What was predicted on the way through the last epoch, or what the network at its end says of this very input."""


class MsdConfig(Schema):
    """Multi-branch self-distillation: early classifiers and the last one teach each other."""

    title: ClassVar[str] = "MSD"
    name: Literal["msd"] = "msd"
    alpha: Fraction = 0.5
    temperature: Positive = 3.0
    branches: list[str] | None = None
    """Layers with an early classifier; None takes those that the network names."""


class ByotConfig(Schema):
    """Be your own teacher: the last classifier teaches early ones."""

    title: ClassVar[str] = "BYOT"
    name: Literal["byot"] = "byot"
    alpha: Fraction = 0.1
    temperature: Positive = 3.0
    feature_weight: NotNegative = 1.28e-4
    """Weight of the squared difference between the branches' last feature maps and the network's, averaged over the
    batch; the public code has 1e-6 of the sum over batches of 128."""
    branches: list[str] | None = None
    """Layers with an early classifier; None takes those that the network names."""


class DmlConfig(Schema):
    """Deep mutual learning: networks of their own initial weights teach each other; the first one is kept."""

    title: ClassVar[str] = "DML"
    name: Literal["dml"] = "dml"
    peers: Annotated[int, Field(ge=2)] = 2
    """Networks in all, the student among them."""
    weight: NotNegative = 1.0
    temperature: Positive = 1.0
    reduction: Literal["mean", "sum"] = "mean"
    """Of the divergences of a network from its peers."""


class BanConfig(Schema):
    """Born-again networks: each generation, a fresh network, is taught by the one before; the last one is kept."""

    title: ClassVar[str] = "BAN"
    name: Literal["ban"] = "ban"
    generations: Count = 2
    """Trainings of `train.epochs` epochs each, one after the other; the first has labels only."""
    alpha: Fraction = 0.5
    temperature: Positive = 1.0


class CskdConfig(Schema):
    """Class-wise self-knowledge distillation: another sample of the same class is to be seen alike."""

    title: ClassVar[str] = "CS-KD"
    name: Literal["cskd"] = "cskd"
    weight: NotNegative = 1.0
    temperature: Positive = 4.0


class EmaTeacherConfig(Schema):
    """Mean teacher without unlabelled data: the running average of the weights teaches, on another view."""

    title: ClassVar[str] = "EMA teacher"
    name: Literal["ema_teacher"] = "ema_teacher"
    decay: Fraction = 0.999
    """Of the average; it starts lower, at 1 - 1 / (step + 1)."""
    weight: NotNegative = 1.0
    """Of the divergence from the teacher, after its ramp."""
    temperature: Positive = 1.0
    ramp: Fraction = 0.4
    """Share of the run in which the weight grows along exp(-5 (1 - t)^2)."""


class TfkdRegConfig(Schema):
    """Teacher-free regularisation: a virtual teacher that is always right, with the other classes alike."""

    title: ClassVar[str] = "Tf-KD reg"
    name: Literal["tfkd_reg"] = "tfkd_reg"
    alpha: Fraction = 0.1
    temperature: Positive = 20.0
    correct: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.99
    """Probability of the true class."""


class DlbConfig(Schema):
    """Distillation from the last mini-batch: what was said of it a step ago is to hold for another view of it."""

    title: ClassVar[str] = "DLB"
    name: Literal["dlb"] = "dlb"
    weight: NotNegative = 1.0
    temperature: Positive = 3.0


MethodConfig = (
    CrossEntropyConfig
    | LabelSmoothingConfig
    | MrkdConfig
    | PskdConfig
    | MsdConfig
    | ByotConfig
    | DmlConfig
    | BanConfig
    | CskdConfig
    | EmaTeacherConfig
    | TfkdRegConfig
    | DlbConfig
)
