"""One block of memory for all activations: each gets a place that nobody else uses while it is alive."""

from collections.abc import Mapping
from dataclasses import dataclass

from asc_mrkd.exports.c_code.graph import Network

IN_PLACE = ("Relu", "Clip", "BatchNormalization")
"""Operators on each value by itself, whose output takes the place of their input where nobody reads it later."""


@dataclass(frozen=True)
class Block:
    """A piece of memory with the time in which it is used."""

    size: int
    first: int
    last: int


def place_activations(network: Network, sizes: Mapping[str, int]) -> tuple[dict[str, int], int]:
    """Return the place of every activation in the block, and the size of the block.

    The largest activation is placed first, each at the lowest place that is free during its life (Pisarchyk and Lee,
    2020, greedy by size).

    Args:
        network: the layers in the order of execution.
        sizes: size of every activation.
    """
    owners = _owners(network)
    blocks: dict[str, Block] = {}
    for name, (first, last) in _lives(network, owners).items():
        members = [member for member, owner in owners.items() if owner == name]
        blocks[name] = Block(max(sizes[member] for member in members), first, last)
    offsets: dict[str, int] = {}
    for name in sorted(blocks, key=lambda name: (-blocks[name].size, blocks[name].first)):
        block = blocks[name]
        busy = sorted(
            (offsets[other], offsets[other] + blocks[other].size)
            for other in offsets
            if blocks[other].first <= block.last and block.first <= blocks[other].last
        )
        place = 0
        for start, end in busy:
            if place + block.size <= start:
                break
            place = max(place, end)
        offsets[name] = place
    total = max(offsets[name] + block.size for name, block in blocks.items())
    return {member: offsets[owner] for member, owner in owners.items()}, total


def _last_uses(network: Network) -> dict[str, int]:
    """Return the number of the layer that reads each activation last; the output is read after all."""
    last = {name: position for position, layer in enumerate(network.layers, 1) for name in layer.inputs}
    return last | {network.output: len(network.layers) + 1}


def _owners(network: Network) -> dict[str, str]:
    """Return the activation whose memory each activation uses: its own, or that of an input that it replaces."""
    last = _last_uses(network)
    owners = {network.input: network.input}
    for position, layer in enumerate(network.layers, 1):
        replaces = layer.operator in IN_PLACE and last[layer.inputs[0]] == position
        owners[layer.output] = owners[layer.inputs[0]] if replaces else layer.output
    return owners


def _lives(network: Network, owners: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """Return the first and the last layer at which the memory of each owner is used."""
    last = _last_uses(network)
    lives: dict[str, tuple[int, int]] = {network.input: (0, last.get(network.input, 0))}
    for position, layer in enumerate(network.layers, 1):
        owner = owners[layer.output]
        first = lives[owner][0] if owner in lives else position
        end = max(last.get(layer.output, position), lives.get(owner, (0, 0))[1])
        lives[owner] = (first, end)
    return lives
