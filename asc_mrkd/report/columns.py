"""Which figures are shown of scenes and of images: accuracy as DCASE has it, errors as papers on images have it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pandas as pd

from asc_mrkd.evaluation import RunSummary, Spread


def percent(fraction: float) -> str:
    """Write a fraction as a percentage with two decimals."""
    return f"{100 * fraction:.2f}"


def percent_spread(spread: Spread) -> str:
    """Write mean ± standard deviation of fractions as percentages.

    >>> percent_spread(Spread(0.7812, 0.0045)), percent_spread(Spread(0.7812, None))
    ('78.12 ± 0.45', '78.12')
    """
    return percent(spread.mean) if spread.std is None else f"{percent(spread.mean)} ± {percent(spread.std)}"


def error_spread(spread: Spread) -> str:
    """Write an accuracy as the error it leaves.

    >>> error_spread(Spread(0.7812, 0.0045))
    '21.88 ± 0.45'
    """
    return percent_spread(Spread(1 - spread.mean, spread.std))


def loss_spread(spread: Spread) -> str:
    """Write mean ± standard deviation of log losses with three decimals."""
    return f"{spread.mean:.3f}" if spread.std is None else f"{spread.mean:.3f} ± {spread.std:.3f}"


@dataclass(frozen=True)
class Column:
    """One figure of a table: a column of `RunSummary.per_seed` or of a group table, and how it is written."""

    heading: str
    metric: str
    write: Callable[[Spread], str]

    def cell(self, value: float) -> str:
        """Write a single value."""
        return self.write(Spread(value, None))


def mean_only(column: Column) -> Column:
    """Leave the standard deviation out, where there is no room for it."""
    return replace(column, write=lambda spread: column.cell(spread.mean))


@dataclass(frozen=True)
class Curve:
    """One learning curve: a column of `RunSummary.history`, and what is drawn of it."""

    title: str
    column: str
    value: Callable[[pd.Series], pd.Series]


@dataclass(frozen=True)
class Layout:
    """What the tables, the curves and the page show of runs of one kind."""

    title: str
    """Over the comparison."""
    comparison: tuple[Column, ...]
    direction: int
    """1 where a difference is one of accuracy, -1 where it is one of errors."""
    seeds: tuple[Column, ...]
    """The first one is also that of the best epoch."""
    best: tuple[str, str]
    """Heading of the best epoch, and its cell by figure and epoch."""
    best_note: str
    """Below the seeds, by what was scored."""
    groups: tuple[Column, ...]
    worst: int | None
    """How many groups a terminal shows where there are many; None shows all."""
    pairs: int
    """How many confused pairs are shown."""
    curves: tuple[Curve, ...]
    legend: str
    """What the headings of the comparison mean."""


LOSS_CURVES = (
    Curve("Training loss (total)", "loss", lambda loss: loss),
    Curve("Training cross entropy", "ce", lambda loss: loss),
)

ACCURACY = Column("Accuracy %", "accuracy", percent_spread)
MACRO = Column("Macro %", "macro_accuracy", percent_spread)
LOG_LOSS = Column("Log loss", "log_loss", loss_spread)

SCENES = Layout(
    title="Accuracy after the last epoch",
    comparison=(ACCURACY, mean_only(MACRO), LOG_LOSS),
    direction=1,
    seeds=(ACCURACY, MACRO, LOG_LOSS),
    best=("Best epoch *", "{} (epoch {})"),
    best_note="* chosen on the {}: never a result, only a sign of how steady the run is",
    groups=(ACCURACY, LOG_LOSS),
    worst=None,
    pairs=5,
    curves=(
        *LOSS_CURVES,
        Curve("Training accuracy (%)", "train_accuracy", lambda accuracy: 100 * accuracy),
        Curve("Test accuracy (%)", "test_accuracy", lambda accuracy: 100 * accuracy),
    ),
    legend="Accuracy: correct clips of all clips. Macro: mean of the accuracies of the classes. Log loss: mean of "
    "−ln p(true class). Diff.: percentage points of accuracy against the run in column “vs”",
)

ERROR = Column("Error %", "accuracy", error_spread)
TOP5 = Column("Top-5 %", "top5_error", percent_spread)
NLL = Column("NLL", "log_loss", loss_spread)
ECE = Column("ECE %", "calibration_error", percent_spread)

IMAGES = Layout(
    title="Errors after the last epoch",
    comparison=(ERROR, mean_only(TOP5), mean_only(NLL), mean_only(ECE)),
    direction=-1,
    seeds=(ERROR, TOP5, NLL, ECE),
    best=("Best (epoch) *", "{} ({})"),
    best_note="* chosen on {}, so never a result: a sign of how steady the run is",
    groups=(ERROR, NLL),
    worst=10,
    pairs=10,
    curves=(
        *LOSS_CURVES,
        Curve("Training error (%)", "train_accuracy", lambda accuracy: 100 * (1 - accuracy)),
        Curve("Test error (%)", "test_accuracy", lambda accuracy: 100 * (1 - accuracy)),
    ),
    legend="Error: wrong images of all images. Top-5: images whose true class is not among the five most probable. "
    "NLL: negative log likelihood, mean of −ln p(true class). ECE: expected calibration error, 15 bins. Diff.: "
    "percentage points of error against the run in column “vs”, below zero is better",
)

LAYOUTS = {"scenes": SCENES, "images": IMAGES}


def layout_of(summary: RunSummary) -> Layout:
    """Return the layout for the kind of a run."""
    return LAYOUTS[summary.kind.name]
