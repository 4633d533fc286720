"""The feature store: its layout on the disk, extraction into it, shards, statistics.

Knows clips as rows of a table, nothing of the layouts of data sets or of training. Names are imported when first used.
"""

from asc_mrkd.lazy import lazy_names

__all__ = ["FeatureStore", "extract", "open_store"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "FeatureStore": "asc_mrkd.store.layout",
        "extract": "asc_mrkd.store.extraction",
        "open_store": "asc_mrkd.store.layout",
    },
)
