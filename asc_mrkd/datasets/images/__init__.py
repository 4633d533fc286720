"""Image data sets: CIFAR-10, CIFAR-100, CINIC-10 and any tree of image files, in memory maps.

Knows files, pixels and classes, nothing of training.
"""

from asc_mrkd.datasets.images.image_set import ImageSet, ImageSplit
from asc_mrkd.datasets.images.load import is_image_set, open_images
from asc_mrkd.datasets.images.statistics import channel_statistics, stratified

__all__ = [
    "ImageSet",
    "ImageSplit",
    "channel_statistics",
    "is_image_set",
    "open_images",
    "stratified",
]
