"""asc-mrkd models: the networks and their options."""

from typing import Any

from asc_mrkd.cli.catalogue import print_catalogue, sentences_and_options
from asc_mrkd.cli.options import Json, print_json


def models(as_json: Json = False) -> None:
    """List the networks, their options with the defaults, and their size with ten classes.

    Example: asc-mrkd models
    """
    from asc_mrkd.models import MODELS

    records = [_record(name) for name in MODELS]
    if as_json:
        return print_json(records)
    title = "Networks with 10 classes; MMAC: million multiply-adds for one input"
    columns = ("network", "parameters", "MMAC", "what it is, and its options with their defaults")
    return print_catalogue(title, columns, [_row(record) for record in records])


def _row(record: dict[str, Any]) -> list[str]:
    sentences = [record["summary"], f"input {'x'.join(map(str, record['input_shape']))}"]
    if record["receptive_field"] is not None:
        sentences.append(f"receptive field {record['receptive_field']}")
    size = f"{record['parameters']:,}", f"{record['multiply_adds'] / 1e6:,.1f}"
    return [record["name"], *size, sentences_and_options(sentences, record["options"])]


def _record(name: str) -> dict[str, Any]:
    """Return one network; it is built and counted without storage."""
    import torch

    from asc_mrkd.budget.count import count_multiply_adds
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
