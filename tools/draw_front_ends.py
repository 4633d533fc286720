"""Draw the features of a built-in scene by every front end: features/pictures/NAME.png.

python tools/draw_front_ends.py             # all
python tools/draw_front_ends.py baseline40  # some
"""

import io
import sys

import matplotlib
import numpy as np
from librosa import mel_frequencies
from matplotlib.figure import Figure
from PIL import Image

from asc_mrkd.audio.read import match_channels, resample
from asc_mrkd.datasets.synthetic.scenes import render_clip
from asc_mrkd.datasets.synthetic.signals import RATE
from asc_mrkd.features import Frontend, FrontendSpec, load_spec
from asc_mrkd.folders import resource_folder

CLIP = "tram-helsinki-3-3-a.wav"
TICKS = (300, 1000, 3000, 10_000)
LEVELS = 32
"""Colours of the spectrogram: enough to hide the steps, few enough for a small file."""
COLOURS = 96
"""Colours of the whole picture."""


def compute_features(spec: FrontendSpec) -> np.ndarray:
    """Return the features (mel, frame) of the first channel of the scene's beginning."""
    samples = match_channels(render_clip(0, CLIP).T.astype(np.float32), spec.channels)
    return Frontend(spec)(resample(samples, RATE, spec.sample_rate)[:, : spec.samples])[0]


def draw(spec: FrontendSpec) -> Figure:
    """Return the picture: time in seconds, frequency in Hz at the distances of the mel filters."""
    features = compute_features(spec)
    figure = Figure(figsize=(5.6, 2.5), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    low, high = np.quantile(features, [0.005, 0.998])
    first, last = np.array([-0.5, spec.frames - 0.5]) * spec.hop_length / spec.sample_rate
    image = axes.imshow(
        features,
        origin="lower",
        aspect="auto",
        extent=(first, last, -0.5, spec.n_mels - 0.5),
        vmin=low,
        vmax=high,
        cmap=matplotlib.colormaps["magma"].resampled(LEVELS),
        interpolation="antialiased",
    )
    centres = mel_frequencies(spec.n_mels + 2, fmin=spec.fmin, fmax=spec.fmax, htk=spec.mel_scale == "htk")[1:-1]
    ticks = [tick for tick in TICKS if tick < spec.fmax]
    axes.set_yticks(np.interp(ticks, centres, range(spec.n_mels)), [f"{tick:,}" for tick in ticks])
    axes.set(xlabel="time (s)", ylabel="frequency (Hz)", xlim=(0, spec.clip_seconds))
    axes.set_title(f"{spec.name}: {' x '.join(map(str, spec.shape))}", fontsize=10)
    unit = "filtered level (dB)" if spec.scale == "perceptual_db" else "natural logarithm"
    figure.colorbar(image, ax=axes, label=unit, pad=0.01)
    return figure


def encode_png(figure: Figure) -> bytes:
    """Return the picture as a PNG with few colours."""
    full = io.BytesIO()
    small = io.BytesIO()
    figure.savefig(full, format="png")
    Image.open(full).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return small.getvalue()


def main() -> None:
    matplotlib.use("agg")
    folder = resource_folder("features") / "pictures"
    folder.mkdir(exist_ok=True)
    for name in sys.argv[1:] or sorted(path.stem for path in resource_folder("features").glob("*.yaml")):
        data = encode_png(draw(load_spec(name)))
        (folder / f"{name}.png").write_bytes(data)
        print(f"{folder / name}.png, {len(data) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
