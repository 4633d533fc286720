"""Common microcontrollers, and whether a network fits: its weights into flash, its activations into RAM."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from asc_mrkd.budget.rules import exact_size

if TYPE_CHECKING:
    from asc_mrkd.budget.verdict import Verdict

KB = 1024
MB = 1024 * KB


@dataclass(frozen=True)
class Chip:
    """A microcontroller, or a board where the flash is outside of the chip."""

    name: str
    flash: int
    """Bytes of flash."""
    ram: int
    """Bytes of RAM inside the chip, all banks together."""
    source: str
    """Document with these figures."""


CHIPS = (
    Chip("MAX78000", 512 * KB, 128 * KB, "Analog Devices, MAX78000 data sheet; without its CNN accelerator"),
    Chip("STM32L476RG", MB, 128 * KB, "ST, data sheet DS10198; in banks of 96 and 32 KB"),
    Chip("STM32F407VG", MB, 192 * KB, "ST, data sheet DS8626; 64 KB of it core-coupled"),
    Chip("nRF52840", MB, 256 * KB, "Nordic Semiconductor, nRF52840 product specification"),
    Chip("Raspberry Pi Pico", 2 * MB, 264 * KB, "Raspberry Pi, RP2040 data sheet; flash of the board"),
    Chip("STM32F746ZG", MB, 320 * KB, "ST, data sheet DS10916"),
    Chip("Apollo3 Blue", MB, 384 * KB, "Ambiq, Apollo3 Blue data sheet"),
    Chip(
        "ESP32-S3-WROOM-1-N8",
        8 * MB,
        512 * KB,
        "Espressif, ESP32-S3-WROOM-1 data sheet; flash of the module; a program gets some 320 KB of the RAM",
    ),
    Chip("STM32H743ZI", 2 * MB, MB, "ST, data sheet DS12110; in banks of at most 512 KB"),
    Chip("Teensy 4.1", 7936 * KB, MB, "PJRC, Teensy 4.1 page (NXP i.MX RT1062); flash of the board; RAM in two halves"),
)
"""Chips by their RAM. Only a part of it is free: program, stack and radio take theirs. In a RAM of several banks, one
large block of memory may not fit."""


@dataclass(frozen=True)
class Fit:
    """A network on a chip."""

    chip: Chip
    fits: Literal["yes", "no", "unknown"]
    """`unknown` if the network is not understood, or its input shape is not known."""
    reason: str
    """Bytes that are missing, or the reason why it is not known; empty if it fits."""


def fits_of(verdict: "Verdict") -> list[Fit]:
    """Return whether the network of a verdict fits each chip, at the precision of the verdict.

    Every value takes flash, also a zero and one of batch normalisation. Program, stack and the gaps of a memory planner
    are not counted.
    """
    return [_fit(verdict, chip) for chip in CHIPS]


def _fit(verdict: "Verdict", chip: Chip) -> Fit:
    flash = sum(layer.bytes for layer in verdict.layers)
    if flash > chip.flash:
        return Fit(chip, "no", f"it lacks {exact_size(flash - chip.flash)} of flash")
    if verdict.memory is None:
        return Fit(chip, "unknown", "the RAM depends on the shape of an input")
    if verdict.memory.peak > chip.ram:
        return Fit(chip, "no", f"it lacks {exact_size(verdict.memory.peak - chip.ram)} of RAM")
    if verdict.memory.not_understood or any(part.multiply_adds is None for part in verdict.uncounted):
        return Fit(chip, "unknown", "a part of the network is not understood")
    left_out = sum(part.bytes for part in verdict.uncounted)
    if flash + left_out > chip.flash:
        return Fit(chip, "unknown", f"{exact_size(left_out)} outside of the parameters may not fit into the flash")
    return Fit(chip, "yes", "")
