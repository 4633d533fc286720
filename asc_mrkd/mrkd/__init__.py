"""Memory-replay Knowledge Distillation for any classifier: adjustment, backups, ensemble, losses, the whole method.

Knows tensors alone: no files, no experiments. Its names are imported when they are used, so that `Interval`,
`PRESETS` and `VARIANTS` come without torch.

Source: Wang, Zhang and Li, "Memory-Replay Knowledge Distillation", Sensors 2021, 21, 2792.
"""

from typing import TYPE_CHECKING

from asc_mrkd.lazy import lazy_names
from asc_mrkd.mrkd.interval import Interval
from asc_mrkd.mrkd.presets import PRESETS, VARIANTS

if TYPE_CHECKING:
    from asc_mrkd.mrkd.adjustment import adjusted_divergence, knowledge_adjustment, log_target
    from asc_mrkd.mrkd.backups import Backups
    from asc_mrkd.mrkd.ensemble import FullyConnectedEnsemble
    from asc_mrkd.mrkd.logits import logits_of
    from asc_mrkd.mrkd.losses import Labels, Losses, MixedLabels, kl_divergence
    from asc_mrkd.mrkd.memory_replay import MemoryReplay

__all__ = [
    "PRESETS",
    "VARIANTS",
    "Backups",
    "FullyConnectedEnsemble",
    "Interval",
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

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Backups": "asc_mrkd.mrkd.backups",
        "FullyConnectedEnsemble": "asc_mrkd.mrkd.ensemble",
        "Labels": "asc_mrkd.mrkd.losses",
        "Losses": "asc_mrkd.mrkd.losses",
        "MemoryReplay": "asc_mrkd.mrkd.memory_replay",
        "MixedLabels": "asc_mrkd.mrkd.losses",
        "adjusted_divergence": "asc_mrkd.mrkd.adjustment",
        "kl_divergence": "asc_mrkd.mrkd.losses",
        "knowledge_adjustment": "asc_mrkd.mrkd.adjustment",
        "log_target": "asc_mrkd.mrkd.adjustment",
        "logits_of": "asc_mrkd.mrkd.logits",
    },
)
