"""asc-mrkd models: the networks and their options."""

from typing import Any

from asc_mrkd.cli.options import Json, print_json


def models(as_json: Json = False) -> None:
    """List the networks, their options with the defaults, and their size with ten classes.

    Example: asc-mrkd models
    """
    from asc_mrkd.models import MODELS

    records = [_record(name) for name in MODELS]
    if as_json:
        return print_json(records)
    from rich.console import Console
    from rich.table import Table

    title = "Networks with 10 classes; MMAC: million multiply-adds for one input"
    table = Table(
        title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold"
    )
    table.add_column("network", no_wrap=True)
    table.add_column("parameters", no_wrap=True, justify="right")
    table.add_column("MMAC", no_wrap=True, justify="right")
    table.add_column("what it is, and its options with their defaults")
    for record in records:
        size = f"{record['parameters']:,}", f"{record['multiply_adds'] / 1e6:,.1f}"
        options = " ".join(f"{key}={_typed(value)}" for key, value in record["options"].items())
        table.add_row(record["name"], *size, f"{_described(record)}\n[dim]{options}[/dim]")
    return Console().print(table)


def _record(name: str) -> dict[str, Any]:
    """Return one network; it is built and counted without storage."""
    import torch

    from asc_mrkd.complexity.count import count_multiply_adds
    from asc_mrkd.models import MODELS, build_model

    entry = MODELS[name]
    with torch.device("meta"):
        model = build_model(name, num_classes=10)
    shape = (entry.defaults["in_channels"], *entry.plane)
    return {
        "name": name,
        "summary": entry.summary,
        "parameters": sum(p.numel() for p in model.parameters()),
        "multiply_adds": sum(count_multiply_adds(model, shape).values()),
        "input_shape": shape,
        "receptive_field": getattr(model, "receptive_field", None),
        "options": entry.defaults,
    }


def _described(record: dict[str, Any]) -> str:
    """Return in words what a network is and takes."""
    text = f"{record['summary']}; input {'x'.join(map(str, record['input_shape']))}"
    return text if record["receptive_field"] is None else f"{text}; receptive field {record['receptive_field']}"


def _typed(value: Any) -> str:
    """Return an option as it is typed on the command line."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "null" if value is None else str(value)
