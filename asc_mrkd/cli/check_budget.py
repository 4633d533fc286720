"""asc-mrkd check-budget: does a model fit the challenge's limit?"""

import re
from typing import TYPE_CHECKING, Annotated

import typer

from asc_mrkd.cli.catalogue import print_catalogue
from asc_mrkd.cli.options import Json, Limits, Ram, RuleName, print_json
from asc_mrkd.cli.terminal import make_console
from asc_mrkd.errors import ConfigError

if TYPE_CHECKING:
    from asc_mrkd.budget import Fit, Rule


def check_budget(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="Run folder, model file, .onnx file, network by name (cp_mobile:base_channels=16), FILE.py:FUNCTION.",
        ),
    ] = None,
    rule: RuleName = "dcase2020-task1b",
    limit: Limits = None,
    ram: Ram = None,
    precision: Annotated[
        str | None, typer.Option(help="Count weights as float32, float16 or int8.", show_default="as stored")
    ] = None,
    input_shape: Annotated[
        str | None,
        typer.Option(help="Shape of an input (channel, mel, frame), as in 1,256,65.", show_default="of the model"),
    ] = None,
    chips: Annotated[bool, typer.Option("--chips", help="Show the chips that it fits on, with sources.")] = False,
    list_rules: Annotated[bool, typer.Option("--list-rules", help="Show the rules and their sources.")] = False,
    as_json: Json = False,
) -> None:
    """Count the size of a network as a challenge counts it, layer by layer.

    Exit code 0 if it is within the limits, 1 if it is over one or if that is unknown.

    RAM is the memory of the activations that are alive at once. With --ram or --limit it is shown layer by layer.

    Example: asc-mrkd check-budget cp_resnet_damped:num_classes=3 --rule dcase2020-task1b --precision float16
    """
    if list_rules:
        print_rules(as_json)
        return
    if model is None:
        raise typer.BadParameter("name a model, or see --list-rules", param_hint="MODEL")

    from asc_mrkd import budget

    shape = None if input_shape is None else parse_shape(input_shape)
    verdict = budget.check_budget(model, budget.choose_rule(rule, limit, ram), precision, shape)
    if as_json:
        print_json(budget.verdict_record(verdict))
    else:
        make_console().print(budget.verdict_table(verdict))
    if chips and not as_json:
        print_chips(budget.fits_of(verdict))
    if not verdict.within:
        raise typer.Exit(1)


def print_chips(fits: "list[Fit]") -> None:
    """Print the chips, the network's flash and RAM next to theirs, and their sources."""
    from asc_mrkd.files import format_bytes

    columns = ("chip", "flash", "RAM", "fits", "source")
    rows = []
    for fit in fits:
        sizes = [format_bytes(size, kilo=1024) for size in (fit.chip.flash, fit.chip.ram)]
        rows.append([fit.chip.name, *sizes, fit.fits, f"{fit.reason}\n{fit.chip.source}".lstrip("\n")])
    print_catalogue("Chips: weights in flash, activations in RAM; program and stack come on top", columns, rows)


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
