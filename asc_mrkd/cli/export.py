"""asc-mrkd export: a trained network as a file for other programs and for boards."""

from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.compress import Overrides, say_choice
from asc_mrkd.cli.options import Json, print_json
from asc_mrkd.cli.progress import progress
from asc_mrkd.cli.terminal import say


def export(
    run: Annotated[Path, typer.Argument(help="Run folder (its lowest seed), seed folder or model file.")],
    out: Annotated[Path, typer.Option(help="File to write, such as board.onnx.")],
    overrides: Overrides = None,
    to: Annotated[str, typer.Option(help="Format: onnx.")] = "onnx",
    precision: Annotated[str, typer.Option(help="float32, or int8 calibrated on training samples.")] = "float32",
    as_json: Json = False,
) -> None:
    """Write a trained network as one file, and compare its logits with those of the network.

    Example: asc-mrkd export exp/dcase20/builtin/reduced/mrkd --out exp/board.onnx
    """
    from dataclasses import asdict

    from asc_mrkd.compression import export as export_network
    from asc_mrkd.files import format_bytes

    say_choice(run)
    result = export_network(run, out, to, precision, progress, overrides or ())
    if as_json:
        print_json(asdict(result))
        return
    say(
        f"{result.path}: {result.precision}, {format_bytes(result.file_bytes)}; compared with the network on "
        f"{result.compared} {result.inputs}: logits differ by up to {result.largest_difference:.2g}, "
        f"{result.same_decisions} of {result.compared} decisions are the same"
    )
