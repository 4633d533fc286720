"""Figures that are shown of scenes and of images: accuracy as in DCASE, errors as in papers on images."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pandas as pd

from asc_mrkd.config.domain import Domain
from asc_mrkd.evaluation import Spread
from asc_mrkd.runs import percentage


def percent(fraction: float) -> str:
    """Write a fraction as a percentage with two decimals."""
    return f"{percentage(fraction):.2f}"


def as_logged(values: pd.Series) -> pd.Series:
    """Leave the values of a curve as they are."""
    return values


def as_percentages(fractions: pd.Series) -> pd.Series:
    """Turn the values of a curve into percentages."""
    return 100 * fractions


def as_errors(accuracies: pd.Series) -> pd.Series:
    """Turn the accuracies of a curve into errors in percent."""
    return 100 * (1 - accuracies)


def percent_spread(spread: Spread) -> str:
    """Write mean ± standard deviation of fractions as percentages.

    >>> percent_spread(Spread(0.7812, 0.0045)), percent_spread(Spread(0.7812, None))
    ('78.12 ± 0.45', '78.12')
    """
    return percent(spread.mean) if spread.std is None else f"{percent(spread.mean)} ± {percent(spread.std)}"


def error_spread(spread: Spread) -> str:
    """Write an accuracy as the corresponding error.

    >>> error_spread(Spread(0.7812, 0.0045))
    '21.88 ± 0.45'
    """
    return percent_spread(Spread(1 - spread.mean, spread.std))


def loss_spread(spread: Spread) -> str:
    """Write mean ± standard deviation of log losses with three decimals."""
    return f"{spread.mean:.3f}" if spread.std is None else f"{spread.mean:.3f} ± {spread.std:.3f}"


@dataclass(frozen=True)
class Column:
    """One figure of a table and its text."""

    heading: str
    """Head of the column."""
    metric: str
    """Column of `RunSummary.per_seed`, or of a group table."""
    write: Callable[[Spread], str]
    """Text of a cell."""

    def cell(self, value: float) -> str:
        """Write a single value."""
        return self.write(Spread(value, None))


def mean_only(column: Column) -> Column:
    """Leave out the standard deviation, where a table has no room for it."""
    return replace(column, write=lambda spread: column.cell(spread.mean))


@dataclass(frozen=True)
class Curve:
    """One learning curve."""

    title: str
    """Title of its panel."""
    column: str
    """Column of `RunSummary.history`."""
    value: Callable[[pd.Series], pd.Series]
    """From that column to the drawn values."""


@dataclass(frozen=True)
class ReportColumns:
    """Tables, curves and notes of one domain."""

    title: str
    """Title of the comparison."""
    comparison: tuple[Column, ...]
    """Columns of the comparison; the first is the headline figure."""
    seeds: tuple[Column, ...]
    """Columns of the table by seed; the first is also that of the best epoch."""
    best_heading: str
    """Head of the column of the best epoch."""
    best_cell: str
    """Cell of the best epoch, with places for the figure and the epoch."""
    best_note: str
    """Note below the table by seed, with a place for the name of the scored samples."""
    groups: tuple[Column, ...]
    """Columns of the tables by group."""
    worst: int | None
    """Number of groups that a long table is cut down to; None shows all."""
    pairs: int
    """Number of confused pairs."""
    curves: tuple[Curve, ...]
    """Learning curves, four."""
    legend: str
    """Explanation of the headings of the comparison."""


LOSS_CURVES = (
    Curve("Training loss (total)", "loss", as_logged),
    Curve("Training cross-entropy", "ce", as_logged),
)

ACCURACY = Column("Accuracy %", "accuracy", percent_spread)
MACRO = Column("Macro %", "macro_accuracy", percent_spread)
LOG_LOSS = Column("Log loss", "log_loss", loss_spread)

SCENE_COLUMNS = ReportColumns(
    title="Accuracy after the last epoch",
    comparison=(ACCURACY, mean_only(MACRO), LOG_LOSS),
    seeds=(ACCURACY, MACRO, LOG_LOSS),
    best_heading="Best epoch *",
    best_cell="{} (epoch {})",
    best_note="* chosen on the {}: never a result, only a sign of how steady the run is",
    groups=(ACCURACY, LOG_LOSS),
    worst=None,
    pairs=5,
    curves=(
        *LOSS_CURVES,
        Curve("Training accuracy (%)", "train_accuracy", as_percentages),
        Curve("Test accuracy (%)", "test_accuracy", as_percentages),
    ),
    legend="Accuracy: share of the clips with the right class. Macro: mean of the accuracies of the classes. Log loss: "
    "mean of −ln p(true class). Diff.: difference in accuracy from the run in column “vs”, in percentage points.",
)

ERROR = Column("Error %", "accuracy", error_spread)
TOP5 = Column("Top-5 %", "top5_error", percent_spread)
NLL = Column("NLL", "log_loss", loss_spread)
ECE = Column("ECE %", "calibration_error", percent_spread)

IMAGE_COLUMNS = ReportColumns(
    title="Errors after the last epoch",
    comparison=(ERROR, mean_only(TOP5), mean_only(NLL), mean_only(ECE)),
    seeds=(ERROR, TOP5, NLL, ECE),
    best_heading="Best (epoch) *",
    best_cell="{} ({})",
    best_note="* chosen on {}, so never a result: a sign of how steady the run is",
    groups=(ERROR, NLL),
    worst=10,
    pairs=10,
    curves=(
        *LOSS_CURVES,
        Curve("Training error (%)", "train_accuracy", as_errors),
        Curve("Test error (%)", "test_accuracy", as_errors),
    ),
    legend="Error: share of the images with a wrong class. Top-5: share of those whose true class is not among the "
    "five most probable ones. NLL: negative log likelihood, mean of −ln p(true class). ECE: expected calibration error "
    "with 15 bins. Diff.: difference in error from the run in column “vs”, in percentage points; below zero is better.",
)

REPORT_COLUMNS = {"scenes": SCENE_COLUMNS, "images": IMAGE_COLUMNS}


def report_columns(domain: Domain) -> ReportColumns:
    """Return the tables, curves and notes of a domain."""
    return REPORT_COLUMNS[domain.name]
