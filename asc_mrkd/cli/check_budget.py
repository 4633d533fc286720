"""asc-mrkd check-budget: does a model fit the challenge's limit?"""

from typing import TYPE_CHECKING, Annotated

import typer

from asc_mrkd.cli.catalogue import print_catalogue
from asc_mrkd.cli.options import Json, print_json
from asc_mrkd.errors import ConfigError

if TYPE_CHECKING:
    from asc_mrkd.budget import Rule


def check_budget(
    model: Annotated[
        str | None,
        typer.Argument(help="Model file, run folder, .onnx, file.py:function or name:option=value,... untrained."),
    ] = None,
    rule: Annotated[str, typer.Option(help="Challenge rule.")] = "dcase2020-task1b",
    precision: Annotated[str | None, typer.Option(help="Count weights as float32, float16 or int8.")] = None,
    input_shape: Annotated[str | None, typer.Option(help="Channel,mel,frame for the multiply-adds.")] = None,
    list_rules: Annotated[bool, typer.Option("--list-rules", help="Show the rules and their sources.")] = False,
    as_json: Json = False,
) -> None:
    """Count a model as a challenge counts it, layer by layer. Exit code 0 within the limits, 1 over one of them.

    Example: asc-mrkd check-budget cp_resnet_damped:num_classes=3 --rule dcase2020-task1b --precision float16
    """
    if list_rules:
        return _list_rules(as_json)
    if model is None:
        raise typer.BadParameter("which model? Name one, or look at --list-rules", param_hint="MODEL")
    from rich.console import Console

    from asc_mrkd.budget import budget_record, budget_table
    from asc_mrkd.budget import check_budget as count

    budget = count(model, rule, precision, None if input_shape is None else _shape(input_shape))
    if as_json:
        print_json(budget_record(budget))
    else:
        Console().print(budget_table(budget))
    if not budget.within:
        raise typer.Exit(1)
    return None


def _list_rules(as_json: bool) -> None:
    from dataclasses import asdict

    from asc_mrkd.budget import RULES

    if as_json:
        return print_json([asdict(rule) for rule in RULES.values()])
    columns = ("rule", "bytes", "MMAC", "what it counts, and its source")
    return print_catalogue("Rules of the challenges", columns, [_row(rule) for rule in RULES.values()])


def _row(rule: "Rule") -> list[str]:
    multiply_adds = f"{rule.multiply_adds / 1e6:,.0f}" if rule.multiply_adds else "-"
    counts = ["all values" if rule.counts_zeros else "non-zero values"]
    counts.append("each as int8" if rule.stored_as else "as they are stored")
    if not rule.counts_batch_norm:
        counts.append("batch normalisation left out")
    if rule.counts_running_statistics:
        counts.append("batch normalisation with its running statistics")
    if rule.grey_limit:
        counts.append(f"by another reading up to {rule.grey_limit:,} bytes")
    sentences = "; ".join(filter(None, [", ".join(counts), rule.note]))
    return [rule.name, f"{rule.limit:,}", multiply_adds, f"{sentences}\n[dim]{rule.source}[/dim]"]


def _shape(text: str) -> tuple[int, ...]:
    """Read the shape of an input.

    >>> _shape("1,40,500")
    (1, 40, 500)
    """
    sizes = text.replace("x", ",").split(",")
    if all(size.strip().isdigit() and int(size) > 0 for size in sizes):
        return tuple(map(int, sizes))
    raise ConfigError(f"--input-shape {text} is no shape", "write channel,mel,frame: --input-shape 1,40,500")
