"""The data doctor of image sets: what differs from the official set, and images that do not belong where they are."""

import hashlib
import os
from itertools import combinations

import numpy as np

from asc_mrkd.datasets.findings import Finding, Severity
from asc_mrkd.datasets.images.image_set import ImageSet, ImageSplit
from asc_mrkd.datasets.images.load import open_images
from asc_mrkd.download.catalogue import OFFICIAL_IMAGES, OfficialImages

_IMAGES_PER_CHUNK = 4096


def check_images(images: ImageSet | str | os.PathLike[str]) -> list[Finding]:
    """Compare an image set with the official one of its layout and its splits with each other.

    Args:
        images: an opened set, or the folder of one.

    Returns:
        Findings. Errors, in the official sets only: wrong_classes, missing_images, extra_images, unbalanced_classes.
        Warnings: not_official_file, unbalanced_classes (in an image folder), one_colour, duplicate_images.

    Raises:
        DataError: there is no image set, or one that cannot be read.
    """
    if not isinstance(images, ImageSet):
        images = open_images(images)
    findings = []
    official = OFFICIAL_IMAGES.get(images.layout)
    if official:
        findings += _check_files(images, official) + _check_official(images, official)
    for name, split in images.splits.items():
        findings += _check_balance(name, split, images.classes, "error" if official else "warning")
    for split in images.splits.values():
        findings += _check_colours(split)
    return findings + _check_duplicates(images)


def _check_files(images: ImageSet, official: OfficialImages) -> list[Finding]:
    findings = []
    for name, md5 in official.md5.items():
        with open(images.root / name, "rb") as stream:
            found = hashlib.file_digest(stream, "md5").hexdigest()
        if found != md5:
            detail = f"md5 {found} instead of {md5}; the images may still be the same"
            findings.append(Finding("not_official_file", name, detail, "warning"))
    return findings


def _check_official(images: ImageSet, official: OfficialImages) -> list[Finding]:
    findings = []
    for name in sorted(set(images.classes) ^ set(official.classes)):
        detail = f"is no class of {images.layout}" if name in images.classes else "is missing"
        findings.append(Finding("wrong_classes", name, detail, "error"))
    for name, expected in official.images.items():
        found = len(images.splits[name].table)
        if found != expected:
            code = "missing_images" if found < expected else "extra_images"
            findings.append(Finding(code, name, f"{found} images instead of {expected}", "error"))
    return findings


def _check_balance(name: str, split: ImageSplit, classes: list[str], severity: Severity) -> list[Finding]:
    counts = split.table["label"].value_counts().reindex(classes, fill_value=0)
    if counts.min() == counts.max():
        return []
    detail = f"from {counts.min()} images ({counts.idxmin()}) to {counts.max()} ({counts.idxmax()}) a class"
    return [Finding("unbalanced_classes", name, detail, severity)]


def _check_colours(split: ImageSplit) -> list[Finding]:
    findings = []
    for start in range(0, len(split.pixels), _IMAGES_PER_CHUNK):
        chunk = split.pixels[start : start + _IMAGES_PER_CHUNK]
        for at in np.flatnonzero((chunk == chunk[:, :, :1, :1]).all(axis=(1, 2, 3))):
            red, green, blue = chunk[at, :, 0, 0]
            detail = f"every pixel is ({red}, {green}, {blue})"
            findings.append(Finding("one_colour", str(split.table["filename"].iloc[start + at]), detail, "warning"))
    return findings


def _check_duplicates(images: ImageSet) -> list[Finding]:
    """Find images of a later split that are in an earlier one too, pixel by pixel."""
    places = {name: _places(split) for name, split in images.splits.items()}
    findings = []
    for first, second in combinations(places, 2):
        same = [digest for digest in places[second] if digest in places[first]]
        if same:
            example = f"{places[second][same[0]]} is {places[first][same[0]]}"
            detail = f"{len(same)} distinct images are in {first} too, as {example}"
            findings.append(Finding("duplicate_images", second, detail, "warning"))
    return findings


def _places(split: ImageSplit) -> dict[bytes, str]:
    """Return the file name of every different image by its digest."""
    digests = (hashlib.blake2b(image, digest_size=16).digest() for image in split.pixels)
    return dict(zip(digests, split.table["filename"], strict=True))
