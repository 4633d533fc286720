"""A run within a budget: its network counted before the first step, and again when it is trained."""

import os
from collections.abc import Iterable, Sequence

from asc_mrkd.budget.model_source import fill_with_ones
from asc_mrkd.budget.rules import Rule, find_rule
from asc_mrkd.budget.verdict import Verdict, check_budget
from asc_mrkd.config import Experiment
from asc_mrkd.errors import shell_command
from asc_mrkd.models import build_network
from asc_mrkd.runs import RunFolder


def require_untrained_within(
    experiment: Experiment,
    num_classes: int,
    input_shape: Sequence[int],
    rule: str | Rule,
    precision: str | None = None,
) -> Verdict | None:
    """Count the network of an experiment before its training, as if no value were zero.

    Args:
        experiment: experiment that names the network.
        num_classes: number of classes of its data.
        input_shape: (channel, mel, frame) or (channel, height, width) of its data.
        rule: rule to keep.
        precision: precision to count with; see `check_budget`.

    Returns:
        The verdict; None if the experiment prunes and the rule leaves zeros out: then the trained network decides.

    Raises:
        BudgetError: the network does not fit.
        ConfigError, ModelError: the rule or the network cannot be used.
    """
    rule = find_rule(rule, precision)
    if experiment.train.prune is not None and not rule.counts_zeros:
        return None
    model = build_network(experiment.model.name, num_classes, **experiment.model.options)
    verdict = check_budget(fill_with_ones(model), rule, precision, input_shape)
    verdict.require_within(f"{experiment.model.name} of this experiment", _hint_for_untrained(verdict))
    return verdict


def require_trained_within(
    run: str | os.PathLike[str], seeds: Iterable[int], rule: str | Rule, precision: str | None = None
) -> dict[int, Verdict]:
    """Count the trained networks of a run, by seed.

    Raises:
        BudgetError: a network does not fit.
        RunError, DamagedFileError: a seed is not trained, or its model file is damaged.
    """
    rule = find_rule(rule, precision)
    verdicts = {}
    for seed in seeds:
        folder = RunFolder(run).seed_folder(seed)
        verdicts[seed] = check_budget(folder, rule, precision)
        hint = shell_command("asc-mrkd", "fit-budget", folder, "--rule", rule.name, "--out", "exp/small")
        verdicts[seed].require_within(str(folder), hint)
    return verdicts


def _hint_for_untrained(verdict: Verdict) -> str:
    """Return advice that makes an untrained network fit: a narrower precision if that is enough, a smaller network."""
    hint = "choose a smaller network: asc-mrkd check-budget NAME:option=value shows its layers"
    fits = [precision for precision, size in verdict.what_if.items() if size <= verdict.limit]
    is_over_elsewhere = (verdict.multiply_adds_headroom or 0) < 0 or (verdict.ram_headroom or 0) < 0
    if not fits or verdict.rule.stored_as or is_over_elsewhere:
        return hint
    return f"--budget-precision {fits[0]} fits; or {hint}"
