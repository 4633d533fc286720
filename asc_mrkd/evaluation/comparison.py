"""Runs beside each other: every run against its baseline, with a test over the seeds and a sentence in plain words."""

from collections.abc import Sequence
from dataclasses import dataclass

from asc_mrkd.evaluation.statistics import WelchTest, welch_test
from asc_mrkd.evaluation.summary import RunSummary

SIGNIFICANCE = 0.05
"""Level below which a difference over enough seeds is called significant."""


@dataclass(frozen=True)
class ComparisonRow:
    """One run of a comparison; without a baseline it is the baseline of the others."""

    number: int
    """Place in the list, from 1."""
    summary: RunSummary
    baseline: int | None
    """Number of the run it is compared with."""
    test: WelchTest | None
    """Accuracy of this run against its baseline; None without a baseline or when the test clips differ."""


def compare(summaries: Sequence[RunSummary]) -> list[ComparisonRow]:
    """Compare the accuracy of every run with its baseline: the first CE run that uses Mixup as it does.

    Without such a run the first CE run takes its place, and without any CE run the first run.
    """
    rows = []
    for number, summary in enumerate(summaries, start=1):
        baseline = _baseline(summary, summaries)
        test = None
        if baseline is not None and _same_clips(summary, summaries[baseline]):
            test = welch_test(summary.per_seed["accuracy"], summaries[baseline].per_seed["accuracy"])
        rows.append(ComparisonRow(number, summary, None if baseline is None else baseline + 1, test))
    return rows


def conclusions(rows: Sequence[ComparisonRow]) -> list[str]:
    """Say in one sentence per compared run what the seeds support, and nothing more."""
    if len(rows) == 1:
        return ["This is a single run: there is nothing to compare it with."]
    return [_conclusion(row, rows[row.baseline - 1]) for row in rows if row.baseline is not None]


def _baseline(summary: RunSummary, summaries: Sequence[RunSummary]) -> int | None:
    plain = [index for index, one in enumerate(summaries) if one.experiment.method.name == "ce"] or [0]
    first = plain[0]
    if summary is summaries[first]:
        return None
    mixup = summary.experiment.augment.mixup
    alike = next((index for index in plain if summaries[index].experiment.augment.mixup == mixup), first)
    return first if summaries[alike] is summary else alike


def _same_clips(ours: RunSummary, theirs: RunSummary) -> bool:
    return ours.scores[["filename", "label"]].equals(theirs.scores[["filename", "label"]])


def _conclusion(row: ComparisonRow, baseline: ComparisonRow) -> str:
    ours, theirs = f"{row.summary.method} (run {row.number})", f"{baseline.summary.method} (run {baseline.number})"
    if row.test is None:
        return f"{ours} was scored on other {row.summary.scored} than {theirs}: the two cannot be compared."
    kind, points = row.summary.kind, 100 * row.test.difference
    fact = (kind.worse if points < 0 else kind.better).format(ours=ours, theirs=theirs, points=abs(points))
    seeds = f"{len(row.summary.seeds)} against {len(baseline.summary.seeds)} seeds"
    fact += f": {seeds}, {row.summary.test_clips} {row.summary.scored}"
    if row.test.p_value is None:
        return f"{fact}. {row.test.warning.capitalize()}."
    fact += f", Welch's t-test p {p_text(row.test.p_value)}"
    if row.test.warning:
        return f"{fact}. {row.test.warning.capitalize()}."
    verdict = "significant" if row.test.p_value < SIGNIFICANCE else "not significant, the seeds alone may explain it"
    return f"{fact}. At the {SIGNIFICANCE:.0%} level this is {verdict}."


def p_text(p_value: float) -> str:
    """Write a p-value with its relation: `= 0.011`, or `< 0.001` where more digits would say nothing.

    >>> p_text(0.0114), p_text(2e-5)
    ('= 0.011', '< 0.001')
    """
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.3f}"
