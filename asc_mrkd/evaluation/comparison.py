"""Comparison of runs: every run against its baseline, and the conclusions that the numbers support, in plain words.

Two questions are answered separately. The t-test over the seeds: would another training give the same difference? The
bootstrap over the test samples, where they are few: would other samples of the same kind give it?
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from asc_mrkd.config import decisive_settings
from asc_mrkd.config.domain import SCENES, Domain
from asc_mrkd.errors import SHOWN, RunError, list_of, require_bool, shell_command
from asc_mrkd.evaluation.bootstrap import FEW_CLUSTERS, SMALL_TEST_SET, Bootstrap, cluster_bootstrap
from asc_mrkd.evaluation.statistics import (
    SIGNIFICANCE,
    ConfidenceInterval,
    MeanTest,
    paired_test,
    welch_test,
)
from asc_mrkd.evaluation.summary import RunSummary, evaluate
from asc_mrkd.notebook import shown_by
from asc_mrkd.runs import percentage


@dataclass(frozen=True)
class ComparisonRow:
    """One run of a comparison, with or without a baseline."""

    number: int
    """Position in the list, from 1."""
    summary: RunSummary
    """Scores of the run."""
    baseline: int | None
    """Number of the run it is compared with; None for the baseline of the others."""
    test: MeanTest | None = None
    """Test of the accuracy of this run against its baseline; None without a baseline or if the test clips differ."""
    bootstrap: Bootstrap | None = None
    """Bootstrap of the difference between the means over all seeds of each run, of which a paired test takes the pairs
    alone; None also if the test set is large."""
    differing_settings: Sequence[str] = ()
    """Settings besides the method that decide the numbers and differ from those of the baseline, by dotted key."""

    @property
    def resampled(self) -> str:
        """Noun for the clusters of the bootstrap: "locations", of own recordings "groups", else "clips" or "images"."""
        if self.bootstrap is None or self.bootstrap.clusters == self.summary.test_clips:
            return self.summary.domain.samples
        return "groups" if (self.summary.scores["group"] != "").any() else "locations"

    @property
    def warning(self) -> str:
        """Reason to draw no conclusion; empty if there is none, and for the baseline."""
        if self.test:
            return self.test.warning
        return "" if self.baseline is None else f"other {self.summary.scored}: cannot be compared"


class Comparison(list[ComparisonRow]):
    """The rows of a comparison, one per run; a notebook shows them as tables, with the conclusions."""

    _repr_html_ = shown_by("asc_mrkd.report.notebook", "comparison_html")


def compare(runs: Sequence[str | os.PathLike[str]], paired: bool | None = None) -> Comparison:
    """Compare the accuracy of every run with that of its baseline.

        _, row = compare(["exp/ce", "exp/mrkd"])
        row.test.difference, row.test.p_value  # 0.0124 (1.24 percentage points), 0.031

    The baseline of a run is the first run of the method `ce` that uses Mixup as it does. Without such a run it is the
    first `ce` run, and without any `ce` run the first run.

    Args:
        runs: two or more run folders.
        paired: True compares seed by seed, over the seeds that both runs have; False compares by Welch's test. None
            compares seed by seed where both runs have the same seeds, else by Welch's test.

    Returns:
        One row per run, in the same order.

    Raises:
        RunError: fewer than two runs, or one that cannot be scored (see `evaluate`).
        ConfigError: `paired` is a word, or `runs` a single path.
    """
    if paired is not None:
        require_bool(paired, "paired")
    runs = list_of(runs, "runs")
    if len(runs) < 2:
        alone = runs[0] if runs else "RUN"
        raise RunError(f"{alone} alone has nothing to be compared with", shell_command("asc-mrkd", "evaluate", alone))
    return Comparison(compare_summaries([evaluate(run) for run in runs], paired))


def compare_summaries(summaries: Sequence[RunSummary], paired: bool | None = None) -> list[ComparisonRow]:
    """Compare runs that have been scored; see `compare`. A single run has no baseline."""
    rows = []
    for number, summary in enumerate(summaries, start=1):
        index = _baseline_index(summary, summaries)
        if index is None:
            rows.append(ComparisonRow(number, summary, None))
            continue
        baseline = summaries[index]
        test = bootstrap = None
        if _has_same_clips(summary, baseline):
            test = _test(summary, baseline, paired)
            bootstrap = _bootstrap(summary, baseline)
        differing = differing_settings(summary, baseline)
        rows.append(ComparisonRow(number, summary, index + 1, test, bootstrap, differing))
    return rows


def conclusions(rows: Sequence[ComparisonRow]) -> list[str]:
    """Write one paragraph per compared run: the conclusions that its seeds and a small test set support."""
    if len(rows) == 1:
        return ["This is a single run: there is nothing to compare it with."]
    return [_conclusion(row, rows[row.baseline - 1]) for row in rows if row.baseline is not None]


def _baseline_index(summary: RunSummary, summaries: Sequence[RunSummary]) -> int | None:
    """Return the position of the baseline of a run; None if it is the baseline itself."""
    candidates = [index for index, one in enumerate(summaries) if one.experiment.method.name == "ce"] or [0]
    first = candidates[0]
    if summary is summaries[first]:
        return None
    for index in candidates:
        if summaries[index].experiment.augment.mixup == summary.experiment.augment.mixup:
            return first if summaries[index] is summary else index
    return first


def _test(summary: RunSummary, baseline: RunSummary, paired: bool | None) -> MeanTest:
    if paired is None:
        paired = summary.seeds == baseline.seeds and len(summary.seeds) > 1
    run_test = paired_test if paired else welch_test
    return run_test(summary.per_seed["accuracy"], baseline.per_seed["accuracy"])


def _has_same_clips(ours: RunSummary, theirs: RunSummary) -> bool:
    return ours.scores[["filename", "label"]].equals(theirs.scores[["filename", "label"]])


def _bootstrap(ours: RunSummary, theirs: RunSummary) -> Bootstrap | None:
    clusters = ours.scores["cluster"]
    if clusters.nunique() >= SMALL_TEST_SET:
        return None
    differences = ours.scores["correct"] - theirs.scores["correct"]
    return cluster_bootstrap(differences.to_numpy(), clusters.to_numpy())


def _conclusion(row: ComparisonRow, baseline: ComparisonRow) -> str:
    ours = f"{row.summary.method} (run {row.number})"
    theirs = f"{baseline.summary.method} (run {baseline.number})"
    if row.test is None:
        return f"{ours} was scored on other {row.summary.scored} than {theirs}: the two cannot be compared."
    verdict = f"{row.test.warning.capitalize()}." if row.test.warning else _verdict(row.test)
    sentences = [_difference_sentence(row, baseline, row.test, ours, theirs), verdict]
    differing = row.differing_settings
    if differing:
        more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        sentences.append(f"Besides the method, the runs differ in {', '.join(differing[:SHOWN])}{more}.")
    if row.bootstrap:
        sentences.append(_bootstrap_sentence(row, row.test, row.bootstrap))
    return " ".join(sentences)


def differing_settings(ours: RunSummary, theirs: RunSummary) -> list[str]:
    """Return the settings besides the method that decide the numbers of two runs and differ, by dotted key.

    A difference between the runs may come from them. The steps of a compression count as one, called "compression".
    """
    first = {**decisive_settings(ours.experiment), "compression": ours.compression}
    second = {**decisive_settings(theirs.experiment), "compression": theirs.compression}
    keys = [key for key in dict.fromkeys([*first, *second]) if not key.startswith(("method.", "code."))]
    return [key for key in keys if first.get(key) != second.get(key)]


def _difference_sentence(row: ComparisonRow, baseline: ComparisonRow, test: MeanTest, ours: str, theirs: str) -> str:
    domain = row.summary.domain
    points = percentage(test.difference)
    if points == 0:
        sentence = f"{ours} and {theirs} have the same {domain.headline}"
    else:
        pattern = domain.worse if points < 0 else domain.better
        sentence = pattern.format(ours=ours, theirs=theirs, points=abs(points))
    if test.interval:
        sentence += f" ({_interval(row, test.interval)})"
    sentence += f": {_seeds_text(row, baseline)}, {row.summary.test_clips} {row.summary.scored}"
    if test.p_value is not None and test.effect_size is not None:
        sentence += f", {test.name} p {p_value_text(test.p_value)}, {test.effect_name} {abs(test.effect_size):.2f}"
    return f"{sentence}."


def _verdict(test: MeanTest) -> str:
    significant = test.p_value is not None and test.p_value < SIGNIFICANCE
    verdict = "significant" if significant else "not significant, the seeds alone may explain it"
    return f"At the {SIGNIFICANCE:.0%} level this is {verdict}."


def _bootstrap_sentence(row: ComparisonRow, test: MeanTest, bootstrap: Bootstrap) -> str:
    interval = bootstrap.interval
    is_doubtful = interval.low <= 0 <= interval.high and percentage(test.difference) != 0
    doubt = ", the test set alone may explain it" if is_doubtful else ""
    sentence = f"Bootstrap over {bootstrap.clusters} {row.resampled}: {_interval(row, interval)}{doubt}."
    if bootstrap.clusters < FEW_CLUSTERS:
        sentence += f" With so few {row.resampled} the interval is too narrow."
    return sentence


def _seeds_text(row: ComparisonRow, baseline: ComparisonRow) -> str:
    ours = row.summary.seeds
    theirs = baseline.summary.seeds
    if row.test is None or not row.test.paired or len(row.test.seeds) < 2:
        return f"{len(ours)} against {len(theirs)} seeds"
    pairs = f"{len(row.test.seeds)} pairs of seeds"
    return pairs if ours == theirs else f"{pairs} ({', '.join(map(str, row.test.seeds))}; others have no partner)"


def _interval(row: ComparisonRow, interval: ConfidenceInterval) -> str:
    return f"{1 - SIGNIFICANCE:.0%} interval {interval_text(interval, row.summary.domain)}"


def difference_text(difference: float, domain: Domain) -> str:
    """Write a difference in accuracy as one in the headline figure, in percentage points with their sign.

    >>> from asc_mrkd.config.domain import IMAGES
    >>> difference_text(-0.08125, SCENES), difference_text(-0.08125, IMAGES)
    ('-8.13', '+8.13')
    """
    return f"{domain.direction * percentage(difference):+z.2f}"


def interval_text(interval: ConfidenceInterval, domain: Domain) -> str:
    """Write an interval of a difference in accuracy as `difference_text` writes the difference.

    >>> from asc_mrkd.config.domain import IMAGES
    >>> interval = ConfidenceInterval(-0.01, 0.03)
    >>> interval_text(interval, SCENES), interval_text(interval, IMAGES)
    ('-1.00 to +3.00', '-3.00 to +1.00')
    """
    shown = interval if domain.direction > 0 else -interval
    return f"{difference_text(shown.low, SCENES)} to {difference_text(shown.high, SCENES)}"


def p_value_text(p_value: float) -> str:
    """Write a p-value with its relation: `= 0.011`, or `< 0.001` where more digits carry no information.

    >>> p_value_text(0.0114), p_value_text(2e-5)
    ('= 0.011', '< 0.001')
    """
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.3f}"
