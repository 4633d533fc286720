"""Networks by name, with the options that make their published configurations.

Knows only torch: no data, no front end, no file of weights. A network is one file and one row of `MODELS`.
"""

from asc_mrkd.models.own import build_network, network_takes
from asc_mrkd.models.registry import MODELS, ModelEntry, build_model
from asc_mrkd.models.storage import require_buildable, without_storage

__all__ = [
    "MODELS",
    "ModelEntry",
    "build_model",
    "build_network",
    "network_takes",
    "require_buildable",
    "without_storage",
]
