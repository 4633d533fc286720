"""Pieces of one length, as a network takes them: long recordings are cut, short ones are filled up or refused."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from asc_mrkd.audio.read import SECONDS_TOLERANCE, Shape
from asc_mrkd.datasets.own import piece_name
from asc_mrkd.datasets.recordings import Dataset
from asc_mrkd.errors import ConfigError, DataError, require_known

LONGEST_USUAL = 15.0
"""Longest usual length (s) of recordings that are taken whole by default."""

DEFAULT_PIECE = 10.0
"""Length (s) of the pieces of longer ones: that of the clips of DCASE."""

MOST_PIECES = 1_000_000
"""Largest number of pieces."""

ROUNDING = 0.1
"""Largest time (s) by which a table may set the end of a clip behind that of its recording: it was rounded."""

Short = Literal["repeat", "pad", "refuse"]
"""Treatment of a recording that is shorter than a clip: repeated, filled up with silence, or left out."""

SHORT_WORDS = {"repeat": "repeated up to a clip", "pad": "filled up with silence", "refuse": "left out"}
"""Each treatment in words."""


@dataclass(frozen=True, kw_only=True)
class Cutting:
    """Length and distance of the clips that recordings are cut into."""

    seconds: float | None = None
    """Length of a clip (s); None takes that of the front end, or one that fits most recordings."""
    hop: float | None = None
    """Distance of the starts of two pieces of a recording (s); None is the length, so that they do not overlap."""
    short: Short = "repeat"
    """Treatment of recordings that are shorter than a clip."""

    def __post_init__(self) -> None:
        for name, value in (("--clip-seconds", self.seconds), ("--hop-seconds", self.hop)):
            if value is not None and not 0.01 <= value <= 3600:
                raise ConfigError(f"{name} {value:g} is not between 0.01 and 3600", f"write {name} 1")
        require_known(self.short, SHORT_WORDS, "treatment of short recordings")


def choose_seconds(lengths: Sequence[float]) -> float:
    """Return the length of a clip (s) that fits recordings of some lengths (s): that of at least half, else the median.

    It is a multiple of 0.1 s, rounded down so that at least half of the recordings of that length fill it.

    >>> choose_seconds([5.0, 5.0, 0.2]), choose_seconds([600.0])
    (5.0, 10.0)
    """
    exact = pd.Series(lengths)
    rounded = pd.Series([round(length, 1) for length in lengths])
    counts = rounded.value_counts()
    typical = exact[rounded == counts.index[0]] if counts.iloc[0] >= len(lengths) / 2 else rounded
    chosen = math.floor(10 * (typical.median() + SECONDS_TOLERANCE)) / 10
    if chosen > LONGEST_USUAL:
        return DEFAULT_PIECE
    return max(chosen, 0.1)


def measure_clips(dataset: Dataset, shapes: Mapping[str, Shape]) -> list[float]:
    """Return the lengths (s) of the clips whose recordings have a shape: parts of them, if the data give times.

    Raises:
        DataError: a clip lies outside its recording.
    """
    if "start" not in dataset.clips:
        return [shape.seconds for shape in shapes.values()]
    lengths = []
    clips: list[dict[Any, Any]] = dataset.clips.to_dict("records")
    for clip in clips:
        if shape := shapes.get(clip["recording"]):
            lengths.append(_find_end(clip["recording"], clip["start"], clip["end"], shape.seconds) - clip["start"])
    return lengths


def cut_recordings(
    dataset: Dataset, shapes: dict[str, Shape], seconds: float, hop: float | None = None, short: Short = "repeat"
) -> tuple[Dataset, str]:
    """Cut the recordings of a data set into pieces of one length; also return the sentence that says what was done.

    A piece has the label, the split and the group of its recording; without a group the recording is one. Where half a
    hop or more is left over at the end, one more piece ends with the recording. Recordings without a shape stay as
    they are: the extraction names their faults.

    Args:
        dataset: any data set of recordings.
        shapes: shapes of the recordings that can be read, by their names.
        seconds: length of a piece (s).
        hop: distance of the starts of two pieces (s); None is `seconds`.
        short: treatment of shorter recordings.

    Returns:
        The data set. If anything was cut or filled up, its clips have the columns recording, start, end (s) and short,
        the treatment of a short one.

    Raises:
        ConfigError: there would be more than MOST_PIECES pieces.
        DataError: a clip lies outside its recording, or two clips of one recording give the same piece.
    """
    rows: list[dict[str, Any]] = []
    lost = 0.0
    done = Counter({"whole": 0, "cut": 0, "pieces": 0, "short": 0})
    records: list[dict[Any, Any]] = dataset.clips.to_dict("records")
    for clip in records:
        recording = clip.get("recording", clip["filename"])
        if recording not in shapes:
            rows.append(clip | {"recording": recording, "start": 0.0, "end": seconds, "short": ""})
            continue
        start = clip.get("start", 0.0)
        end = clip.get("end", np.nan)
        end = _find_end(recording, start, end, shapes[recording].seconds)
        pieces = _cut(clip, recording, start, end, seconds, hop or seconds, short)
        rows += pieces
        if pieces[0]["short"]:
            done["short"] += 1
        elif end - start <= seconds + SECONDS_TOLERANCE:
            done["whole"] += 1
        else:
            done["cut"] += 1
            done["pieces"] += len(pieces)
            lost += end - pieces[-1]["end"]
        if len(rows) > MOST_PIECES:
            raise ConfigError(f"the recordings give more than {MOST_PIECES:,} pieces", "choose a longer --hop-seconds")
    if not done["cut"] and not done["short"] and "recording" not in dataset.clips:
        return dataset, f"every recording is one clip of {seconds:g} s"
    clips = pd.DataFrame(rows)
    repeated = clips.loc[clips["filename"].duplicated(), "filename"]
    if len(repeated):
        raise DataError(
            f"{repeated.iloc[0]} is a piece of two clips, because they overlap",
            "let the clips of a recording not overlap, or choose another --clip-seconds",
        )
    return replace(dataset, clips=clips), _describe(done, lost, seconds, hop, short)


def _find_end(recording: str, start: float, end: float, seconds: float) -> float:
    """Return the end (s) of a clip from `start` to `end` (s), or NaN for no end, of a recording of that many seconds.

    Raises:
        DataError: the clip lies outside the recording.
    """
    hint = "times are seconds from the start of the file: mend them, or --start-column none takes every file whole"
    if start >= seconds:
        raise DataError(f"a clip of {recording} starts at {start:g} s, but the recording lasts {seconds:g} s", hint)
    if end > seconds + ROUNDING:
        raise DataError(f"a clip of {recording} ends at {end:g} s, but the recording lasts {seconds:g} s", hint)
    return float(np.nanmin([end, seconds]))


def _cut(
    clip: Mapping[Any, Any], recording: str, start: float, end: float, seconds: float, hop: float, short: Short
) -> list[dict[str, Any]]:
    """Return the rows of the pieces of a clip, which lasts from `start` to `end` of a recording (s)."""
    starts = _starts(end - start, seconds, hop)
    treatment = short if seconds - (end - start) > SECONDS_TOLERANCE else ""
    pieces = []
    for offset in starts:
        first = round(start + offset, 3)
        last = round(first + min(seconds, end - start), 3)
        piece: dict[str, Any] = {**clip, "recording": recording, "start": first, "end": last, "short": treatment}
        if len(starts) > 1:
            piece["filename"] = piece_name(recording, first, last)
            piece["identifier"] = clip["identifier"] or recording
        pieces.append(piece)
    return pieces


def _starts(length: float, seconds: float, hop: float) -> list[float]:
    """Return the starts (s) of the pieces of a recording.

    >>> _starts(2.6, 1.0, 1.0), _starts(2.4, 1.0, 1.0), _starts(0.3, 1.0, 0.5)
    ([0.0, 1.0, 1.6], [0.0, 1.0], [0.0])
    """
    if length <= seconds + SECONDS_TOLERANCE:
        return [0.0]
    count = math.floor((length - seconds + SECONDS_TOLERANCE) / hop) + 1
    starts = [number * hop for number in range(count)]
    if length - seconds - starts[-1] >= hop / 2:
        starts.append(length - seconds)
    return starts


def _describe(done: Counter[str], lost: float, seconds: float, hop: float | None, short: Short) -> str:
    parts = []
    if done["whole"]:
        parts.append(f"{_plural(done['whole'], 'recording is', 'recordings are')} as long as a clip, {seconds:g} s")
    if done["cut"]:
        every = f" every {hop:g} s" if hop and hop != seconds else ""
        longer = _plural(done["cut"], "longer one is", "longer ones are")
        parts.append(f"{longer} cut into {_plural(done['pieces'], 'piece', 'pieces')} of {seconds:g} s{every}")
    if lost > 0.05:
        parts.append(f"the last {round(lost, 1):g} s of them together are too short for a piece")
    if done["short"]:
        parts.append(f"{_plural(done['short'], 'shorter one is', 'shorter ones are')} {SHORT_WORDS[short]}")
    return ", ".join(parts)


def _plural(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"
