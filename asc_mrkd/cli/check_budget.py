"""asc-mrkd check-budget: does a model fit the challenge's limit?"""

from typing import Annotated

import typer

from asc_mrkd.cli.options import Json, print_json


def check_budget(
    model: Annotated[str, typer.Argument(help="Model file, run folder, or name:option=value,... untrained.")],
    rule: Annotated[str, typer.Option(help="Challenge rule.")] = "dcase2020-task1b",
    precision: Annotated[str | None, typer.Option(help="Count weights as float32, float16 or int8.")] = None,
    as_json: Json = False,
) -> None:
    """Count a model as a challenge counts it, layer by layer. Exit code 0 within the limit, 1 over it.

    Example: asc-mrkd check-budget cp_resnet_damped:num_classes=3 --rule dcase2020-task1b --precision float16
    """
    from rich.console import Console

    from asc_mrkd.complexity import budget_record, budget_table
    from asc_mrkd.complexity import check_budget as count

    budget = count(model, rule, precision)
    if as_json:
        print_json(budget_record(budget))
    else:
        Console().print(budget_table(budget))
    if not budget.within:
        raise typer.Exit(1)
