"""Small image sets in the official layouts, and built-in sets of noise, which takes little time."""

import pickle
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock
from zlib import crc32

import numpy as np
from PIL import Image

from asc_mrkd.datasets.synthetic import dataset, make_images, make_scenes, mobile
from asc_mrkd.datasets.synthetic.scenes import FRAMES

CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

Pickler = Callable[[Any], bytes]


def python2_pickle(value: Any) -> bytes:
    """Pickle as Python 2 with numpy 1 did: byte strings, protocol 2."""
    return pickle.PROTO + b"\x02" + _python2(value) + pickle.STOP


def _python2(value: Any) -> bytes:
    if isinstance(value, np.ndarray):
        items = [1, tuple(value.shape), np.dtype(value.dtype), 0, value.tobytes()]
        start = pickle.GLOBAL + b"numpy\nndarray\n" + _python2((0,)) + _python2(b"b") + pickle.TUPLE3
        made = pickle.GLOBAL + b"numpy.core.multiarray\n_reconstruct\n" + start + pickle.REDUCE
        return made + _python2(tuple(items)) + pickle.BUILD
    if isinstance(value, np.dtype):
        made = pickle.GLOBAL + b"numpy\ndtype\n" + _python2((value.str[1:].encode(), 0, 1)) + pickle.REDUCE
        return made + _python2((3, value.str[:1].encode(), None, None, None, -1, -1, 0)) + pickle.BUILD
    if value is None:
        return pickle.NONE
    if isinstance(value, int):
        return pickle.BININT + struct.pack("<i", value)
    if isinstance(value, str | bytes):
        raw = value.encode() if isinstance(value, str) else value
        return pickle.BINSTRING + struct.pack("<i", len(raw)) + raw
    items = [part for pair in value.items() for part in pair] if isinstance(value, dict) else list(value)
    closing = {dict: pickle.DICT, list: pickle.LIST, tuple: pickle.TUPLE}[type(value)]
    return pickle.MARK + b"".join(map(_python2, items)) + closing


PICKLERS: dict[str, Pickler] = {
    "Python 2": python2_pickle,
    "protocol 0": lambda value: pickle.dumps(value, 0),
    "protocol 2": lambda value: pickle.dumps(value, 2),
    "protocol 2, numpy 1": lambda value: pickle.dumps(value, 2).replace(b"numpy._core.", b"numpy.core."),
    "protocol 4": lambda value: pickle.dumps(value, 4),
    "protocol 5": lambda value: pickle.dumps(value, 5),
}


def random_pixels(images: int, seed: int = 0) -> np.ndarray:
    """Return noise (image, 3072) as CIFAR stores it."""
    return np.random.default_rng(seed).integers(0, 256, (images, 3072), dtype=np.uint8)


def write_cifar10(parent: Path, pickler: Pickler = python2_pickle, images: int = 20) -> Path:
    """Write CIFAR-10 with `images` images a file, the classes in turn; pixels of file number k come from seed k."""
    folder = parent / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for seed, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
        labels = [position % 10 for position in range(images)]
        batch = {"batch_label": name, "labels": labels, "data": random_pixels(images, seed)}
        (folder / name).write_bytes(pickler(batch | {"filenames": [f"{k}.png" for k in labels]}))
    meta = {"num_cases_per_batch": images, "label_names": CIFAR10, "num_vis": 3072}
    (folder / "batches.meta").write_bytes(pickler(meta))
    return folder


def write_cifar100(parent: Path, pickler: Pickler = python2_pickle, **changes: Any) -> Path:
    """Write CIFAR-100 with 3 classes, 2 superclasses, 6 training and 3 test images.

    `changes` replace entries of the training batch, or take them away where they are None.
    """
    folder = parent / "cifar-100-python"
    folder.mkdir(parents=True)
    for seed, (name, images) in enumerate({"train": 6, "test": 3}.items()):
        fine = [position % 3 for position in range(images)]
        batch = {"fine_labels": fine, "coarse_labels": [k // 2 for k in fine], "data": random_pixels(images, seed)}
        if name == "train":
            batch = {key: value for key, value in (batch | changes).items() if value is not None}
        (folder / name).write_bytes(pickler(batch))
    names = {"fine_label_names": ["wolf", "apple", "bus"], "coarse_label_names": ["mixed", "vehicles"]}
    (folder / "meta").write_bytes(pickler(names))
    return folder


def write_image(path: Path, seed: int = 0, size: tuple[int, int] = (4, 3), mode: str = "RGB") -> np.ndarray:
    """Write noise of `size` (width, height) and return what it is in RGB (3, height, width)."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(noise).convert(mode)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def write_tree(root: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Write an image for every name and return their pixels by name."""
    return {name: write_image(root / name, seed) for seed, name in enumerate(names)}


TREE_NAMES = [
    f"{split}/{label}/{k}.png" for split in ("test", "train") for label in ("dog", "NA", "cat") for k in range(2)
]

CINIC_NAMES = [
    f"{split}/{label}/{name}.png"
    for split in ("train", "valid", "test")
    for label in CIFAR10
    for name in ("cifar10-train-7", "n02690373_10093")
]


def map_here(
    pool: object, task: Callable[[Sequence[Any]], list[Any]], chunks: Iterable[Sequence[Any]], on_crash: object
) -> Iterator[Any]:
    """Do the work of `map_in_order` in this process, where it sees the patches of a test."""
    for chunk in chunks:
        yield from task(chunk)


def noise_clip(seed: int, name: str) -> np.ndarray:
    """Return noise (sample, channel) in place of a built-in scene."""
    rng = np.random.default_rng([seed, crc32(name.encode())])
    return 0.1 * rng.standard_normal((FRAMES, 2), dtype=np.float32)


def noise_image(seed: int, label: str, index: int) -> np.ndarray:
    """Return noise (row, column, colour) in place of a built-in image."""
    rng = np.random.default_rng([seed, crc32(label.encode()), index])
    return rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)


def make_noise_scenes(parent: Path) -> Path:
    """Make the small built-in mobile set from noise, or what is missing in it, and return its folder."""
    with mock.patch.object(dataset, "map_in_order", map_here), mock.patch.object(mobile, "render_clip", noise_clip):
        return make_scenes(parent, 2, layout="tau2022-mobile", workers=1)


def make_noise_images(folder: Path, classes: int, per_class: int) -> Path:
    """Make the built-in images from noise, and return their folder."""
    with mock.patch.object(dataset, "map_in_order", map_here), mock.patch.object(dataset, "render_image", noise_image):
        return make_images(folder, classes, per_class, workers=1)
