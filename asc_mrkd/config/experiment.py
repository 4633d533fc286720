"""The sections of an experiment file, and how it is read and written."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import (
    AfterValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_serializer,
    model_validator,
)

from asc_mrkd.config.domain import DOMAINS, IMAGES, SCENES, Domain
from asc_mrkd.errors import ConfigError, list_of, shown
from asc_mrkd.files import write_text
from asc_mrkd.own_code import code_digest, parse_own
from asc_mrkd.schema import (
    NUMBER,
    Count,
    Fraction,
    NotNegative,
    PathName,
    Positive,
    Schema,
    Seed,
    Whole,
    apply_override,
    flatten,
    parse,
)
from asc_mrkd.texts import read_yaml

HINT = (
    "an experiment file starts like `data:` / `  store: exp/store`; "
    "asc-mrkd recipes ls lists those that come with the package"
)
"""Hint for a file that is not one of an experiment."""

LONGEST_CHAIN = 16
"""Largest number of experiment files that build on one another."""


class PruneConfig(Schema):
    """Magnitude pruning while training: masks set at the start of every epoch, multiplied in at the end."""

    amount: Fraction | None = None
    """Fraction of the weights that is zero at the end, 0..1; either this or `keep`."""
    keep: Count | None = None
    """Number of parameters that are not zero at the end, batch normalisation included."""
    scope: Literal["global", "layer"] = "global"
    """Weights whose magnitudes are compared: those of the whole network, or of each layer."""
    kernels: Literal["all", "1x1"] = "all"
    """Convolutions that are pruned."""
    ramp: Literal["linear", "exp"] = "linear"
    """Growth of the fraction: epoch / ramp_epochs, or exp(-(1 - epoch / ramp_epochs)^3)."""
    ramp_epochs: Count = 50
    """Epochs of that growth; it must end before the last epoch."""

    @model_validator(mode="after")
    def _require_one_target(self) -> "PruneConfig":
        if (self.amount is None) == (self.keep is None):
            raise ValueError("give either amount or keep")
        return self


class StoreConfig(Schema):
    """Spectrograms of recordings."""

    domain: ClassVar[Domain] = SCENES
    """Scenes or images."""
    scored_split: ClassVar[str] = "test"
    """Name of the scored clips in tables."""

    store: PathName
    """Feature store, a folder made by `asc-mrkd extract-features`."""
    digest: str | None = None
    """SHA-256 of the data that the experiment belongs to, as training notes it; None takes any."""
    folds: Annotated[int, Field(ge=2, le=1000), NUMBER] | None = None
    """Number of folds of a cross-validation over all clips in a split; None trains and tests on the splits."""
    fold: Count | None = None
    """Fold that is for testing, from 1; None is the cross-validation as a whole."""
    train_list: PathName | None = None
    """List of the training clips to use, such as split25.csv of the challenge; None takes all of the split."""
    devices: Annotated[list[str], Field(min_length=1, max_length=100)] | None = None
    """Recording devices whose clips train and test; None takes all."""

    @property
    def folder(self) -> Path:
        """Folder of the data."""
        return Path(self.store)

    @property
    def is_cross_validation(self) -> bool:
        """Whether every fold is for testing once: there are folds, and none of them is chosen."""
        return self.folds is not None and self.fold is None

    @model_validator(mode="after")
    def _require_existing_fold(self) -> "StoreConfig":
        if self.fold is None:
            return self
        if self.folds is None:
            raise ValueError(f"fold={self.fold} needs folds, the number of folds")
        if self.fold > self.folds:
            raise ValueError(f"fold {self.fold} is not one of {self.folds} folds")
        return self


class ImagesConfig(Schema):
    """Images: CIFAR-10, CIFAR-100 or CINIC-10 as unpacked, or a tree made by `asc-mrkd make-images`."""

    domain: ClassVar[Domain] = IMAGES
    """Scenes or images."""

    images: PathName
    """Folder of the image set."""
    digest: str | None = None
    """SHA-256 of the data that the experiment belongs to, as training notes it; None takes any."""
    folds: ClassVar[None] = None
    """Images have no folds."""
    fold: ClassVar[None] = None
    """Images have no folds."""
    is_cross_validation: ClassVar[bool] = False
    """Images have no folds."""
    train: Literal["train", "train+valid"] = "train"
    """Splits to train on; `valid` is the third split of CINIC-10, which the paper leaves out."""
    subset: Count | None = None
    """Number of images to train on, the same in every run and evenly over the classes; None takes all."""
    held_out: Whole = 0
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
    is_images = isinstance(values, ImagesConfig) or (isinstance(values, dict) and "images" in values)
    return "image_data" if is_images else "store_data"


DataConfig = Annotated[
    Annotated[StoreConfig, Tag("store_data")] | Annotated[ImagesConfig, Tag("image_data")], Discriminator(_data_tag)
]


class AugmentConfig(Schema):
    """Augmentation of the training batches; every draw is a function of (seed, epoch, sample)."""

    roll_frames: Whole = 0
    """Largest circular shift in time, in frames; the shift is uniform in [-roll_frames, roll_frames]."""
    crop_frames: Count | None = None
    """Length of the random part of a clip to train on, in frames; None takes the whole clip, as testing does."""
    device_responses: PathName | None = None
    """Folder of impulse responses of recording devices, as sound files; None switches them off."""
    responses_digest: str | None = None
    """SHA-256 of these files, as training notes it; None takes any."""
    response_share: Fraction = 0.6
    """Probability that a clip is filtered by one of these responses."""
    freq_mixstyle: Fraction = 0.0
    """Probability that the mean and the deviation of every band of a clip are mixed with those of another one."""
    freq_mixstyle_alpha: Positive = 0.3
    """Parameter of the Beta distribution of the share that a clip keeps."""
    mask_bins: Whole = 0
    """Largest width of the mask along frequency, in bands, as in SpecAugment; 0 switches it off."""
    mask_frames: Whole = 0
    """Largest width of the mask along time, in frames; 0 switches it off."""
    pad: Whole = 0
    """Width of the border of zeros around an image, in pixels; a random part of the original size is cut out."""
    flip: bool = False
    """Whether images are mirrored, left to right, with probability 1/2."""
    mixup: NotNegative = 0.0
    """Parameter of the Beta distribution of Mixup; 0 switches it off."""
    mixup_fold: bool = True
    """Whether lambda becomes max(lambda, 1 - lambda), so that the sample itself has the larger share."""


def _has_text_keys(value: Any) -> bool:
    """Return whether all keys in a value are texts, as they become in the JSON of a model file."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _has_text_keys(part) for key, part in value.items())
    if isinstance(value, list):
        return all(_has_text_keys(part) for part in value)
    return True


class ModelConfig(Schema):
    """The network and its options (`asc-mrkd models` lists them)."""

    name: str = "cp_resnet"
    """Key of `asc_mrkd.models.MODELS`, or a function in a file, as in my_net.py:build."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the network by name."""

    @property
    def label(self) -> str:
        """Name of the network in a model file: that of a function in a file is without the folder."""
        own = parse_own(self.name)
        return self.name if own is None else own.label

    @field_validator("options")
    @classmethod
    def _require_other_arguments(cls, options: dict[str, Any]) -> dict[str, Any]:
        if "num_classes" in options:
            raise ValueError("the number of classes is that of the data")
        if "name" in options:
            raise ValueError("the name of the network goes one level higher: model.name")
        if not _has_text_keys(options):
            raise ValueError("a key inside an option is not a text: write '1' in quotes")
        return options


class MethodConfig(Schema):
    """Name of a training method and its options (`asc-mrkd methods` lists them).

    The options are those of the method's class. `methods.check_method` checks them and fills in the others.
    """

    model_config = ConfigDict(extra="allow")

    name: str
    """Key of `asc_mrkd.methods.METHODS`, or a class in a file, as in my_method.py:MyMethod."""

    @property
    def options(self) -> dict[str, Any]:
        """Options by name."""
        return dict(self.model_extra or {})


class OptimizerConfig(Schema):
    """SGD or Adam with the arguments of torch.optim."""

    name: Literal["sgd", "adam"] = "sgd"
    """The optimiser."""
    lr: Annotated[float, Field(gt=0.0, le=1e20), NUMBER] = 1e-4
    """Learning rate before the schedule."""
    momentum: Fraction = 0.9
    """Momentum of SGD."""
    nesterov: bool = False
    """Whether SGD uses Nesterov's momentum."""
    weight_decay: NotNegative = 0.0
    """L2 penalty on all parameters."""

    @model_validator(mode="after")
    def _require_sgd_with_momentum_of_nesterov(self) -> "OptimizerConfig":
        if self.nesterov and self.name != "sgd":
            raise ValueError(f"nesterov is an option of sgd; {self.name} has none")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class ScheduleConfig(Schema):
    """The factor on the learning rate: 1 for `hold` epochs, linearly to 0 over `decay` epochs, then `floor`."""

    hold: NotNegative = 0.0
    """Epochs at the full learning rate."""
    decay: Positive | None = None
    """Epochs of linear decay; None means until the end of the run."""
    floor: Fraction = 0.0
    """Factor after the decay."""
    per: Literal["step", "epoch"] = "step"
    """Moment at which the factor changes."""


class TrainConfig(Schema):
    """The training loop."""

    epochs: Count
    """Epochs of the run."""
    batch_size: Count
    """Samples per step."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """Optimiser and its options."""
    schedule: ScheduleConfig = ScheduleConfig()
    """Course of the learning rate."""
    start: PathName | None = None
    """Trained network whose weights the training starts from, as a model file or run; None draws new ones."""
    start_digest: str | None = None
    """SHA-256 of its file, as training notes it; None takes any."""
    class_weights: Literal["balanced"] | None = None
    """Weights of the classes in the cross-entropy: `balanced` makes every class count as much as the others, however
    many clips it has; None counts every clip alike."""
    device: str = "auto"
    """Device as torch names it; `auto` is a GPU if there is one."""
    threads: Annotated[int, Field(ge=1, le=1024), NUMBER] | None = None
    """CPU threads, on which the last digits of the numbers depend; None takes all cores, and keeps their number where a
    seed continues."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Arithmetic of the networks; losses and weights stay float32. `auto` is bfloat16 if the hardware has it; the
    config.yaml of the run says which it was, and further seeds of the run take the same."""
    channels_last: bool | Literal["auto"] = "auto"
    """Whether networks and inputs are stored channels last; `auto` does so with bfloat16."""
    compile: bool = False
    """Whether the networks are compiled by torch."""
    evaluate_every: Whole = 1
    """Epochs between two scores on the test set, for the learning curve only; 0 scores the last epoch only."""
    checkpoint_every: Count = 1
    """Epochs between two checkpoints."""
    prune: PruneConfig | None = None
    """Pruning while training; None prunes nothing."""

    @model_validator(mode="after")
    def _require_start_without_masks(self) -> "TrainConfig":
        if self.start is not None and self.prune is not None:
            raise ValueError("start and prune do not go together: prune the trained network with compress")
        return self

    @model_validator(mode="after")
    def _require_end_of_ramp(self) -> "TrainConfig":
        if self.prune and self.prune.ramp_epochs >= self.epochs:
            raise ValueError(f"prune.ramp_epochs={self.prune.ramp_epochs} must end before the last epoch")
        return self


RUNTIME_KEYS = (
    "seeds",
    "data.store",
    "data.images",
    "data.train_list",
    "train.start",
    "train.device",
    "train.evaluate_every",
    "train.checkpoint_every",
    "augment.device_responses",
    "method.teacher_devices",
    "method.teacher_files",
)
"""Keys of an experiment that may differ when a run is continued, because no weight depends on them.

The files of a run are known by their checksums, wherever they lie: data by `data.digest`, the first weights by
`train.start_digest`, impulse responses by `augment.responses_digest`, trained teachers by `method.teacher_digests`.
"""


def _require_different(seeds: list[int]) -> list[int]:
    for seed in seeds:
        if seeds.count(seed) > 1:
            raise ValueError(f"{seed} appears twice")
    return seeds


Seeds = Annotated[list[Seed], Field(min_length=1, max_length=1000), AfterValidator(_require_different)]


class Experiment(Schema):
    """Everything that decides the numbers of a run."""

    data: DataConfig
    """Feature store or image set."""
    model: ModelConfig = ModelConfig()
    """The network."""
    method: MethodConfig = MethodConfig(name="ce")
    """The training method."""
    augment: AugmentConfig = AugmentConfig()
    """Augmentation of the training batches."""
    train: TrainConfig
    """The training loop."""
    seeds: Seeds = Field(default_factory=lambda: [0])
    """Seeds to train, one network each; no seed appears twice."""
    code: dict[Literal["model", "method"], str] = Field(default_factory=dict)
    """SHA-256 of the user's files that `model.name` and `method.name` name, as training notes them."""

    @model_validator(mode="before")
    @classmethod
    def _name_only_method(cls, values: dict[str, Any]) -> dict[str, Any]:
        method = values.get("method")
        return {**values, "method": {"name": method}} if isinstance(method, str) else values

    @model_serializer(mode="wrap")
    def _leave_out_no_code(self, serialize: Any) -> dict[str, Any]:
        values = serialize(self)
        if not values["code"]:
            del values["code"]
        return values

    @property
    def domain(self) -> Domain:
        """Scenes or images."""
        return self.data.domain

    def with_seeds(self, seeds: Sequence[int]) -> "Experiment":
        """Return the experiment with other seeds to train.

        Raises:
            ConfigError: there is none, one is out of range, one is named twice, or they are not a list.
        """
        return parse(Experiment, {**self.model_dump(), "seeds": list_of(seeds, "seeds")}, "experiment")

    def with_code(self) -> "Experiment":
        """Return the experiment with the SHA-256 of the files that its network and its method are in.

        Raises:
            ConfigError: a file is missing, or has another content than the one that the experiment was trained with.
        """
        found: dict[Literal["model", "method"], str] = {}
        if own := parse_own(self.model.name):
            found["model"] = code_digest(own.file)
        if own := parse_own(self.method.name):
            found["method"] = code_digest(own.file)
        for part, digest in found.items():
            if self.code.get(part, digest) != digest:
                raise ConfigError(
                    f"{getattr(self, part).name} has another content than when this experiment was trained",
                    "bring the former file back, or start from the experiment without its section `code`",
                )
        return self.model_copy(update={"code": found})

    @model_validator(mode="after")
    def _require_augmentation_of_the_domain(self) -> "Experiment":
        for domain in DOMAINS.values():
            used = [key for key in domain.augmentations if getattr(self.augment, key)]
            if used and domain is not self.domain:
                raise ValueError(f"augment.{used[0]} is for {domain.name}, and the data are {self.domain.name}")
        return self

    def require_fitting_augmentation(self, input_shape: tuple[int, ...]) -> None:
        """Refuse an augmentation that the samples are too small for.

        Args:
            input_shape: (channel, mel, frame) of a spectrogram, (channel, height, width) of an image.

        Raises:
            ConfigError: a crop is longer than the clip, a shift or a border is larger than the sample.
        """
        _, height, width = input_shape
        cut = self.augment.crop_frames or width
        limits = {
            "crop_frames": (self.augment.crop_frames or 0, width, f"a clip has {width} frames"),
            "roll_frames": (self.augment.roll_frames, width, f"a clip has {width} frames"),
            "mask_bins": (self.augment.mask_bins, height, f"a clip has {height} bands"),
            "mask_frames": (self.augment.mask_frames, cut, f"a training input has {cut} frames"),
            "pad": (self.augment.pad, min(height, width), f"an image has {height} x {width} pixels"),
        }
        for key, (value, largest, size) in limits.items():
            if value > largest:
                raise ConfigError(
                    f"augment.{key}={value} is too large: {size}", f"write augment.{key}={largest} or less"
                )

    def training_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a training input, (channel, height, width), from that of a sample."""
        return (*input_shape[:-1], self.augment.crop_frames or input_shape[-1])


def decisive_settings(experiment: Experiment) -> dict[str, Any]:
    """Return the settings that decide the numbers of a training, by dotted key: all but RUNTIME_KEYS."""
    settings = flatten(experiment.model_dump())
    return {key: value for key, value in settings.items() if key not in RUNTIME_KEYS}


def load_experiment(path: str | os.PathLike[str], overrides: list[str] | None = None) -> Experiment:
    """Read an experiment file and apply `section.key=value` overrides (values are YAML).

    A file may build on another one, `base: ../common.yaml` (relative to itself), and give only the differences. A
    section `data` or `method` replaces that of the base. The keys of all other sections are merged; one that is a
    section itself, such as `train.optimizer` or `model.options`, replaces that of the base as a whole. A network or
    method in a Python file, `../my_net.py:build`, is looked for from the experiment file on, then from the current
    folder on.

    The options of the method are not checked: `methods.load_experiment` does that.

    Raises:
        ConfigError: unreadable file, unknown key (with a suggestion), value out of range.
    """
    values = _read_with_base(Path(path), ())
    for override in list_of(overrides or [], "overrides"):
        apply_override(values, override)
    return parse(Experiment, values, str(path))


def _read_with_base(path: Path, opened: tuple[Path, ...]) -> dict[str, Any]:
    """Return the values of a file on top of those of its base; `opened` are the files that build on it."""
    if path in opened:
        raise ConfigError(f"{path} is its own base", "remove one of the `base:` lines")
    if len(opened) > LONGEST_CHAIN:
        raise ConfigError(f"{path} is the base of more than {LONGEST_CHAIN} files", "put them together in one file")
    values = read_yaml(path, HINT)
    _find_own_code(values, path.parent)
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise ConfigError(f"{path}: base: this is not the name of a file: {shown(base)}", "write base: other.yaml")
    merged = _read_with_base(Path(os.path.normpath(path.parent / base)), (*opened, path))
    for section, value in values.items():
        of_base = merged.get(section)
        if isinstance(value, dict) and isinstance(of_base, dict) and section not in ("data", "method"):
            merged[section] = {**of_base, **value}
        else:
            merged[section] = value
    return merged


def _find_own_code(values: dict[str, Any], folder: Path) -> None:
    """Write the network and the method with the folder of the experiment file, if their Python file is there."""
    for section in ("model", "method"):
        part = values.get(section)
        name = part.get("name") if isinstance(part, dict) else part
        own = parse_own(name) if isinstance(name, str) else None
        if own is None or not (folder / own.file).is_file():
            continue
        found = f"{os.path.normpath(folder / own.file)}:{own.name}"
        values[section] = {**part, "name": found} if isinstance(part, dict) else found


def save_experiment(experiment: Experiment, path: str | os.PathLike[str]) -> None:
    """Write an experiment with all its values, defaults included."""
    write_text(path, experiment_yaml(experiment))


def experiment_yaml(experiment: Experiment) -> str:
    """Return an experiment with all its values, defaults included, as YAML."""
    return yaml.safe_dump(experiment.model_dump(), sort_keys=False)
