"""Samples of 24 bits, the format of the DCASE recordings: the bits of libsndfile in a quarter of its time."""

from io import FileIO

import numpy as np

BLOCK = 2**17
"""Samples of all channels that are decoded while they are in the cache."""


def read_pcm24(stream: FileIO, start: int, frames: int, channels: int) -> np.ndarray:
    """Read little-endian samples of 24 bits as float32 (channel, sample), full scale = 1; fewer where the file ends.

    Args:
        stream: an unbuffered file.
        start: where the first sample lies (bytes).
        frames: samples of a channel.
        channels: they take turns.
    """
    samples = np.empty((channels, frames), np.float32)
    step = max(1, BLOCK // channels)
    data = bytearray(1 + 3 * channels * step)  # one before: a sample is the upper three bytes of an integer
    stream.seek(start)
    for first in range(0, frames, step):
        block = samples[:, first : first + step]
        if stream.readinto(memoryview(data)[1 : 1 + 3 * block.size]) < 3 * block.size:
            return samples[:, :first]
        words = np.ndarray(block.shape, "<i4", data, strides=(3, 3 * channels))
        block[...] = np.right_shift(words, 8, order="C")
        block *= np.float32(2**-23)
    return samples
