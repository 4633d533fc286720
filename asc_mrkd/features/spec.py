"""The definition of a front end, one YAML file each in features/."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from asc_mrkd.errors import ConfigError, suggest
from asc_mrkd.files import resource_folder
from asc_mrkd.schema import Count, Positive, Schema, parse, read_yaml

TOP_DB = 80.0
"""Depth of the floor (dB) of a `perceptual_db` front end that names none."""


class FrontendSpec(Schema):
    """Every number that decides a feature value; frequencies in Hz, lengths in samples, levels in dB.

    Attributes:
        name: what the front end is called.
        sample_rate: recordings are resampled to it.
        channels: 1 is the mean of all channels of a recording, taken before resampling.
        clip_seconds: length of a clip.
        resample: false: extract-features refuses recordings of another rate with the reason wrong_rate; predict
            resamples all the same.
        n_fft: length of the Fourier transform, even. Frames are centred, and the ends of a clip reflected.
        win_length: length of the window in the middle of the frame; left out: n_fft.
        window: hann or hamming, periodic.
        hop_length: from frame to frame.
        last_frame: false: without the frame centred on the end of the clip, so that a clip of n hops has n frames.
        power: 2 is the power spectrum, 1 the magnitude.
        n_mels: triangular filters.
        fmin: lower end of the first filter.
        fmax: upper end of the last filter.
        mel_scale: slaney (linear up to 1 kHz) or htk.
        mel_norm: slaney (a filter has the same area whatever its width) or none (its peak is 1).
        scale: `perceptual_db`: dB, floor and A-weighting of the linear frequencies, and only then the filters, as a
            product with dB. `log`: the filters first, then the natural logarithm.
        top_db: depth of the floor below a channel's maximum, before A-weighting; `perceptual_db` only.
        log_offset: added before the logarithm; `log` only.
    """

    name: str
    sample_rate: Count
    channels: Count
    clip_seconds: Positive
    resample: bool = True
    n_fft: Count
    win_length: Count | None = None
    window: Literal["hann", "hamming"] = "hann"
    hop_length: Count
    last_frame: bool = True
    power: Literal[1, 2] = 2
    n_mels: Count
    fmin: Annotated[float, Field(ge=0.0)] = 0.0
    fmax: Positive
    mel_scale: Literal["slaney", "htk"] = "slaney"
    mel_norm: Literal["slaney", "none"] = "slaney"
    scale: Literal["perceptual_db", "log"] = "perceptual_db"
    top_db: Positive | None = None
    log_offset: Positive | None = None

    @model_validator(mode="before")
    @classmethod
    def _usual_floor(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("scale", "perceptual_db") == "perceptual_db":
            return {"top_db": TOP_DB, **values}
        return values

    @model_validator(mode="after")
    def _fits_together(self) -> "FrontendSpec":
        if not self.fmin < self.fmax <= self.sample_rate / 2:
            raise ValueError(f"fmin < fmax <= sample_rate / 2 does not hold: {self.fmin}, {self.fmax}")
        if self.n_fft % 2:
            raise ValueError(f"n_fft {self.n_fft} is odd")
        if self.win_length is not None and self.win_length > self.n_fft:
            raise ValueError(f"win_length {self.win_length} is longer than n_fft {self.n_fft}")
        if self.samples <= self.n_fft // 2:
            raise ValueError(f"a clip of {self.samples} samples is too short to be reflected by n_fft {self.n_fft} / 2")
        if self.scale == "perceptual_db" and (self.power, self.top_db is None, self.log_offset) != (2, False, None):
            raise ValueError("scale perceptual_db takes power 2 and top_db, and no log_offset")
        if self.scale == "log" and (self.top_db is not None or self.log_offset is None):
            raise ValueError("scale log takes log_offset, and no top_db")
        return self

    @property
    def samples(self) -> int:
        """Samples of a clip at `sample_rate`."""
        return round(self.clip_seconds * self.sample_rate)

    @property
    def frames(self) -> int:
        """Frames of a clip."""
        return self.frames_of(self.samples)

    def frames_of(self, samples: int) -> int:
        """Return the frames of that many samples."""
        return samples // self.hop_length + self.last_frame

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a clip's features: (channel, mel, frame)."""
        return self.channels, self.n_mels, self.frames


def load_spec(name_or_yaml: str | Path) -> FrontendSpec:
    """Read a front-end definition: a name out of features/, or the path of a YAML file.

    Raises:
        ConfigError: unknown name, unknown or missing key.

    >>> load_spec("pmel256").shape
    (2, 256, 431)
    """
    path = Path(name_or_yaml)
    if path.suffix not in (".yaml", ".yml"):
        path = resource_folder("features") / f"{name_or_yaml}.yaml"
        if not path.exists():
            known = sorted(p.stem for p in path.parent.glob("*.yaml"))
            raise ConfigError(f"there is no front end '{name_or_yaml}'", suggest(str(name_or_yaml), known))
    return parse(FrontendSpec, read_yaml(path), str(path))
