"""Results of lower rooms in notebooks: the tables that the verbs print, and pictures."""

import io
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from asc_mrkd.evaluation import ComparisonRow, RunSummary
from asc_mrkd.files import format_bytes
from asc_mrkd.notebook import printed_html
from asc_mrkd.report.clips import data_address
from asc_mrkd.report.plots import spectrograms_png
from asc_mrkd.report.sweep import draw_points, read_points, sweep_table
from asc_mrkd.report.terminal import print_differences, print_evaluation
from asc_mrkd.store.layout import OK, FeatureStore

if TYPE_CHECKING:
    from asc_mrkd.engine.sweeps import Sweep


def run_html(summary: RunSummary) -> str:
    """Return the tables of `asc-mrkd evaluate`."""
    return printed_html(lambda console: print_evaluation(summary, console))


def comparison_html(rows: Sequence[ComparisonRow]) -> str:
    """Return the tables and the conclusions of `asc-mrkd compare`."""
    return printed_html(lambda console: print_differences(rows, console))


def sweep_html(sweep: "Sweep") -> str:
    """Return the table and the picture of `asc-mrkd sweep`."""
    points = read_points(sweep)
    table = printed_html(lambda console: console.print(sweep_table(points)))
    picture = draw_points(points)
    return table if picture is None else table + picture_html(picture, "Scores of the points of the sweep")


def store_html(store: FeatureStore) -> str:
    """Return the size of a feature store, and one clip of every class as a picture."""
    usable = int((store.clips["status"] == OK).sum())
    shape = " x ".join(map(str, store.spec.shape))
    text = (
        f"{store.folder}: {usable} of {len(store.clips)} clips in {len(store.classes)} classes, features "
        f"{store.spec.name}, {shape} per clip, {format_bytes(store.features.nbytes)}"
    )
    line = f"<p>{escape(text)}</p>"
    if usable == 0:
        return line
    return line + picture_html(shrink(spectrograms_png(store), size=820, colours=64), "One clip of every class")


def shrink(png: bytes, size: int, colours: int) -> bytes:
    """Return a picture with fewer colours, and at most as wide and high as a size in pixels.

    A notebook keeps what it shows.
    """
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.quantize(colours, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
    return buffer.getvalue()


def picture_html(png: bytes, text: str) -> str:
    """Return a picture that holds its own data."""
    return f'<img src="{data_address("image/png", png)}" alt="{escape(text)}" style="max-width: 100%">'
