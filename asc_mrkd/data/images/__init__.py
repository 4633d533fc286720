"""Image data sets: CIFAR-10, CIFAR-100, CINIC-10 and any tree of image files, in memory maps."""

from asc_mrkd.data.images.doctor import check_images
from asc_mrkd.data.images.image_set import ImageSet, ImageSplit
from asc_mrkd.data.images.layouts import is_image_set
from asc_mrkd.data.images.open import open_images
from asc_mrkd.data.images.sampling import stratified
from asc_mrkd.data.images.statistics import channel_statistics

__all__ = [
    "ImageSet",
    "ImageSplit",
    "channel_statistics",
    "check_images",
    "is_image_set",
    "open_images",
    "stratified",
]
