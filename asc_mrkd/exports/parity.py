"""The parity bundle of an export: three clips, their features, the logits, and a script that repeats the comparison."""

import json
import shutil
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asc_mrkd.audio.read import match_channels, resample
from asc_mrkd.datasets.synthetic.scenes import render_clip
from asc_mrkd.datasets.synthetic.signals import RATE
from asc_mrkd.exports import parity_check
from asc_mrkd.features.frontend import Frontend
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.files import write_text
from asc_mrkd.rng import generator

CLIPS = ("tram-paris-1-1-a", "park-vienna-2-2-a", "street_traffic-london-3-3-a")
"""Built-in scenes, synthetic, that nobody has rights to."""

FEATURES_TOLERANCE = 1e-3
"""Largest difference of a feature, in dB or in natural logarithms."""


@dataclass(frozen=True)
class ParityInputs:
    """Inputs of a comparison."""

    clips: list[np.ndarray]
    """Samples (channel, sample), float32, multiples of 1 / 32768; none for pictures."""
    features: np.ndarray
    """Features (clip, channel, mel, frame), or pixels (picture, channel, height, width), before normalisation."""


def make_inputs(spec: FrontendSpec | None, input_shape: tuple[int, ...]) -> ParityInputs:
    """Return the inputs of a comparison: built-in scenes, or random pixels where there is no front end."""
    if spec is None:
        pixels = generator("parity").integers(0, 256, (len(CLIPS), *input_shape))
        return ParityInputs([], pixels.astype(np.float32))
    clips = [_render(name, spec) for name in CLIPS]
    return ParityInputs(clips, Frontend(spec)(np.stack(clips)))


def _render(name: str, spec: FrontendSpec) -> np.ndarray:
    """Return a built-in scene (channel, sample) with the rate, channels and length of a front end, in 16 bits."""
    sound = render_clip(0, name).T.astype(np.float32)
    sound = match_channels(sound if spec.channels <= len(sound) else sound[:1], spec.channels)
    sound = resample(sound, RATE, spec.sample_rate)
    sound = np.take(sound, np.arange(spec.samples), axis=1, mode="wrap")
    return (np.round(sound * (16_000 / np.abs(sound).max())) / 32768).astype(np.float32)


def write_parity(
    folder: Path,
    kind: str,
    inputs: ParityInputs,
    spec: FrontendSpec | None,
    arrays: dict[str, np.ndarray],
    model: str,
    takes_samples: bool,
    tolerance: float,
) -> None:
    """Write the bundle into a new folder.

    Args:
        folder: folder to make.
        kind: `onnx`, `tflite` or `c`.
        inputs: clips and features.
        spec: front end; None for pictures.
        arrays: `mean`, `std`, `logits` of the trained network and, if the exported one ran, `exported`: its answers.
        model: name of the exported file, in the folder around.
        takes_samples: whether the exported network takes samples and gives probabilities.
        tolerance: largest difference of what it gives.
    """
    folder.mkdir()
    names = _write_pictures(folder, inputs.features) if spec is None else _write_clips(folder, inputs.clips, spec)
    with open(folder / "parity.npz", "wb") as stream:
        np.savez_compressed(stream, features=inputs.features, **arrays)  # type: ignore[arg-type]
    facts = {
        "kind": kind,
        "model": model,
        "takes_samples": takes_samples,
        "clips": names,
        "tolerances": {"features": FEATURES_TOLERANCE, "outputs": tolerance},
    }
    write_text(folder / "parity.json", json.dumps(facts, indent=2) + "\n")
    shutil.copyfile(parity_check.__file__, folder / "check.py")


def _write_clips(folder: Path, clips: list[np.ndarray], spec: FrontendSpec) -> list[str]:
    """Write samples (channel, sample) as WAV files, PCM of 16 bits, and return their names."""
    names = [f"clip{number}.wav" for number in range(1, len(clips) + 1)]
    for name, clip in zip(names, clips, strict=True):
        whole = np.round(clip.T * 32768).astype("<i2")
        with open(folder / name, "wb") as stream, wave.open(stream) as sound:
            sound.setnchannels(whole.shape[1])
            sound.setsampwidth(2)
            sound.setframerate(spec.sample_rate)
            sound.writeframes(whole.tobytes())
    return names


def _write_pictures(folder: Path, pixels: np.ndarray) -> list[str]:
    """Write pixels (picture, channel, height, width) in 0..255 as PPM files, and return their names."""
    names = [f"picture{number}.ppm" for number in range(1, len(pixels) + 1)]
    for name, picture in zip(names, pixels, strict=True):
        _, height, width = picture.shape
        content = picture.transpose(1, 2, 0).astype(np.uint8).tobytes()
        (folder / name).write_bytes(b"P6\n%d %d\n255\n" % (width, height) + content)
    return names
