"""Keeping a run within a budget: counted before the first step, and again when it is trained."""

from pathlib import Path

from asc_mrkd.budget.model_source import filled_with_ones
from asc_mrkd.budget.rules import Rule
from asc_mrkd.budget.table import multiply_adds_line, size_line
from asc_mrkd.budget.verdict import Budget, check_budget, find_rule
from asc_mrkd.config import Experiment
from asc_mrkd.engine.samples import open_data
from asc_mrkd.errors import BudgetError
from asc_mrkd.models import build_model
from asc_mrkd.runs import RunFolder


def require_untrained_within(experiment: Experiment, rule: str | Rule, precision: str | None = None) -> Budget | None:
    """Return the budget of the network of an experiment before its training, with no value of it zero.

    None is for an experiment that prunes, under a rule that leaves zeros out: nothing can be said before it has.

    Raises:
        BudgetError: it does not fit.
        ConfigError, StoreError, DataError, ModelError: the rule, the data or the network cannot be used.
    """
    rule = find_rule(rule, precision)
    if experiment.train.prune is not None and not rule.counts_zeros:
        return None
    data = open_data(experiment.data)
    model = build_model(experiment.model.name, len(data.classes), **experiment.model.options)
    budget = check_budget(filled_with_ones(model), rule, precision, data.input_shape)
    return _require_within(budget, f"{experiment.model.name} of this experiment", _hint(budget))


def require_trained_within(
    run: Path, seeds: list[int], rule: str | Rule, precision: str | None = None
) -> dict[int, Budget]:
    """Return the budgets of the trained networks of a run, by seed.

    Raises:
        BudgetError: one does not fit.
        RunError, DamagedFileError: a seed is not trained, or its model file is damaged.
    """
    rule, budgets = find_rule(rule, precision), {}
    for seed in seeds:
        folder = RunFolder(run).seed_folder(seed).path
        budget = check_budget(folder, rule, precision)
        budgets[seed] = _require_within(budget, str(folder), f"asc-mrkd fit-budget {folder} --rule {rule.name}")
    return budgets


def _require_within(budget: Budget, what: str, hint: str) -> Budget:
    if budget.within:
        return budget
    lines = [size_line(budget)] if budget.headroom < 0 else []
    lines += [multiply_adds_line(budget)] if (budget.multiply_adds_headroom or 0) < 0 else []
    raise BudgetError(f"{what} is over the limit of {budget.rule.title}: {'; '.join(lines)}", hint)


def _hint(budget: Budget) -> str:
    """Return what would make an untrained network fit."""
    fits = [name for name, size in budget.what_if.items() if size <= budget.limit]
    enough = fits and not budget.rule.stored_as and (budget.multiply_adds_headroom or 0) >= 0
    narrower = f"--precision {fits[0]} fits; or " if enough else ""
    return f"{narrower}choose a smaller network: asc-mrkd check-budget NAME:option=value shows its layers"
