"""The experiment file: its typed sections, overrides, sweeps, and the difference between scenes and images.

It knows nothing of data, networks or methods but their names and options.
"""

from asc_mrkd.config.domain import CLIP_COLUMNS, IMAGES, SCENES, Domain
from asc_mrkd.config.experiment import (
    RUNTIME_KEYS,
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
    decisive_settings,
    experiment_yaml,
    load_experiment,
    save_experiment,
)

__all__ = [
    "CLIP_COLUMNS",
    "IMAGES",
    "RUNTIME_KEYS",
    "SCENES",
    "AugmentConfig",
    "Domain",
    "Experiment",
    "ImagesConfig",
    "MethodConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PruneConfig",
    "ScheduleConfig",
    "StoreConfig",
    "TrainConfig",
    "decisive_settings",
    "experiment_yaml",
    "load_experiment",
    "save_experiment",
]
