"""What the teachers of a run were like, drawn from the figures that MrKD logs (asc_mrkd.mrkd.diagnostics)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from asc_mrkd.evaluation import RunSummary
from asc_mrkd.report.plots import PALETTE, draw_by_epoch, dress, png, verbatim


def percent(share: pd.Series) -> pd.Series:
    """Turn fractions into percentages."""
    return 100 * share


def as_logged(values: pd.Series) -> pd.Series:
    """Leave the values as they are."""
    return values


@dataclass(frozen=True)
class Panel:
    """A panel: its title, the figures of the log in it by the label of their curve, and how they are shown.

    A name that ends in `_` stands for one figure a backup, from the youngest on.
    """

    title: str
    figures: dict[str, str]
    value: Callable[[pd.Series], pd.Series] = as_logged


PANELS = (
    Panel(
        "Accuracy on the training batches (%)",
        {"student": "train_accuracy", "backup": "teacher_accuracy_", "ensemble": "ensemble_accuracy"},
        percent,
    ),
    Panel(
        "Decisions that differ (%)", {"target, label": "adjusted", "student, backup": "teacher_disagreement_"}, percent
    ),
    Panel("Probability of the true class in the target (%)", {"target": "target_probability"}, percent),
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
    """Return whether the log of a run tells of teachers."""
    return "teacher_divergence" in summary.history


def teachers_png(summary: RunSummary) -> bytes:
    """Return `teachers_figure` as PNG."""
    return png(teachers_figure(summary))


@verbatim
def teachers_figure(summary: RunSummary) -> Figure:
    """Draw the figures of the teachers over the epochs: mean over the seeds, band of one standard deviation."""
    figure = Figure(figsize=(9.5, 11.0), layout="constrained")
    for axes, panel in zip(figure.subplots(4, 2).flat, PANELS, strict=True):
        for index, (label, column) in enumerate(curves(panel, summary.history.columns.astype(str))):
            draw_by_epoch(axes, summary.history, column, panel.value, PALETTE[index % len(PALETTE)], label)
        dress(axes, panel.title)
        if axes.lines:
            axes.legend(fontsize=8, frameon=False)
    return figure


def curves(panel: Panel, logged: Iterable[str]) -> list[tuple[str, str]]:
    """Return the label and the column of every curve that a log with such columns has for a panel."""
    found, known = [], sorted(logged)
    for label, name in panel.figures.items():
        columns = [column for column in known if name.endswith("_") and column.startswith(name)]
        found += [(f"{label} {column.removeprefix(name)}", column) for column in columns]
        found += [(label, name)] if name in known else []
    return found
