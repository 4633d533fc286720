"""The check of image sets: differences from the official set, images of one colour, and images in two splits."""

import hashlib
import os
from itertools import combinations

import numpy as np

from asc_mrkd.datasets.findings import Finding, Severity, find_other_kinds
from asc_mrkd.datasets.images.image_folder import list_deeper_images, list_other_files
from asc_mrkd.datasets.images.image_set import ImageSet, ImageSplit
from asc_mrkd.datasets.images.load import open_images
from asc_mrkd.datasets.recordings import printable
from asc_mrkd.download.catalogue import OFFICIAL_IMAGES, OfficialImages
from asc_mrkd.files import file_md5

_IMAGES_PER_CHUNK = 4096


def check_images(images: ImageSet | str | os.PathLike[str]) -> list[Finding]:
    """Compare an image set with the official one of its layout and its splits with each other.

    Args:
        images: an opened set, or the folder of one.

    Returns:
        Findings. Errors, in the official sets only: wrong_classes, missing_images, extra_images, unbalanced_classes.
        Warnings: not_official_file, other_files, deeper_images, unbalanced_classes (in an image folder), one_colour,
        duplicate_images.

    Raises:
        DataError: the folder is not an image set, or cannot be read.
    """
    if not isinstance(images, ImageSet):
        images = open_images(images)
    findings = []
    official = OFFICIAL_IMAGES.get(images.layout)
    if official:
        findings += _compare_files(images, official) + _compare_contents(images, official)
    findings += find_other_kinds([printable(name) for name in list_other_files(images.root)])
    deeper = list_deeper_images(images.root)
    if deeper:
        detail = f"images below the folders of the classes are left out: {len(deeper)}, such as {deeper[0]}"
        findings.append(Finding("deeper_images", "folders", printable(detail), "warning"))
    for name, split in images.splits.items():
        findings += _find_imbalance(name, split, images.classes, "error" if official else "warning")
    for split in images.splits.values():
        findings += _find_single_colours(split)
    return findings + _find_duplicates(images)


def _compare_files(images: ImageSet, official: OfficialImages) -> list[Finding]:
    """Compare the files with the checksums of the official ones."""
    findings = []
    for name, md5 in official.md5.items():
        found = file_md5(images.root / name)
        if found != md5:
            detail = f"md5 {found} instead of {md5}; the images may still be the same"
            findings.append(Finding("not_official_file", name, detail, "warning"))
    return findings


def _compare_contents(images: ImageSet, official: OfficialImages) -> list[Finding]:
    """Compare the classes and the number of images with those of the official set."""
    findings = []
    for name in sorted(set(images.classes) ^ set(official.classes)):
        detail = f"is not a class of {images.layout}" if name in images.classes else "is missing"
        findings.append(Finding("wrong_classes", name, detail, "error"))
    for name, expected in official.images.items():
        found = len(images.splits[name].table)
        if found != expected:
            code = "missing_images" if found < expected else "extra_images"
            findings.append(Finding(code, name, f"{found} images instead of {expected}", "error"))
    return findings


def _find_imbalance(name: str, split: ImageSplit, classes: list[str], severity: Severity) -> list[Finding]:
    """Find out whether the classes of a split differ in their number of images."""
    counts = split.table["label"].value_counts().reindex(classes, fill_value=0)
    if counts.min() == counts.max():
        return []
    detail = f"from {counts.min()} images ({counts.idxmin()}) to {counts.max()} ({counts.idxmax()}) per class"
    return [Finding("unbalanced_classes", name, detail, severity)]


def _find_single_colours(split: ImageSplit) -> list[Finding]:
    """Find images whose pixels are all equal."""
    findings = []
    for start in range(0, len(split.pixels), _IMAGES_PER_CHUNK):
        chunk = split.pixels[start : start + _IMAGES_PER_CHUNK]
        for at in np.flatnonzero((chunk == chunk[:, :, :1, :1]).all(axis=(1, 2, 3))):
            red, green, blue = chunk[at, :, 0, 0]
            detail = f"every pixel is ({red}, {green}, {blue})"
            name = str(split.table["filename"].iloc[start + at])
            findings.append(Finding("one_colour", name, detail, "warning"))
    return findings


def _find_duplicates(images: ImageSet) -> list[Finding]:
    """Find images of a later split that are in an earlier one too, pixel by pixel."""
    places = {name: _names_by_digest(split) for name, split in images.splits.items()}
    findings = []
    for first, second in combinations(places, 2):
        same = [digest for digest in places[second] if digest in places[first]]
        if same:
            example = f"{places[second][same[0]]} is {places[first][same[0]]}"
            detail = f"{len(same)} distinct images are in {first} too, as {example}"
            findings.append(Finding("duplicate_images", second, detail, "warning"))
    return findings


def _names_by_digest(split: ImageSplit) -> dict[bytes, str]:
    """Return the file name of every different image by its digest."""
    digests = (hashlib.blake2b(image, digest_size=16).digest() for image in split.pixels)
    return dict(zip(digests, split.table["filename"], strict=True))
