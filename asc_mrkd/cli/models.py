"""asc-mrkd models: the networks and their options."""

from typing import Any

from asc_mrkd.cli.options import Json, print_json


def models(as_json: Json = False) -> None:
    """List the networks, their options with the defaults, and their size with ten classes.

    Example: asc-mrkd models
    """
    import torch

    from asc_mrkd.models import MODELS, build_model

    records: list[dict[str, Any]] = []
    for name, entry in MODELS.items():
        with torch.device("meta"):
            model = build_model(name, num_classes=10)
        parameters = sum(p.numel() for p in model.parameters())
        field = getattr(model, "receptive_field", None)
        records.append({"name": name, "summary": entry.summary, "parameters": parameters, "receptive_field": field,
                        "options": entry.defaults})  # fmt: skip
    if as_json:
        return print_json(records)
    from rich.console import Console
    from rich.table import Table

    table = Table("network", "parameters", "field", "options and defaults", title="Networks (10 classes)")
    for record in records:
        options = ", ".join(f"{key}={value}" for key, value in record["options"].items())
        table.add_row(record["name"], f"{record['parameters']:,}", str(record["receptive_field"]),
                      f"{record['summary']}\n[dim]{options}[/dim]")  # fmt: skip
    return Console().print(table)
