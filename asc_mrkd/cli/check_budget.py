"""asc-mrkd check-budget: does a model fit the challenge's limit?"""

import re
from typing import TYPE_CHECKING, Annotated

import typer

from asc_mrkd.cli.catalogue import print_catalogue
from asc_mrkd.cli.options import Json, print_json
from asc_mrkd.cli.terminal import make_console
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
    """Count a model as a challenge counts it, layer by layer. Exit code 0 within the limits, 1 over one or unknown.

    Example: asc-mrkd check-budget cp_resnet_damped:num_classes=3 --rule dcase2020-task1b --precision float16
    """
    if list_rules:
        print_rules(as_json)
        return
    if model is None:
        raise typer.BadParameter("name a model, or see --list-rules", param_hint="MODEL")

    from asc_mrkd import budget

    shape = None if input_shape is None else parse_shape(input_shape)
    verdict = budget.check_budget(model, rule, precision, shape)
    if as_json:
        print_json(budget.verdict_record(verdict))
    else:
        make_console().print(budget.verdict_table(verdict))
    if not verdict.within:
        raise typer.Exit(1)


def print_rules(as_json: bool) -> None:
    """Print the rules of the challenges and their sources."""
    from dataclasses import asdict

    from asc_mrkd.budget import RULES

    if as_json:
        print_json([asdict(rule) for rule in RULES.values()])
        return
    columns = ("rule", "bytes", "MMAC", "counts and source")
    print_catalogue("Rules of the challenges", columns, [rule_cells(rule) for rule in RULES.values()])


def rule_cells(rule: "Rule") -> list[str]:
    """Return the cells of one rule: name, bytes, million multiply-adds, description with its source."""
    sentence = ["all values" if rule.counts_zeros else "non-zero values"]
    sentence.append("each as int8" if rule.stored_as else "as they are stored")
    if not rule.counts_batch_norm:
        sentence.append("batch normalisation left out")
    if rule.counts_running_statistics:
        sentence.append("batch normalisation with its running statistics")
    if rule.grey_limit:
        sentence.append(f"by another reading up to {rule.grey_limit:,} bytes")
    description = ", ".join(sentence)
    if rule.note:
        description += f"; {rule.note}"
    multiply_adds = f"{rule.multiply_adds / 1e6:,.0f}" if rule.multiply_adds else "-"
    return [rule.name, f"{rule.limit:,}", multiply_adds, f"{description}\n{rule.source}"]


def parse_shape(text: str) -> tuple[int, ...]:
    """Read the shape of an input, with commas or with x between the sizes.

    Raises:
        ConfigError: the text is not a valid shape.

    >>> parse_shape("1,40,500"), parse_shape("1x256x65")
    ((1, 40, 500), (1, 256, 65))
    """
    sizes = [size.strip() for size in re.split("[,x]", text)]
    if not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise ConfigError(
            f"--input-shape {text} is not a valid shape", "write channel,mel,frame: --input-shape 1,40,500"
        )
    return tuple(int(size) for size in sizes)
