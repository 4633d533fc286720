"""The feature store: its layout on the disk, extraction into it, shards, statistics and its check.

Knows data sets and front ends, nothing of training. Names are imported on first use.
"""

from asc_mrkd.lazy import lazy_names

__all__ = ["FeatureStore", "extract", "extract_clips", "join_stores", "open_store"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "FeatureStore": "asc_mrkd.store.layout",
        "extract": "asc_mrkd.store.extraction",
        "extract_clips": "asc_mrkd.store.extraction",
        "join_stores": "asc_mrkd.store.shards",
        "open_store": "asc_mrkd.store.layout",
    },
)
