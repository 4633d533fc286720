"""Data sets: official layouts, own recordings, image sets, built-in scenes and pictures, and the checks of the data.

Knows files and tables of clips, nothing of features or training. Names are imported when first used.
"""

from asc_mrkd.lazy import lazy_names

__all__ = ["Cutting", "DataCheck", "Dataset", "Finding", "Reading", "check_images", "check_recordings", "read_dataset"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Cutting": "asc_mrkd.datasets.pieces",
        "DataCheck": "asc_mrkd.datasets.findings",
        "Dataset": "asc_mrkd.datasets.recordings",
        "Finding": "asc_mrkd.datasets.findings",
        "Reading": "asc_mrkd.datasets.recordings",
        "check_images": "asc_mrkd.datasets.images.check",
        "check_recordings": "asc_mrkd.datasets.check",
        "read_dataset": "asc_mrkd.datasets.layouts",
    },
)
