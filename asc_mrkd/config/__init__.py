"""The typed schema of an experiment: YAML with `key=value` overrides, every value checked before any work."""

from asc_mrkd.config.experiment import (
    AugmentConfig,
    Experiment,
    ImagesConfig,
    ModelConfig,
    OptimizerConfig,
    ScheduleConfig,
    StoreConfig,
    TrainConfig,
    load_experiment,
    save_experiment,
)
from asc_mrkd.config.methods import (
    MRKD_PRESETS,
    CrossEntropyConfig,
    MethodConfig,
    MrkdConfig,
    MsdConfig,
    PskdConfig,
)

__all__ = [
    "MRKD_PRESETS",
    "AugmentConfig",
    "CrossEntropyConfig",
    "Experiment",
    "ImagesConfig",
    "MethodConfig",
    "ModelConfig",
    "MrkdConfig",
    "MsdConfig",
    "OptimizerConfig",
    "PskdConfig",
    "ScheduleConfig",
    "StoreConfig",
    "TrainConfig",
    "load_experiment",
    "save_experiment",
]
