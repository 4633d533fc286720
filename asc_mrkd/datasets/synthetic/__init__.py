"""Procedural data sets, made without a download: ten city scenes as recordings, and drawn images of up to 100 classes.

Knows the names and layouts of the official sets that it imitates. Names are imported when first used.
"""

from asc_mrkd.lazy import lazy_names

__all__ = ["make_images", "make_scenes"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "make_images": "asc_mrkd.datasets.synthetic.dataset",
        "make_scenes": "asc_mrkd.datasets.synthetic.dataset",
    },
)
