"""Decisions about a stream of samples: a ring buffer of one clip, a decision per hop, a hold against flicker."""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import NamedTuple, Protocol

import numpy as np

from asc_mrkd.audio.read import MAX_PEAK, match_channels
from asc_mrkd.errors import ConfigError, DataError, MissingExtraError, first_line
from asc_mrkd.features.spec import FrontendSpec

DEFAULT_MICROPHONE = "default"
"""Name of the microphone that the system chooses."""

BLOCK_SECONDS = 0.1
"""Length (s) of the blocks that come from a microphone."""


class Listener(Protocol):
    """The part of a predictor that a stream needs."""

    frontend: FrontendSpec | None
    classes: list[str]

    def predict_samples(self, samples: np.ndarray) -> np.ndarray:
        """Return the class probabilities (class,) of a clip (channel, sample)."""
        ...


class Decision(NamedTuple):
    """The class of the last clip of a stream."""

    name: str
    """The class that is held: it changes when another one was the most probable for `hold` decisions in a row."""
    probability: float
    """Probability of that class."""
    seconds: float
    """Time (s) of the last sample of the clip, from the start of the stream."""


@dataclass(frozen=True)
class StreamFigures:
    """Time that a stream took."""

    seconds: float
    """Length of the sound (s)."""
    decisions: int
    """Number of decisions."""
    computing: float
    """Time (s) spent on all decisions."""
    latency: float
    """Mean time (s) from the last sample of a clip to its decision."""
    worst_latency: float
    """Longest of these times (s)."""
    overflows: int
    """Number of times that samples were lost before the stream; see `Stream.count_overflow`."""

    @property
    def real_time_factor(self) -> float:
        """Computing time per length of the sound; below 1 the stream keeps up."""
        return self.computing / self.seconds if self.seconds else 0.0


class Stream:
    """A stream of samples that arrive in pieces of any length; the memory does not grow.

    Args:
        predictor: a network for recordings, such as `asc_mrkd.Predictor`.
        rate: sample rate of the stream (Hz); by default that of the front end, else it is resampled.
        channels: channels of the stream; by default those of the front end.
        hop: time (s) from one decision to the next. The first one comes after a whole clip.
        hold: decisions in a row that a new class needs before it is reported.

    Raises:
        ConfigError: the network is for pictures, or a number is out of its range.

    `Predictor.stream` is the loop around it; a program that needs the figures as well runs it itself.

    Example:
        ```python
        stream = Stream(Predictor("exp/board/model.onnx"), hop=1.0)
        for samples in microphone:  # (channel, sample), float32, full scale 1
            for name, probability, seconds in stream.push(samples):
                print(seconds, name, probability)
        print(stream.figures.latency)
        ```
    """

    def __init__(
        self,
        predictor: Listener,
        rate: int | None = None,
        channels: int | None = None,
        hop: float = 1.0,
        hold: int = 2,
    ) -> None:
        spec = predictor.frontend
        if spec is None:
            raise ConfigError("a network for pictures takes no stream of sound", "give it pictures")
        self.rate = spec.sample_rate if rate is None else rate
        """Sample rate of the stream (Hz)."""
        self.channels = spec.channels if channels is None else channels
        """Channels of the stream."""
        if not 1_000 <= self.rate <= 1_000_000 or not 1 <= self.channels <= 64:
            raise ConfigError(f"{self.rate} Hz and {self.channels} channels are not a stream of sound", "--rate 48000")
        if not 0.01 <= hop <= 3600 or hold < 1:
            raise ConfigError("the hop must be from 0.01 to 3600 s, and the hold at least 1", "--hop 1 --hold 2")
        match_channels(np.zeros((self.channels, 1), np.float32), spec.channels, "the stream")
        self._predictor = predictor
        self._spec = spec
        self._hop = max(1, round(hop * spec.sample_rate))
        self._hold = hold
        self._clip = np.zeros((spec.channels, spec.samples), np.float32)
        self._heard = 0
        self._next = spec.samples
        self._resample = _resampler(self.rate, spec.sample_rate, spec.channels)
        self._held: int | None = None
        self._candidate: int | None = None
        self._in_a_row = 0
        self._latencies = _Latencies()
        self._overflows = 0

    def push(self, samples: np.ndarray) -> Iterator[Decision]:
        """Take samples (channel, sample) or (sample,), full scale 1, and yield the decisions that they make possible.

        Raises:
            DataError: the samples have other channels than the stream, are not of a floating-point type, not finite or
                far beyond full scale.
        """
        start = time.perf_counter()
        samples = np.atleast_2d(samples)
        self._require_sound(samples)
        new = match_channels(samples.astype(np.float32, copy=False), self._spec.channels, "the stream")
        new = new if self._resample is None else self._resample(new)
        while new.shape[1]:
            piece = new[:, : self._next - self._heard]
            new = new[:, piece.shape[1] :]
            self._append(piece)
            if self._heard < self._next:
                return
            self._next += self._hop
            if self._clip.any():  # nothing is decided about digital silence
                decision = self._decide()
                self._latencies.add(time.perf_counter() - start)
                yield decision
                start = time.perf_counter()

    def count_overflow(self) -> None:
        """Count that samples were lost before the stream, because they were not taken in time; warn the first time."""
        self._overflows += 1
        if self._overflows == 1:
            warnings.warn(
                "the sound card dropped samples, which were not taken in time: the computer is too slow or too busy",
                stacklevel=2,
            )

    def _require_sound(self, samples: np.ndarray) -> None:
        """Refuse what the reader of recordings refuses too, except silence."""
        if len(samples) != self.channels:
            raise DataError(
                f"the stream has {self.channels} channels, these samples have the shape {samples.shape}",
                "give (channel, sample), and the channels of the stream, as in stream(blocks, channels=1)",
            )
        if samples.dtype.kind != "f":
            raise DataError(
                f"the samples of the stream are of type {samples.dtype}",
                "full scale is 1: divide 16-bit samples by 32768",
            )
        if not np.abs(samples).max(initial=0.0) <= MAX_PEAK:  # NaN fails too
            raise DataError(
                "the stream has samples that are not finite, or far beyond full scale, which is 1",
                "look at what comes before it",
            )

    def _append(self, piece: np.ndarray) -> None:
        """Put samples at the end of the clip, and drop as many at its start."""
        size = self._clip.shape[1]
        count = piece.shape[1]
        self._heard += count
        if count >= size:
            self._clip[:] = piece[:, count - size :]
            return
        self._clip[:, : size - count] = self._clip[:, count:].copy()
        self._clip[:, size - count :] = piece

    def _decide(self) -> Decision:
        probabilities = self._predictor.predict_samples(self._clip)
        best = int(probabilities.argmax())
        self._in_a_row = self._in_a_row + 1 if best == self._candidate else 1
        self._candidate = best
        if self._held is None or self._in_a_row >= self._hold:
            self._held = best
        name = self._predictor.classes[self._held]
        return Decision(name, float(probabilities[self._held]), self._heard / self._spec.sample_rate)

    @property
    def figures(self) -> StreamFigures:
        """Time that the stream took until now."""
        times = self._latencies
        mean = times.total / times.count if times.count else 0.0
        seconds = self._heard / self._spec.sample_rate
        return StreamFigures(seconds, times.count, times.total, mean, times.worst, self._overflows)


class _Latencies:
    """Sum, number and largest of some times."""

    def __init__(self) -> None:
        self.total = 0.0
        self.count = 0
        self.worst = 0.0

    def add(self, seconds: float) -> None:
        """Add a time."""
        self.total += seconds
        self.count += 1
        self.worst = max(self.worst, seconds)


def _resampler(rate: int, to_rate: int, channels: int) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return the function that resamples the pieces of a stream (channel, sample); None for equal rates."""
    if rate == to_rate:
        return None
    import soxr

    stream = soxr.ResampleStream(rate, to_rate, channels, dtype="float32", quality="HQ")
    return lambda samples: np.ascontiguousarray(stream.resample_chunk(np.ascontiguousarray(samples.T)).T)


def read_pcm_pieces(pieces: Iterable[bytes], channels: int) -> Iterator[np.ndarray]:
    """Yield samples (channel, sample), float32, from pieces of 16-bit little-endian PCM of any length.

    >>> [piece.tolist() for piece in read_pcm_pieces([b"\\0", b"@\\0", b"\\xc0"], channels=2)]
    [[[0.5], [-0.5]]]
    """
    left = b""
    for piece in pieces:
        content = left + piece
        whole = len(content) // (2 * channels) * 2 * channels
        left = content[whole:]
        if whole:
            yield np.frombuffer(content[:whole], "<i2").reshape(-1, channels).T.astype(np.float32) / 32768


def read_microphone(name: str, rate: int, channels: int, count_overflow: Callable[[], object]) -> Iterator[np.ndarray]:
    """Yield samples (channel, sample), float32, full scale 1, from a microphone, for as long as they are asked for.

    Args:
        name: `default`, or a part of the name of a device in the list of `python -m sounddevice`.
        rate: sample rate (Hz).
        channels: number of channels.
        count_overflow: called whenever the sound card has dropped samples, as `Stream.count_overflow`.

    Raises:
        MissingExtraError: sounddevice is not installed, or PortAudio, the library that it loads.
        DataError: the microphone does not exist, or does not support the rate or the number of channels.
    """
    try:
        sounddevice = import_module("sounddevice")
    except (ImportError, OSError) as error:
        raise MissingExtraError(
            f"a microphone needs sounddevice and PortAudio: {first_line(error)}", "pip install 'asc-mrkd[microphone]'"
        ) from None
    device = None if name == DEFAULT_MICROPHONE else name
    try:
        with sounddevice.InputStream(samplerate=rate, device=device, channels=channels, dtype="float32") as microphone:
            while True:
                samples, has_overflowed = microphone.read(round(rate * BLOCK_SECONDS))
                if has_overflowed:
                    count_overflow()
                yield samples.T
    except (sounddevice.PortAudioError, ValueError) as error:
        raise DataError(
            f"the microphone '{name}' does not give {channels} channels at {rate} Hz: {first_line(error)}",
            "python -m sounddevice lists the devices; --rate and --channels choose others",
        ) from None


def require_decisions(stream: Stream) -> None:
    """Raise an error if a stream has ended before its first decision.

    Raises:
        DataError: it was shorter than a clip, or silent.
    """
    figures = stream.figures
    if figures.decisions == 0:
        raise DataError(
            f"the stream ended after {figures.seconds:.1f} s without a decision, which takes a clip of sound",
            "pipe 16-bit PCM into it: ffmpeg -i IN -f s16le -ar RATE -ac CHANNELS - | asc-mrkd predict MODEL --stream",
        )
