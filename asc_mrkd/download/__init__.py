"""Published data sets: the catalogue of archives, their transfer and their unpacking.

Stands on the ground: knows files and addresses, nothing of the contents of a data set. Names are imported when first
used.
"""

from asc_mrkd.lazy import lazy_names

__all__ = ["DATA_SETS", "OFFICIAL_IMAGES", "download_dataset", "find_data_set"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "DATA_SETS": "asc_mrkd.download.catalogue",
        "OFFICIAL_IMAGES": "asc_mrkd.download.catalogue",
        "download_dataset": "asc_mrkd.download.dataset",
        "find_data_set": "asc_mrkd.download.catalogue",
    },
)
