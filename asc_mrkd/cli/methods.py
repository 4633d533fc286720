"""asc-mrkd methods: the training methods, the cost of a step and their options."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from asc_mrkd.cli.catalogue import print_catalogue, sentences_and_options
from asc_mrkd.cli.options import Json, print_json

if TYPE_CHECKING:
    from asc_mrkd.methods import MethodEntry

NEEDS = {
    "index": "sample numbers",
    "second_view": "a second view of the batch",
    "pair": "pairs of a class",
    "previous": "the previous batch",
}
"""Inputs of methods besides the batch and its labels, in words."""


def methods(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Methods to show.", show_default="all")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the training methods: cost of a step, inputs, memory, and options with their defaults.

    Example: asc-mrkd methods mrkd
    """
    from asc_mrkd.errors import require_known
    from asc_mrkd.methods import METHODS

    for name in names or []:
        require_known(name, METHODS, "method")
    records = [method_record(name, METHODS[name]) for name in names or METHODS]
    if as_json:
        print_json(records)
        return
    title = "Training methods; a step takes f forward and b backward passes of the network, besides branches"
    columns = ("method", "a step", "description, and options with their defaults")
    print_catalogue(title, columns, [catalogue_row(record) for record in records])


def method_record(name: str, entry: "MethodEntry") -> dict[str, Any]:
    """Return the record of a method for `--json`."""
    from asc_mrkd.config import MethodConfig
    from asc_mrkd.methods import check_method

    options = check_method(MethodConfig(name=name)).options
    forwards, backwards = entry.passes(options)
    summary, _, _ = (entry.method_class.__doc__ or "").partition("\n")
    return {
        "name": name,
        "title": entry.title,
        "summary": summary.rstrip("."),
        "forwards": forwards,
        "backwards": backwards,
        "needs": [NEEDS[need] for need in entry.method_class.needs],
        "keeps": entry.memory,
        "source": entry.source,
        "options": options,
    }


def catalogue_row(record: dict[str, Any]) -> list[str]:
    """Return the cells of a method in the printed table."""
    sentences = [record["summary"]]
    if record["needs"]:
        sentences.append(f"needs {', '.join(record['needs'])}")
    if record["keeps"]:
        sentences.append(f"keeps {record['keeps']}")
    if record["source"]:
        sentences.append(record["source"])
    cost = f"{record['forwards']}f + {record['backwards']}b"
    return [record["name"], cost, sentences_and_options(sentences, record["options"])]
