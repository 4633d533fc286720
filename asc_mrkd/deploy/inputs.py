"""From files to the inputs of a network, before normalisation: in this process or, without torch, in a worker."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from asc_mrkd.audio.read import Audio, check_samples, is_within, match_channels, read_audio, resample
from asc_mrkd.errors import DataError, ModelError
from asc_mrkd.features.frontend import Frontend, pad_or_trim
from asc_mrkd.features.spec import FrontendSpec

Source = str | os.PathLike[str] | BinaryIO | np.ndarray
"""A recording or a picture: a path or a file object; of a recording also samples (channel, sample) or (sample,)."""

CHUNK_BYTES = 2**25
"""Most bytes of inputs that a worker returns at once; the caller computes longer recordings itself, clip by clip."""


@dataclass(frozen=True)
class Caution:
    """Difference of a recording from those that the network was trained on."""

    kind: str
    """`channels`, `length` or `bandwidth`."""
    text: str
    """The difference and what was done about it."""


@dataclass(frozen=True)
class Prepared:
    """One file, ready for the network."""

    inputs: list[np.ndarray] | None
    """Inputs of the network; None for too many of them."""
    cautions: tuple[Caution, ...] = ()


class Preparation:
    """Read files as the inputs of a network. It can be pickled.

    Args:
        spec: definition of the front end of recordings; None for pictures.
        frontend: the front end itself; None where the network computes it.
        input_shape: shape of one input: (channel, mel, frame), (channel, height, width) or (channel, sample).

    Raises:
        ModelError: the network takes pictures that do not have three channels.
    """

    def __init__(self, spec: FrontendSpec | None, frontend: Frontend | None, input_shape: tuple[int, ...]) -> None:
        if spec is None and input_shape[0] != 3:
            raise ModelError(
                f"the network takes pictures with {input_shape[0]} channel(s), and pictures are read in RGB",
                "call the network itself: asc_mrkd.load_model(FILE).model",
            )
        self._spec = spec
        self._frontend = frontend
        self._input_shape = input_shape

    @property
    def input_bytes(self) -> int:
        """Number of bytes of one input."""
        return 4 * int(np.prod(self._input_shape))

    def read(self, source: Source, rate: int | None = None) -> tuple[list[np.ndarray], tuple[Caution, ...]]:
        """Return the clips of a recording, or the picture, and how it differs from the training data.

        Args:
            source: recording or picture.
            rate: sample rate (Hz) of an array.

        Raises:
            AudioError: the recording cannot be used.
            DataError: the picture cannot be read, or the array is not one of samples.
        """
        if self._spec is None:
            if isinstance(source, np.ndarray):
                raise DataError("a network for pictures takes files, not arrays", "give paths or file objects")
            _, height, width = self._input_shape
            return [read_picture(source, height, width)], ()
        samples, cautions = self.read_samples(source, rate)
        return cut_into_clips(samples, self._spec.samples), cautions

    def read_samples(self, source: Source, rate: int | None = None) -> tuple[np.ndarray, tuple[Caution, ...]]:
        """Return a recording (channel, sample) with the rate and the channels of the front end, and its differences.

        Raises:
            AudioError: the recording cannot be used.
            DataError: the network is for pictures, or the array is not one of samples.
        """
        spec = self._spec
        if spec is None:
            raise DataError("a network for pictures takes no recordings", "give it pictures")
        audio = check_samples(source, rate) if isinstance(source, np.ndarray) else read_audio(source)
        path = source if isinstance(source, str | os.PathLike) else "recording"
        samples = resample(match_channels(audio.samples, spec.channels, path), audio.sample_rate, spec.sample_rate)
        difference = abs(samples.shape[1] / spec.sample_rate - spec.clip_seconds)
        if is_within(difference, spec.pad_or_trim):  # as the extraction does
            samples = pad_or_trim(samples, spec.samples)
        return samples, tuple(find_cautions(audio, spec))

    def compute(self, clip: np.ndarray) -> np.ndarray:
        """Return the input of the network for the samples of a clip, or a picture."""
        return clip if self._frontend is None else self._frontend(clip)


def prepare_files(paths: Sequence[Path], preparation: Preparation) -> list[Prepared | DataError]:
    """Prepare some files for the network; the error stands for a file that cannot be used."""
    prepared: list[Prepared | DataError] = []
    space = CHUNK_BYTES
    for path in paths:
        try:
            clips, cautions = preparation.read(path)
        except DataError as error:
            prepared.append(error)
            continue
        size = len(clips) * preparation.input_bytes
        if size > space and len(clips) > 1:
            prepared.append(Prepared(None, cautions))
        else:
            space -= size
            prepared.append(Prepared([preparation.compute(clip) for clip in clips], cautions))
    return prepared


def find_cautions(audio: Audio, spec: FrontendSpec) -> list[Caution]:
    """List how a recording differs from those that a network with this front end was trained on."""
    channels, count = audio.samples.shape
    seconds = count / audio.sample_rate
    cautions = []
    if channels < spec.channels:
        text = f"it has {channels} channel, the network was trained on {spec.channels}: the one is copied to each"
        cautions.append(Caution("channels", text))
    elif spec.channels > 1 and channels > spec.channels:
        text = f"it has {channels} channels, the network was trained on {spec.channels}: the others are left out"
        cautions.append(Caution("channels", text))
    if not is_within(spec.clip_seconds - seconds, spec.pad_or_trim):
        text = f"it lasts {seconds:.3g} s, the network was trained on {spec.clip_seconds:g} s: it is repeated"
        cautions.append(Caution("length", text))
    if audio.sample_rate < 2 * spec.fmax:
        text = (
            f"at {audio.sample_rate:,} Hz it holds nothing above {audio.sample_rate // 2:,} Hz, "
            f"the network was trained up to {spec.fmax:,.0f} Hz"
        )
        cautions.append(Caution("bandwidth", text))
    return cautions


def read_picture(path: str | os.PathLike[str] | BinaryIO, height: int, width: int) -> np.ndarray:
    """Return a picture, scaled to a size, as values in 0..255, float32, (channel, height, width).

    Raises:
        DataError: the file is not a picture, or has more than 8 bits per channel.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            is_deep = picture.mode.startswith(("I", "F"))  # Pillow would clip instead of scale
            pixels = np.asarray(picture.convert("RGB").resize((width, height), Image.Resampling.BICUBIC))
    except FileNotFoundError:
        raise DataError(f"{path}: the file is missing", "look at the spelling of the path") from None
    except Exception as error:  # Pillow raises errors of many types for damaged files
        raise DataError(f"{path} is not a picture: {error}", "PNG and JPEG are read") from None
    if is_deep:
        raise DataError(f"{path} has more than 8 bits per channel", "convert it to 8 bits")
    return pixels.transpose(2, 0, 1).astype(np.float32)


def cut_into_clips(samples: np.ndarray, length: int) -> list[np.ndarray]:
    """Cut (channel, sample) into clips of `length` samples that cover everything.

    >>> [clip.tolist() for clip in cut_into_clips(np.array([[1, 2, 3, 4, 5]]), 2)]
    [[[1, 2]], [[3, 4]], [[4, 5]]]
    >>> [clip.tolist() for clip in cut_into_clips(np.array([[1, 2]]), 5)]
    [[[1, 2, 1, 2, 1]]]
    """
    count = samples.shape[1]
    if count < length:
        return [np.take(samples, np.arange(length), axis=1, mode="wrap")]
    starts = [*range(0, count - length + 1, length), count - length]
    return [samples[:, start : start + length] for start in dict.fromkeys(starts)]
