"""Clips to look at and to hear on the page: of every class the most certain and the most confused one."""

import base64
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from asc_mrkd.errors import AudioError, DataError
from asc_mrkd.evaluation import RunSummary
from asc_mrkd.store.layout import FeatureStore
from asc_mrkd.store.origin import read_origin

MOST_CLASSES = 12
"""Most classes with clips, those that are recognised worst: a page with more would be slow to open."""

LARGEST_PICTURE = (96, 288)
"""Largest height and width of the picture of a spectrogram (pixels)."""

LONGEST_SOUND = 10.0
"""Longest sound of a clip on the page (s)."""

SOUND_RATE = 16_000
"""Sample rate of the sounds on the page (Hz)."""

SOUND_OPTIONS: dict[str, Any] = {"format": "MP3", "compression_level": 0.9, "bitrate_mode": "VARIABLE"}
"""Arguments of soundfile for the sounds: about 30 kB for 10 seconds."""


@dataclass(frozen=True)
class ShownClip:
    """A clip on the page."""

    name: str
    """File name."""
    decision: str
    """The most probable class and its mean probability over the seeds."""
    picture: str | None = field(repr=False)
    """Spectrogram, a picture as a data: address; None if the clip is not in the store."""
    sound: str | None = field(repr=False)
    """Sound as a data: address; None if the recording is not there."""

    def _repr_html_(self) -> str:
        parts = [f"<b>{escape(self.decision)}</b>"]
        if self.picture is not None:
            parts.append(f'<img src="{self.picture}" alt="Spectrogram" style="width: 20em; height: 6em">')
        if self.sound is not None:
            parts.append(f'<audio controls preload="none" src="{self.sound}" style="width: 20em"></audio>')
        parts.append(f"<small>{escape(self.name)}</small>")
        return "<div>" + "<br>".join(parts) + "</div>"


@dataclass(frozen=True)
class ClassClips:
    """The clips of one class."""

    label: str
    """Name of the class."""
    certain: ShownClip | None
    """The clip that was recognised with the highest probability; None if none was recognised."""
    confused: ShownClip | None
    """The clip that was taken for another class with the highest probability; None if none was."""

    def _repr_html_(self) -> str:
        shown = []
        for heading, clip in (("recognised", self.certain), ("taken for another class", self.confused)):
            content = "no clip" if clip is None else clip._repr_html_()
            shown.append(f'<div style="width: 20em">{heading}: {content}</div>')
        return f'<h4>{escape(self.label)}</h4><div style="display: flex; gap: 2em">{"".join(shown)}</div>'


def class_clips(summary: RunSummary, store: FeatureStore, recordings: Path | None) -> list[ClassClips]:
    """Return the most certain and the most confused clip of every class, or of the worst ones where there are many.

    Args:
        summary: scores of a run on recordings.
        store: feature store that the run was tested on.
        recordings: folder that the file names start from; None is the one that the store names, if it is still there.

    Raises:
        DataError: none of the clips lies in the folder that was given.
    """
    accuracy = summary.by("label")["accuracy"].sort_values(kind="stable")
    shown = sorted(accuracy.index[:MOST_CLASSES])
    folder = recordings or _known_folder(store)
    drawer = _Drawer(summary, store, folder)
    rows = [ClassClips(label, *(drawer.show(position) for position in find_clips(summary, label))) for label in shown]
    clips = [clip for row in rows for clip in (row.certain, row.confused) if clip]
    if recordings is not None and clips and not any(drawer.recording(clip.name) for clip in clips):
        raise DataError(f"{recordings} holds no clip of {summary.folder}, such as {clips[0].name}", "--recordings DIR")
    return rows


def find_clips(summary: RunSummary, label: str) -> tuple[int | None, int | None]:
    """Return the positions of the most certain and of the most confused clip of a class in `summary.scores`."""
    own = summary.classes.index(label)
    of_class = np.flatnonzero(summary.scores["label"] == label)
    predicted = summary.probabilities[of_class].argmax(axis=1)
    highest = summary.probabilities[of_class].max(axis=1)
    found: list[int | None] = []
    for candidates in (np.flatnonzero(predicted == own), np.flatnonzero(predicted != own)):
        found.append(int(of_class[candidates[highest[candidates].argmax()]]) if len(candidates) else None)
    return found[0], found[1]


def _known_folder(store: FeatureStore) -> Path | None:
    """Return the folder of the recordings that a store names; None if it names none, or one that has gone."""
    folder = read_origin(store.folder).get("recordings")
    return Path(folder) if isinstance(folder, str) and Path(folder).is_dir() else None


class _Drawer:
    """Makes the pictures and the sounds of clips."""

    def __init__(self, summary: RunSummary, store: FeatureStore, folder: Path | None) -> None:
        self.summary = summary
        self.store = store
        self.folder = folder
        self.clips: dict[str, dict[Any, Any]] = store.clips.set_index("filename").to_dict("index")  # type: ignore[assignment]
        rows = [self.clips[name]["row"] for name in summary.scores["filename"] if name in self.clips]
        sample = store.features[rows[:: math.ceil(len(rows) / 20)], 0] if rows else np.zeros(1)
        self.range = tuple(np.percentile(np.asarray(sample, np.float32), [0.5, 99.5]))

    def show(self, position: int | None) -> ShownClip | None:
        """Return a clip with its picture and its sound."""
        if position is None:
            return None
        name = str(self.summary.scores["filename"].iloc[position])
        probabilities = self.summary.probabilities[position]
        decision = f"{self.summary.classes[probabilities.argmax()]} {probabilities.max():.2f}"
        clip = self.clips.get(name)
        if clip is None:
            return ShownClip(name, decision, None, None)
        return ShownClip(name, decision, self._picture(clip), self._sound(name, clip))

    def recording(self, name: str) -> Path | None:
        """Return the recording that a clip is in; None if it is not there."""
        if self.folder is None or name not in self.clips:
            return None
        path = self.folder / str(self.clips[name].get("recording", name))
        return path if path.is_file() else None

    def _picture(self, clip: Mapping[Any, Any]) -> str:
        features = np.asarray(self.store.features[clip["row"], 0, :, : clip["frames"]], np.float32)
        return data_address("image/png", spectrogram_png(features, *self.range))

    def _sound(self, name: str, clip: Mapping[Any, Any]) -> str | None:
        path = self.recording(name)
        if path is None:
            return None
        try:
            return data_address("audio/mpeg", short_sound(path, float(clip.get("start", 0.0)), clip.get("end")))
        except (AudioError, RuntimeError, ValueError):  # the last two: of a libsndfile that writes no MP3
            return None


def spectrogram_png(features: np.ndarray, low: float, high: float) -> bytes:
    """Draw a spectrogram (mel, frame) as a small PNG of 256 colours, the lowest band at the bottom."""
    from matplotlib import colormaps
    from PIL import Image

    levels = np.clip((features - low) / max(high - low, 1e-6), 0, 1)
    picture = Image.fromarray((255 * levels[::-1]).astype(np.uint8))
    height = min(LARGEST_PICTURE[0], picture.height)
    width = min(LARGEST_PICTURE[1], picture.width)
    picture = picture.resize((width, height), Image.Resampling.BOX)
    colours = (255 * colormaps["magma"](np.arange(256))[:, :3]).astype(np.uint8)
    indexed = Image.frombytes("P", picture.size, picture.tobytes())
    indexed.putpalette(colours.tobytes())
    buffer = io.BytesIO()
    indexed.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def short_sound(path: Path, start: float, end: float | None) -> bytes:
    """Return a part of a recording as mono MP3, at most LONGEST_SOUND long.

    Raises:
        AudioError: the recording cannot be used.
    """
    import soundfile

    from asc_mrkd.audio import match_channels, read_audio, resample

    audio = read_audio(path)
    first = round(start * audio.sample_rate)
    seconds = LONGEST_SOUND if end is None or end != end else min(LONGEST_SOUND, end - start)
    part = match_channels(audio.samples[:, first : first + round(seconds * audio.sample_rate)], 1)
    samples = resample(part, audio.sample_rate, SOUND_RATE)[0]
    buffer = io.BytesIO()
    soundfile.write(buffer, samples / max(1.0, np.abs(samples).max(initial=0.0)), SOUND_RATE, **SOUND_OPTIONS)
    return buffer.getvalue()


def data_address(kind: str, content: bytes) -> str:
    """Return content as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
