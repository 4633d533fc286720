"""Runs beside each other: every run against its baseline, and what the numbers support in plain words.

Two questions are answered apart. The t-test over the seeds: would training again give the same difference? The
bootstrap over the test samples, where there are few of them: would other samples of the same kind?
"""

from collections.abc import Sequence
from dataclasses import dataclass

from asc_mrkd.evaluation.bootstrap import SMALL_TEST_SET, Bootstrap, cluster_bootstrap
from asc_mrkd.evaluation.statistics import SIGNIFICANCE, Interval, MeanTest, paired_test, welch_test
from asc_mrkd.evaluation.summary import RunSummary


@dataclass(frozen=True)
class ComparisonRow:
    """One run of a comparison; without a baseline it is the baseline of the others."""

    number: int
    """Place in the list, from 1."""
    summary: RunSummary
    baseline: int | None
    """Number of the run it is compared with."""
    test: MeanTest | None = None
    """Accuracy of this run against its baseline; None without a baseline or when the test clips differ."""
    bootstrap: Bootstrap | None = None
    """The same over drawn test samples, averaged over all seeds of each run; None also where the test set is large."""

    @property
    def resampled(self) -> str:
        """What the bootstrap draws: "locations" where they hold several clips, else "clips" or "images"."""
        drawn = self.bootstrap.clusters if self.bootstrap else 0
        return "locations" if drawn < self.summary.test_clips else self.summary.kind.samples

    @property
    def warning(self) -> str:
        """Why nothing should be concluded; empty when there is no reason, and of the baseline."""
        if self.test:
            return self.test.warning
        return "" if self.baseline is None else f"other {self.summary.scored}: cannot be compared"


def compare(summaries: Sequence[RunSummary], paired: bool = False) -> list[ComparisonRow]:
    """Compare the accuracy of every run with its baseline: the first CE run that uses Mixup as it does.

    Without such a run the first CE run takes its place, and without any CE run the first run. The test over the seeds
    is Welch's, or with `paired` that of the seeds that both runs have.
    """
    rows = []
    for number, summary in enumerate(summaries, start=1):
        baseline = _baseline(summary, summaries)
        if baseline is None:
            rows.append(ComparisonRow(number, summary, None))
        elif not _same_clips(summary, summaries[baseline]):
            rows.append(ComparisonRow(number, summary, baseline + 1))
        else:
            ours, theirs = (one.per_seed["accuracy"] for one in (summary, summaries[baseline]))
            test = paired_test(ours, theirs) if paired else welch_test(ours, theirs)
            rows.append(ComparisonRow(number, summary, baseline + 1, test, _bootstrap(summary, summaries[baseline])))
    return rows


def conclusions(rows: Sequence[ComparisonRow]) -> list[str]:
    """Say per compared run what the seeds and, where it is small, the test set support, and nothing more."""
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


def _bootstrap(ours: RunSummary, theirs: RunSummary) -> Bootstrap | None:
    clusters = ours.scores["cluster"]
    if clusters.nunique() >= SMALL_TEST_SET:
        return None
    differences = ours.scores["correct"] - theirs.scores["correct"]
    return cluster_bootstrap(differences.to_numpy(), clusters.to_numpy())


def _conclusion(row: ComparisonRow, baseline: ComparisonRow) -> str:
    ours, theirs = f"{row.summary.method} (run {row.number})", f"{baseline.summary.method} (run {baseline.number})"
    if row.test is None:
        return f"{ours} was scored on other {row.summary.scored} than {theirs}: the two cannot be compared."
    test, kind = row.test, row.summary.kind
    below = test.difference < 0
    fact = (kind.worse if below else kind.better).format(ours=ours, theirs=theirs, points=100 * abs(test.difference))
    if test.interval:
        fact += f" ({_interval_text(test.interval, below)})"
    fact += f": {_seeds_text(row, baseline)}, {row.summary.test_clips} {row.summary.scored}"
    if test.p_value is not None and test.effect_size is not None:
        fact += f", {test.name} p {p_text(test.p_value)}, {test.effect_name} {abs(test.effect_size):.2f}"
    sentences = [f"{fact}.", f"{test.warning.capitalize()}." if test.warning else _verdict(test)]
    if row.bootstrap:
        interval = row.bootstrap.interval
        doubt = ", the test set alone may explain it" if interval.low <= 0 <= interval.high else ""
        drawn = f"{row.bootstrap.clusters} {row.resampled}"
        sentences.append(f"Bootstrap over {drawn}: {_interval_text(interval, below)}{doubt}.")
    return " ".join(sentences)


def _verdict(test: MeanTest) -> str:
    significant = test.p_value is not None and test.p_value < SIGNIFICANCE
    verdict = "significant" if significant else "not significant, the seeds alone may explain it"
    return f"At the {SIGNIFICANCE:.0%} level this is {verdict}."


def _seeds_text(row: ComparisonRow, baseline: ComparisonRow) -> str:
    ours, theirs = row.summary.seeds, baseline.summary.seeds
    if row.test is None or not row.test.paired or len(row.test.seeds) < 2:
        return f"{len(ours)} against {len(theirs)} seeds"
    pairs = f"{len(row.test.seeds)} pairs of seeds"
    return pairs if ours == theirs else f"{pairs} ({', '.join(map(str, row.test.seeds))}; others have no partner)"


def _interval_text(interval: Interval, below: bool) -> str:
    """Write an interval in percentage points, in the direction of the sentence around it."""
    shown = -interval if below else interval
    return f"{1 - SIGNIFICANCE:.0%} interval {100 * shown.low:z.2f} to {100 * shown.high:z.2f}"


def p_text(p_value: float) -> str:
    """Write a p-value with its relation: `= 0.011`, or `< 0.001` where more digits would say nothing.

    >>> p_text(0.0114), p_text(2e-5)
    ('= 0.011', '< 0.001')
    """
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.3f}"
