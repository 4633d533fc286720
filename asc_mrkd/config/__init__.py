"""The typed schema of an experiment: YAML with `key=value` overrides, every value checked before any work."""

from asc_mrkd.config.domain import CLIP_COLUMNS, IMAGES, SCENES, Domain
from asc_mrkd.config.experiment import (
    AugmentConfig,
    Experiment,
    ImagesConfig,
    MethodConfig,
    ModelConfig,
    OptimizerConfig,
    PruneConfig,
    ScheduleConfig,
    StoreConfig,
    TrainConfig,
    load_experiment,
    save_experiment,
)
from asc_mrkd.config.interval import Interval

__all__ = [
    "CLIP_COLUMNS",
    "IMAGES",
    "SCENES",
    "AugmentConfig",
    "Domain",
    "Experiment",
    "ImagesConfig",
    "Interval",
    "MethodConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PruneConfig",
    "ScheduleConfig",
    "StoreConfig",
    "TrainConfig",
    "load_experiment",
    "save_experiment",
]
