"""asc-mrkd models: the networks and their options."""

from typing import TYPE_CHECKING

from asc_mrkd.cli.catalogue import print_catalogue, sentences_and_options
from asc_mrkd.cli.options import Json, print_json

if TYPE_CHECKING:
    from asc_mrkd.budget import NetworkSize


def models(as_json: Json = False) -> None:
    """List the networks, their options with the defaults, and their size with ten classes.

    Example: asc-mrkd models
    """
    from dataclasses import asdict

    from asc_mrkd.budget import network_sizes

    sizes = network_sizes()
    if as_json:
        print_json([asdict(size) for size in sizes])
        return
    title = (
        "Networks with 10 classes; MMAC: million multiply-adds for one input; RAM: activations alive at once, in int8"
    )
    columns = ("network", "parameters", "MMAC", "RAM", "description, and the options with their defaults")
    print_catalogue(title, columns, [network_cells(size) for size in sizes])


def network_cells(size: "NetworkSize") -> list[str]:
    """Return the cells of one network: name, parameters, million multiply-adds, memory, description and options."""
    from asc_mrkd.files import format_bytes

    sentences = [size.summary, f"input {'x'.join(map(str, size.input_shape))}"]
    if size.receptive_field is not None:
        sentences.append(f"receptive field {size.receptive_field}")
    description = sentences_and_options(sentences, size.options)
    ram = format_bytes(size.ram, kilo=1024)
    return [size.name, f"{size.parameters:,}", f"{size.multiply_adds / 1e6:,.1f}", ram, description]
