"""The definition of a front end: one YAML file per front end in features/."""

import math
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from asc_mrkd.errors import ConfigError, suggest
from asc_mrkd.folders import resource_folder
from asc_mrkd.schema import NUMBER, Count, Few, NotNegative, Positive, Schema, parse
from asc_mrkd.texts import read_yaml

DEFAULT_SPEC = "pmel256"
"""Front end that extraction takes if none is named: that of the paper."""

TOP_DB = 80.0
"""Default depth of the floor (dB) of a `perceptual_db` front end."""


SPEC_HINT = f"a definition has the keys of features/{DEFAULT_SPEC}.yaml; --spec also takes the name of a front end"
"""Hint for a file that is not a definition."""

LEAST_OFFSET = 1.2e-38
"""Smallest number that features (float32) hold with all its digits."""

LARGEST_CLIP = 2**28
"""Largest number of samples of a clip, of its features, and of the weights of the filters."""


class FrontendSpec(Schema):
    """All numbers that decide a feature value; frequencies in Hz, lengths in samples, levels in dB."""

    name: str
    """Name of the front end."""
    sample_rate: Annotated[int, Field(ge=1, le=1_000_000), NUMBER]
    """Sample rate of the front end; recordings are resampled to it."""
    channels: Few
    """Number of channels; 1 is the mean of all channels of a recording, taken before resampling."""
    clip_seconds: Positive
    """Length of a clip (s)."""
    pad_or_trim: NotNegative = 0.0
    """Largest difference (s) between the length of a recording and clip_seconds. A shorter recording is padded with
    zeros, the end of a longer one is cut off. By default only a few samples of rounding are accepted."""
    resample: bool = True
    """Resample recordings of another rate; false: extract-features refuses them with the reason wrong_rate, while
    predict resamples them nevertheless."""
    n_fft: Count
    """Length of the Fourier transform, even. Frames are centred, and the ends of a clip are reflected."""
    win_length: Count | None = None
    """Length of the window in the middle of the frame; by default n_fft."""
    window: Literal["hann", "hamming"] = "hann"
    """Periodic window."""
    hop_length: Count
    """Distance of two frames."""
    last_frame: bool = True
    """Keep the frame centred on the end of the clip; false: a clip of n hops has n frames."""
    power: Literal[1, 2] = 2
    """Exponent of the magnitude: 2 is the power spectrum, 1 the magnitude spectrum."""
    n_mels: Count
    """Number of triangular mel filters."""
    fmin: NotNegative = 0.0
    """Lower end of the first filter."""
    fmax: Positive
    """Upper end of the last filter."""
    mel_scale: Literal["slaney", "htk"] = "slaney"
    """Mel scale: slaney (linear up to 1 kHz) or htk."""
    mel_norm: Literal["slaney", "none"] = "slaney"
    """Scaling of the filters: slaney (equal areas) or none (equal peaks of 1)."""
    scale: Literal["perceptual_db", "log"] = "perceptual_db"
    """Order of the steps. `perceptual_db`: dB, floor and A-weighting of the linear frequencies, then the filters, which
    multiply dB. `log`: the filters, then the natural logarithm."""
    top_db: Positive | None = None
    """Depth of the floor below the maximum of a channel, before A-weighting; `perceptual_db` only."""
    log_offset: Positive | None = None
    """Number added before the logarithm; `log` only."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in_floor(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("scale", "perceptual_db") == "perceptual_db":
            return {"top_db": TOP_DB, **values}
        return values

    @model_validator(mode="after")
    def _require_possible_sizes(self) -> "FrontendSpec":
        if max(self.samples, math.prod(self.shape), self.n_fft * self.n_mels) > LARGEST_CLIP:
            raise ValueError(
                f"clip_seconds, n_fft or n_mels is too large: a clip takes more than {LARGEST_CLIP:,} values"
            )
        if not self.fmin < self.fmax <= self.sample_rate / 2:
            raise ValueError(f"fmin < fmax <= sample_rate / 2 does not hold: {self.fmin}, {self.fmax}")
        if self.n_fft % 2:
            raise ValueError(f"n_fft {self.n_fft} is odd")
        if self.win_length is not None and self.win_length > self.n_fft:
            raise ValueError(f"win_length {self.win_length} is longer than n_fft {self.n_fft}")
        if self.samples <= self.n_fft // 2:
            raise ValueError(f"a clip of {self.samples} samples is too short to be reflected by n_fft {self.n_fft} / 2")
        if self.frames < 1:
            raise ValueError(f"hop_length {self.hop_length} is longer than a clip of {self.samples} samples")
        if self.pad_or_trim >= self.clip_seconds:
            raise ValueError(f"pad_or_trim {self.pad_or_trim:g} is not shorter than a clip of {self.clip_seconds:g} s")
        return self

    @model_validator(mode="after")
    def _require_options_of_scale(self) -> "FrontendSpec":
        if self.scale == "perceptual_db":
            if self.power != 2 or self.top_db is None or self.log_offset is not None:
                raise ValueError("scale perceptual_db takes power 2 and top_db, and no log_offset")
        elif self.top_db is not None or self.log_offset is None:
            raise ValueError("scale log takes log_offset, and no top_db")
        elif self.log_offset < LEAST_OFFSET:
            raise ValueError(f"log_offset {self.log_offset:g} is less than {LEAST_OFFSET:g}: silence would be infinite")
        return self

    @property
    def samples(self) -> int:
        """Number of samples of a clip at `sample_rate`."""
        return round(self.clip_seconds * self.sample_rate)

    @property
    def frames(self) -> int:
        """Number of frames of a clip."""
        return self.count_frames(self.samples)

    def count_frames(self, samples: int) -> int:
        """Return the number of frames of a signal with that many samples."""
        return samples // self.hop_length + self.last_frame

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the features of a clip: (channel, mel, frame)."""
        return self.channels, self.n_mels, self.frames

    @property
    def description(self) -> str:
        """Description of the features in the words of a challenge submission.

        >>> load_spec("baseline40").description
        'log-mel magnitudes (40 bands)'
        """
        if self.scale == "perceptual_db":
            features = "perceptually weighted log-mel energies"
        elif self.power == 2:
            features = "log-mel energies"
        else:
            features = "log-mel magnitudes"
        return f"{features} ({self.n_mels} bands)"


def load_spec(name_or_yaml: str | os.PathLike[str]) -> FrontendSpec:
    """Read the definition of a front end.

    Args:
        name_or_yaml: name of a front end in features/, or path of a YAML file.

    Raises:
        ConfigError: the name is unknown, or a key is unknown, missing or inconsistent with others.

    >>> load_spec("pmel256").shape
    (2, 256, 431)
    """
    path = Path(name_or_yaml)
    if path.suffix not in (".yaml", ".yml"):
        path = resource_folder("features") / f"{name_or_yaml}.yaml"
        if not path.exists():
            known = sorted(p.stem for p in path.parent.glob("*.yaml"))
            raise ConfigError(f"there is no front end '{name_or_yaml}'", suggest(str(name_or_yaml), known))
    return parse(FrontendSpec, read_yaml(path, SPEC_HINT), str(path))


FEWEST_FRAMES = 64
"""Fewest frames of a clip in a front end that is made to fit: networks halve them several times."""


def fit_spec(spec: FrontendSpec, clip_seconds: float, sample_rate: int | None = None) -> FrontendSpec:
    """Return a front end for clips of another length or of a lower rate; its name says the difference.

    Args:
        spec: front end to start from.
        clip_seconds: length of a clip (s).
        sample_rate: rate of the recordings (Hz); None changes the length only. A lower rate than that of the front end
            becomes its rate, because filters above half of it would hear nothing, and a short clip gets a shorter hop,
            so that it has FEWEST_FRAMES.

    Raises:
        ConfigError: clips are too short for the transform of the front end, or too long for its size.

    >>> fit_spec(load_spec("pmel256"), 5.0, sample_rate=16000).name
    'pmel256-5s-16000Hz'
    """
    changes: dict[str, Any] = {}
    name = spec.name
    if clip_seconds != spec.clip_seconds:
        changes["clip_seconds"] = clip_seconds
        name += f"-{clip_seconds:g}s"
    if sample_rate is not None and sample_rate < spec.sample_rate:
        changes["sample_rate"] = sample_rate
        changes["fmax"] = min(spec.fmax, sample_rate / 2)
        name += f"-{sample_rate}Hz"
    if sample_rate is not None:
        samples = round(clip_seconds * min(sample_rate, spec.sample_rate))
        changes["hop_length"] = max(1, min(spec.hop_length, samples // FEWEST_FRAMES))
    if name == spec.name:
        return spec
    try:
        return parse(FrontendSpec, {**spec.model_dump(), **changes, "name": name}, f"front end {name}")
    except ConfigError as error:
        hint = f"choose another --clip-seconds, or a --spec with another n_fft or hop_length than {spec.name}"
        raise ConfigError(str(error), hint) from None
