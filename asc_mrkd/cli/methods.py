"""asc-mrkd methods: the training methods, what a step costs and their options."""

from typing import Any

from asc_mrkd.cli.catalogue import print_catalogue, sentences_and_options
from asc_mrkd.cli.options import Json, print_json

NEEDS = {
    "index": "sample numbers",
    "second_view": "a second view of the batch",
    "pair": "pairs of a class",
    "previous": "the batch before",
}
"""What a method takes beside inputs and labels, in words."""


def methods(as_json: Json = False) -> None:
    """List the training methods: forward and backward passes of a step, what they need and keep, and their options.

    Example: asc-mrkd methods
    """
    from asc_mrkd.methods import METHODS

    records = [_record(name, entry) for name, entry in METHODS.items()]
    if as_json:
        return print_json(records)
    title = "Training methods; a step: f forward and b backward passes of the network, without branches"
    columns = ("method", "a step", "what it is, and its options with their defaults")
    return print_catalogue(title, columns, [_row(record) for record in records])


def _record(name: str, entry: Any) -> dict[str, Any]:
    section = entry.config()
    forwards, backwards = entry.passes(section)
    return {
        "name": name,
        "title": entry.config.title,
        "summary": " ".join(entry.config.__doc__.split()).rstrip("."),
        "forwards": forwards,
        "backwards": backwards,
        "needs": [NEEDS[need] for need in entry.method.needs],
        "keeps": entry.keeps,
        "source": entry.source,
        "options": section.model_dump(exclude={"name"}),
    }


def _row(record: dict[str, Any]) -> list[str]:
    sentences = [record["summary"]]
    sentences += [f"needs {', '.join(record['needs'])}"] if record["needs"] else []
    sentences += [f"keeps {record['keeps']}"] if record["keeps"] else []
    sentences += [record["source"]] if record["source"] else []
    cost = f"{record['forwards']}f + {record['backwards']}b"
    return [record["name"], cost, sentences_and_options(sentences, record["options"])]
