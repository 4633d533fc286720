"""Recordings to features: reading, front ends, the feature store.

The names are imported when they are first used: training on a store needs no audio library.
"""

from asc_mrkd.lazy import lazy_names

__all__ = ["FeatureStore", "Frontend", "FrontendSpec", "extract", "load_spec", "open_store"]

__getattr__ = lazy_names(
    __name__,
    {
        "FeatureStore": "asc_mrkd.features.store",
        "Frontend": "asc_mrkd.features.frontend",
        "FrontendSpec": "asc_mrkd.features.spec",
        "extract": "asc_mrkd.features.extraction",
        "load_spec": "asc_mrkd.features.spec",
        "open_store": "asc_mrkd.features.store",
    },
)
