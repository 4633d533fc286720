"""Write CIFAR-100 as an image folder of 16 x 16 pixels whose classes are the 20 superclasses, for runs on a laptop.

python tools/small_images.py data/cifar-100-python OUT

Every pixel is the mean of 2 x 2 pixels, rounded. A network needs a quarter of the time, and fits a few thousand images.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from asc_mrkd.datasets.images import open_images


def halved(pixels: np.ndarray) -> np.ndarray:
    """Average blocks of 2 x 2 pixels: (image, channel, height, width) to half of the height and width."""
    count, channels, height, width = pixels.shape
    blocks = pixels.reshape(count, channels, height // 2, 2, width // 2, 2)
    return np.rint(blocks.mean(axis=(3, 5))).astype(np.uint8)


def write_images(source: Path, out: Path) -> None:
    """Write out/SPLIT/SUPERCLASS/NUMBER.png, unless `out` is there already."""
    if out.exists():
        return
    unfinished = out.with_name(f"{out.name}.unfinished")
    for name, split in open_images(source).splits.items():
        for number, (image, superclass) in enumerate(zip(halved(split.pixels), split.table["identifier"], strict=True)):
            folder = unfinished / name / superclass
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{number:05d}.png")
    unfinished.rename(out)


if __name__ == "__main__":
    write_images(Path(sys.argv[1]), Path(sys.argv[2]))
