"""Pictures of runs and features as PNG bytes, drawn without pyplot and its global state."""

import io
import math
import textwrap
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.ticker import MaxNLocator

from asc_mrkd.datasets.images import ImageSet
from asc_mrkd.evaluation import RunSummary
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.report.columns import as_logged, as_percentages, report_columns
from asc_mrkd.store.layout import OK, FeatureStore

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours that people with any colour vision tell apart (M. Okabe and K. Ito, 2008)."""

LINE_STYLES = ("-", "--", ":", "-.")
"""Styles of the curves; the next one is taken when all colours are used."""

SCALE_LABELS = {"perceptual_db": "weighted level (dB)", "log": "natural logarithm"}
"""Label of the values of a front end, by its scale."""

MAX_CLASSES_WITH_COUNTS = 20
"""Number of classes above which the confusion matrix is colour only."""

MAX_EXAMPLES = 40
"""Largest number of classes with an example image."""

DPI = 144

LEGEND_CHARACTERS = 12
"""Characters per inch of a legend."""

LEGEND_MARKER = 8
"""Width of the marker of a label in a legend, in characters."""

LEGEND_LINE = 0.2
"""Height of a line of a legend (inches)."""

OTHER_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "PingFang SC", "Hiragino Sans", "Microsoft YaHei", "SimHei")
"""Fonts for characters that the first one lacks, such as Chinese ones in names of classes; those installed are used."""


def font_families() -> list[str]:
    """Return the font of the pictures, and those installed that have the characters that it lacks."""
    installed = set(fontManager.get_font_names())
    return ["DejaVu Sans", *(name for name in OTHER_FONTS if name in installed)]


verbatim = rc_context({"text.parse_math": False, "font.family": font_families()})
"""Decorator that draws a `$` as a dollar, not as the start of a formula, and finds fonts for other scripts."""


class Picture(bytes):
    """A picture as PNG; a notebook shows it."""

    def __repr__(self) -> str:
        return f"<picture of {len(self)} bytes>"

    def _repr_png_(self) -> bytes:
        return bytes(self)


@verbatim
def learning_curves_png(summaries: Sequence[RunSummary]) -> Picture:
    """Draw losses and accuracies or errors by epoch: mean over the seeds, band of one standard deviation."""
    figure = Figure(figsize=(9.5, 6.0), layout="constrained")
    curves = report_columns(summaries[0].domain).curves
    for axes, curve in zip(figure.subplots(2, 2).flat, curves, strict=True):
        for index, summary in enumerate(summaries):
            label = f"{summary.method} ({summary.name})"
            draw_by_epoch(axes, summary.history, curve.column, curve.value, index, label)
        style_panel(axes, curve.title)
    add_legend(figure, axes)
    return png(figure)


def add_legend(figure: Figure, axes: Axes) -> None:
    """Add the legend of a panel below the figure, which grows by its height; labels that are too long are wrapped."""
    handles, labels = axes.get_legend_handles_labels()
    width = int(LEGEND_CHARACTERS * figure.get_figwidth())
    wrapped = [textwrap.fill(label, width - LEGEND_MARKER) for label in labels]
    lines = "\n".join(wrapped).splitlines()
    columns = max(1, width // (max(map(len, lines)) + LEGEND_MARKER))
    figure.set_figheight(figure.get_figheight() + LEGEND_LINE * math.ceil(len(lines) / columns))
    figure.legend(handles, wrapped, loc="outside lower center", ncols=columns, frameon=False)


def draw_by_epoch(
    axes: Axes, history: pd.DataFrame, column: str, value: Callable[[pd.Series], pd.Series], index: int, label: str
) -> None:
    """Draw a column of the log by epoch: mean over the seeds, band of one standard deviation.

    The curves of a panel are counted by `index`, which decides on colour and style.
    """
    known = history.dropna(subset=column)
    by_epoch = value(known[column]).groupby(known["epoch"])
    mean = by_epoch.mean()
    std = by_epoch.std(ddof=1).fillna(0.0)
    colour = PALETTE[index % len(PALETTE)]
    style = LINE_STYLES[index // len(PALETTE) % len(LINE_STYLES)]
    marker = "o" if len(mean) == 1 else None
    axes.plot(mean.index, mean, color=colour, linestyle=style, linewidth=1.8, marker=marker, label=label)
    lowest = 0.0 if by_epoch.min().min() >= 0 else -math.inf  # a loss or a percentage has no band below zero
    highest = math.inf if value is as_logged else 100.0
    below = (mean - std).clip(lower=lowest)
    above = (mean + std).clip(upper=highest)
    axes.fill_between(mean.index, below, above, color=colour, alpha=0.18, linewidth=0)


def style_panel(axes: Axes, title: str) -> None:
    """Set title, ticks and grid of a panel with epochs on its x axis."""
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


@verbatim
def confusion_matrix_png(summary: RunSummary) -> Picture:
    """Draw the confusion matrix: colour is the share of the true class, numbers are clips summed over the seeds.

    With many classes there is no room for numbers, and the colours of small shares are spread apart.
    """
    counts = summary.confusion
    few = has_counts(summary)
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    pitch = 0.42 if few else 0.095  # inches per class
    font = 10.0 if few else 6.0  # points
    size = 1.2 + 0.007 * font * max(map(len, summary.classes)) + pitch * len(counts)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(share, cmap="Blues", norm=PowerNorm(1.0 if few else 0.5, vmin=0, vmax=100))
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class (%)")
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title(f"{summary.method} ({summary.name})", loc="left", fontsize=11)
    rotated = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if few else {"rotation": 90}
    axes.set_xticks(range(len(counts)), summary.classes, fontsize=font, **rotated)
    axes.set_yticks(range(len(counts)), summary.classes, fontsize=font)
    for (row, column), clips in np.ndenumerate(counts):
        if few and clips:
            colour = "white" if share[row, column] > 55 else "black"
            axes.text(column, row, str(clips), ha="center", va="center", color=colour, fontsize=8)
    return png(figure)


def has_counts(summary: RunSummary) -> bool:
    """Return whether the confusion matrix has room for numbers."""
    return len(summary.classes) <= MAX_CLASSES_WITH_COUNTS


@verbatim
def images_png(images: ImageSet) -> Picture:
    """Draw the first test image of every class, or of MAX_EXAMPLES classes spread over the alphabet."""
    split = images.splits["test"]
    positions = split.table.reset_index().groupby("label")["index"].first()
    shown = np.linspace(0, len(positions) - 1, min(len(positions), MAX_EXAMPLES)).round().astype(int)
    columns = min(len(shown), 8)
    rows = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(9.5, 1.35 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, (label, position) in zip(grid.flat, positions.iloc[shown].items(), strict=False):
        axes.imshow(split.pixels[position].transpose(1, 2, 0))
        axes.set_title(label, fontsize=9)
    for axes in grid.flat:
        axes.set_axis_off()
    return png(figure)


@verbatim
def spectrograms_png(store: FeatureStore) -> Picture:
    """Draw one clip of every class, channel 0: seconds by centre frequency of the mel bin, values as stored."""
    examples = store.clips[store.clips["status"] == OK].drop_duplicates("label").sort_values("label")
    pictures = {
        label: store.features[row, 0, :, :frames].astype(np.float32)
        for label, row, frames in examples[["label", "row", "frames"]].itertuples(index=False)
    }
    columns = min(len(pictures), 3)
    rows = math.ceil(len(pictures) / columns)
    figure = Figure(figsize=(9.5, 0.6 + 2.1 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    # One colour scale for all, without the 0.5 % outliers at either end, so that classes can be compared.
    low, high = np.percentile(np.stack(list(pictures.values())), [0.5, 99.5])
    for axes, (label, picture) in zip(grid.flat, pictures.items(), strict=False):
        extent = (0, picture.shape[1] * store.spec.hop_length / store.spec.sample_rate, -0.5, len(picture) - 0.5)
        image = axes.imshow(picture, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=low, vmax=high)
        axes.set_yticks(*_mel_ticks(store.spec))
        axes.set_title(label, loc="left", fontsize=10)
    for axes in grid.flat[len(pictures) :]:
        axes.set_visible(False)
    for axes in grid.flat[max(len(pictures) - columns, 0) : len(pictures)]:
        axes.tick_params(labelbottom=True)
    figure.supxlabel("time (s)", fontsize=10)
    figure.supylabel("frequency (Hz, mel scale)", fontsize=10)
    figure.colorbar(image, ax=grid, shrink=0.9, aspect=40, label=SCALE_LABELS[store.spec.scale])
    return png(figure)


def _mel_ticks(spec: FrontendSpec) -> tuple[list[int], list[str]]:
    """Label five mel bins from the lowest to the highest with their centre frequencies."""
    from librosa import mel_frequencies  # imported here: a report about images needs no audio library

    edges = mel_frequencies(n_mels=spec.n_mels + 2, fmin=spec.fmin, fmax=spec.fmax, htk=spec.mel_scale == "htk")
    bins = np.linspace(0, spec.n_mels - 1, 5).round().astype(int).tolist()
    return bins, [f"{edges[index + 1]:.0f}" for index in bins]


def png(figure: Figure) -> Picture:
    """Return the picture as PNG."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a character that the font lacks is drawn as a box
        figure.savefig(buffer, format="png", dpi=DPI, facecolor="white")
    return Picture(buffer.getvalue())


@dataclass(frozen=True)
class Panel:
    """A panel of the picture of the teachers."""

    title: str
    """Title above the panel."""
    figures: dict[str, str]
    """Columns of the log by the label of their curve; a name ending in `_` stands for one column per backup."""
    value: Callable[[pd.Series], pd.Series] = as_logged
    """From a column to the drawn values."""


PANELS = (
    Panel(
        "Accuracy on the training batches (%)",
        {"student": "train_accuracy", "backup": "teacher_accuracy_", "ensemble": "ensemble_accuracy"},
        as_percentages,
    ),
    Panel(
        "Decisions that differ (%)",
        {"target, label": "adjusted", "student, backup": "teacher_disagreement_"},
        as_percentages,
    ),
    Panel("Probability of the true class in the target (%)", {"target": "target_probability"}, as_percentages),
    Panel(
        "Entropy and divergence (nats)",
        {"entropy of the target": "target_entropy", "divergence among backups": "teacher_divergence"},
    ),
    Panel("Distillation term, tau² KL (nats)", {"kd": "kd"}),
    Panel("Gradient of tau² KL over that of the labels", {"ratio of norms": "gradient_ratio"}),
    Panel("Standard deviation of the ensemble's logits", {"ensemble": "ensemble_std"}),
    Panel("Age of the backups (steps)", {"backup": "teacher_age_"}),
)


def has_teachers(summary: RunSummary) -> bool:
    """Return whether the log of a run has figures of its teachers."""
    return "teacher_divergence" in summary.history


def teachers_png(summary: RunSummary) -> Picture:
    """Return `teachers_figure` as PNG."""
    return png(teachers_figure(summary))


@verbatim
def teachers_figure(summary: RunSummary) -> Figure:
    """Draw the figures of the teachers by epoch: mean over the seeds, band of one standard deviation."""
    figure = Figure(figsize=(9.5, 11.0), layout="constrained")
    for axes, panel in zip(figure.subplots(4, 2).flat, PANELS, strict=True):
        for index, (label, column) in enumerate(panel_curves(panel, summary.history.columns.astype(str))):
            draw_by_epoch(axes, summary.history, column, panel.value, index, label)
        style_panel(axes, panel.title)
        if axes.lines:
            axes.legend(fontsize=8, frameon=False)
    return figure


def panel_curves(panel: Panel, logged: Iterable[str]) -> list[tuple[str, str]]:
    """Return the label and the column of every curve of a panel that a log with these columns has."""
    known = sorted(logged)
    curves = []
    for label, name in panel.figures.items():
        if name in known:
            curves.append((label, name))
        if name.endswith("_"):
            columns = [column for column in known if column.startswith(name)]
            curves += [(f"{label} {column.removeprefix(name)}", column) for column in columns]
    return curves
