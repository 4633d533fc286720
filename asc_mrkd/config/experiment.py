"""The sections of an experiment and their reading."""

import os
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from asc_mrkd.config.domain import DOMAINS, IMAGES, SCENES, Domain
from asc_mrkd.errors import ConfigError
from asc_mrkd.files import write_text
from asc_mrkd.schema import Count, Fraction, NotNegative, Positive, Schema, apply_override, parse, read_yaml


class PruneConfig(Schema):
    """Magnitude pruning while training: masks set at the start of every epoch, multiplied in at the end."""

    amount: Fraction | None = None
    """Fraction of the weights to end without."""
    keep: Count | None = None
    """In its place: parameters to end with, batch normalisation included."""
    scope: Literal["global", "layer"] = "global"
    """Compare magnitudes over the whole network, or within each layer."""
    kernels: Literal["all", "1x1"] = "all"
    ramp: Literal["linear", "exp"] = "linear"
    """How the fraction grows: epoch / ramp_epochs, or exp(-(1 - epoch / ramp_epochs)^3)."""
    ramp_epochs: Count = 50

    @model_validator(mode="after")
    def _check_target(self) -> "PruneConfig":
        if (self.amount is None) == (self.keep is None):
            raise ValueError("give either amount or keep")
        return self


class StoreConfig(Schema):
    """Spectrograms of recordings."""

    domain: ClassVar[Domain] = SCENES
    scored_split: ClassVar[str] = "test"

    store: str
    """Feature store, a folder made by `asc-mrkd extract-features`."""

    @property
    def folder(self) -> Path:
        """Folder of the data."""
        return Path(self.store)


class ImagesConfig(Schema):
    """Images: CIFAR-10, CIFAR-100 or CINIC-10 as unpacked, or a tree made by `asc-mrkd make-images`."""

    domain: ClassVar[Domain] = IMAGES

    images: str
    """Folder of the image set."""
    train: Literal["train", "train+valid"] = "train"
    """Splits to train on; `valid` is the third split of CINIC-10, which the paper leaves out."""
    subset: Count | None = None
    """Number of images to train on, the same in every run and evenly over the classes; None takes all."""
    held_out: Annotated[int, Field(ge=0)] = 0
    """For tuning: number of training images to leave out and to score in place of the test images."""

    @property
    def folder(self) -> Path:
        """Folder of the data."""
        return Path(self.images)

    @property
    def scored_split(self) -> str:
        """Name of the scored images in tables."""
        return "held-out" if self.held_out else "test"


def _data_tag(values: Any) -> str:
    names = values if isinstance(values, dict) else vars(values)
    return "image_data" if "images" in names else "store_data"


DataConfig = Annotated[
    Annotated[StoreConfig, Tag("store_data")] | Annotated[ImagesConfig, Tag("image_data")], Discriminator(_data_tag)
]


class AugmentConfig(Schema):
    """What happens to a training batch; every draw is a function of (seed, epoch, sample)."""

    roll_frames: Annotated[int, Field(ge=0)] = 0
    """Circular shift in time by a uniform integer in [-roll_frames, roll_frames]."""
    crop_frames: Count | None = None
    """Train on a random stretch of this many frames; testing uses the whole clip."""
    pad: Annotated[int, Field(ge=0)] = 0
    """Zeros around an image, before it is normalised, out of which a random part of its own size is cut."""
    flip: bool = False
    """Mirror an image, left to right, with probability 1/2."""
    mixup: NotNegative = 0.0
    """Parameter of the Beta distribution of Mixup; 0 switches it off."""
    mixup_fold: bool = True
    """Use max(lambda, 1 - lambda), so that the sample itself dominates."""


class ModelConfig(Schema):
    """The network and its options (`asc-mrkd models` lists them)."""

    name: str = "cp_resnet"
    options: dict[str, Any] = Field(default_factory=dict)


class MethodConfig(Schema):
    """Name of a training method and its options (`asc-mrkd methods` lists them).

    The options are those of the method's class. `methods.check_method` checks them and fills in the others.
    """

    model_config = ConfigDict(extra="allow")

    name: str

    @property
    def options(self) -> dict[str, Any]:
        """Options by name."""
        return dict(self.model_extra or {})


class OptimizerConfig(Schema):
    """SGD or Adam with the arguments of torch.optim."""

    name: Literal["sgd", "adam"] = "sgd"
    lr: Positive = 1e-4
    momentum: Fraction = 0.9
    nesterov: bool = False
    weight_decay: NotNegative = 0.0


class ScheduleConfig(Schema):
    """The factor on the learning rate: 1 for `hold` epochs, linearly to 0 over `decay` epochs, then `floor`."""

    hold: NotNegative = 0.0
    decay: Positive | None = None
    """Epochs of linear decay; None means until the end of the run."""
    floor: Fraction = 0.0
    per: Literal["step", "epoch"] = "step"


class TrainConfig(Schema):
    """The loop."""

    epochs: Count
    batch_size: Count
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    device: str = "auto"
    threads: Count | None = None
    """Threads on a CPU; the last digits depend on them. None takes all cores."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Arithmetic of the networks; losses and weights stay float32. `auto` is bfloat16 where the device gains by it."""
    channels_last: bool | Literal["auto"] = "auto"
    """Memory format of networks and inputs; `auto` goes with bfloat16, which gains by it."""
    compile: bool = False
    evaluate_every: Annotated[int, Field(ge=0)] = 1
    """Epochs between two looks at the test set, for the learning curve only; 0 looks at the end only."""
    checkpoint_every: Count = 1
    """Epochs between two checkpoints."""
    prune: PruneConfig | None = None

    @model_validator(mode="after")
    def _check_ramp(self) -> "TrainConfig":
        if self.prune and self.prune.ramp_epochs >= self.epochs:
            raise ValueError(f"prune.ramp_epochs={self.prune.ramp_epochs} must end before the last of the epochs")
        return self


class Experiment(Schema):
    """Everything that decides the numbers of a run."""

    data: DataConfig
    model: ModelConfig = ModelConfig()
    method: MethodConfig = MethodConfig(name="ce")
    augment: AugmentConfig = AugmentConfig()
    train: TrainConfig
    seeds: list[Annotated[int, Field(ge=0)]] = Field(default_factory=lambda: [0], min_length=1)

    not_numbers: ClassVar[tuple[str, ...]] = (
        "seeds",
        "train.device",
        "train.evaluate_every",
        "train.checkpoint_every",
        "method.teacher_devices",
    )
    """Keys that may differ when a run is continued, because no weight depends on them."""

    @model_validator(mode="before")
    @classmethod
    def _name_only_method(cls, values: dict[str, Any]) -> dict[str, Any]:
        method = values.get("method")
        return {**values, "method": {"name": method}} if isinstance(method, str) else values

    @property
    def domain(self) -> Domain:
        """Scenes or images."""
        return self.data.domain

    @model_validator(mode="after")
    def _require_augmentation_of_the_domain(self) -> "Experiment":
        for domain in DOMAINS.values():
            used = any(getattr(self.augment, key) for key in domain.augmentations)
            if used and domain is not self.domain:
                keys = " and ".join(f"augment.{key}" for key in domain.augmentations)
                raise ValueError(f"{keys} are for {domain.name}; data.{self.domain.data_key} has none")
        return self


def load_experiment(path: str | os.PathLike[str], overrides: list[str] | None = None) -> Experiment:
    """Read an experiment file and apply `section.key=value` overrides (values are YAML).

    A file may start from another one, `base: ../common.yaml` (relative to itself): it then says only what differs.
    A section `data` or `method` replaces that of the base, all others are merged key by key.

    The options of the method are not checked: `methods.load_experiment` does that.

    Raises:
        ConfigError: unreadable file, unknown key (with a suggestion), value out of range.
    """
    values = _with_base(Path(path), ())
    for override in overrides or []:
        apply_override(values, override)
    return parse(Experiment, values, str(path))


def _with_base(path: Path, below: tuple[Path, ...]) -> dict[str, Any]:
    if path in below:
        raise ConfigError(f"{path} is its own base", "remove one of the `base:` lines")
    values = read_yaml(path)
    base = values.pop("base", None)
    if base is None:
        return values
    merged = _with_base(Path(os.path.normpath(path.parent / str(base))), (*below, path))
    for section, value in values.items():
        both = isinstance(value, dict) and isinstance(merged.get(section), dict)
        merged[section] = {**merged[section], **value} if both and section not in ("data", "method") else value
    return merged


def save_experiment(experiment: Experiment, path: str | os.PathLike[str]) -> None:
    """Write the resolved experiment: every value, the defaults too."""
    write_text(path, yaml.safe_dump(experiment.model_dump(), sort_keys=False))
