"""Front ends: their definitions, and the two back ends that compute features from samples.

Knows recordings and samples, nothing of stores or data sets. Names are imported on first use.
"""

from asc_mrkd.lazy import lazy_names

__all__ = ["Frontend", "FrontendSpec", "load_spec"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Frontend": "asc_mrkd.features.frontend",
        "FrontendSpec": "asc_mrkd.features.spec",
        "load_spec": "asc_mrkd.features.spec",
    },
)
