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
    BanConfig,
    ByotConfig,
    CrossEntropyConfig,
    CskdConfig,
    DlbConfig,
    DmlConfig,
    EmaTeacherConfig,
    LabelSmoothingConfig,
    MethodConfig,
    MsdConfig,
    PskdConfig,
    TfkdRegConfig,
)
from asc_mrkd.config.mrkd import MRKD_PRESETS, MRKD_VARIANTS, MrkdConfig
from asc_mrkd.config.prune import PruneConfig

__all__ = [
    "MRKD_PRESETS",
    "MRKD_VARIANTS",
    "AugmentConfig",
    "BanConfig",
    "ByotConfig",
    "CrossEntropyConfig",
    "CskdConfig",
    "DlbConfig",
    "DmlConfig",
    "EmaTeacherConfig",
    "Experiment",
    "ImagesConfig",
    "LabelSmoothingConfig",
    "MethodConfig",
    "ModelConfig",
    "MrkdConfig",
    "MsdConfig",
    "OptimizerConfig",
    "PruneConfig",
    "PskdConfig",
    "ScheduleConfig",
    "StoreConfig",
    "TfkdRegConfig",
    "TrainConfig",
    "load_experiment",
    "save_experiment",
]
