"""Memory-replay Knowledge Distillation: pure tensor code, for any classifier.

Source: Wang, Zhang and Li, "Memory-Replay Knowledge Distillation", Sensors 2021, 21, 2792.
"""

from asc_mrkd.config import MRKD_PRESETS as PRESETS
from asc_mrkd.config import MRKD_VARIANTS as VARIANTS
from asc_mrkd.mrkd.adapter import logits_of
from asc_mrkd.mrkd.adjustment import adjusted_divergence, knowledge_adjustment, log_target
from asc_mrkd.mrkd.backups import Backups
from asc_mrkd.mrkd.ensemble import FullyConnectedEnsemble
from asc_mrkd.mrkd.losses import Labels, Losses, MixedLabels, kl_divergence
from asc_mrkd.mrkd.memory_replay import MemoryReplay

__all__ = [
    "PRESETS",
    "VARIANTS",
    "Backups",
    "FullyConnectedEnsemble",
    "Labels",
    "Losses",
    "MemoryReplay",
    "MixedLabels",
    "adjusted_divergence",
    "kl_divergence",
    "knowledge_adjustment",
    "log_target",
    "logits_of",
]
