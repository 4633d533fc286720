"""The definition of a front end, one YAML file each in features/."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from asc_mrkd.errors import ConfigError, suggest
from asc_mrkd.schema import Count, Positive, Schema, parse, read_yaml
from asc_mrkd.shipped import shipped


class FrontendSpec(Schema):
    """Every number that decides a feature value; frequencies in Hz, lengths in samples, levels in dB."""

    name: str
    sample_rate: Count
    channels: Count
    clip_seconds: Positive
    n_fft: Count
    hop_length: Count
    n_mels: Count
    fmin: Annotated[float, Field(ge=0.0)] = 0.0
    fmax: Positive
    scale: Literal["perceptual_db"] = "perceptual_db"
    top_db: Positive = 80.0

    @model_validator(mode="after")
    def _below_nyquist(self) -> "FrontendSpec":
        if not self.fmin < self.fmax <= self.sample_rate / 2:
            raise ValueError(f"fmin < fmax <= sample_rate / 2 does not hold: {self.fmin}, {self.fmax}")
        return self

    @property
    def samples(self) -> int:
        """Samples of a clip at `sample_rate`."""
        return round(self.clip_seconds * self.sample_rate)

    @property
    def frames(self) -> int:
        """Frames of a clip (centred windows)."""
        return 1 + self.samples // self.hop_length

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
        path = shipped("features") / f"{name_or_yaml}.yaml"
        if not path.exists():
            known = sorted(p.stem for p in path.parent.glob("*.yaml"))
            raise ConfigError(f"there is no front end '{name_or_yaml}'", suggest(str(name_or_yaml), known))
    return parse(FrontendSpec, read_yaml(path), str(path))
