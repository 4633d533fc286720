"""The model card of an export: what the network is, takes and gives, its figures, and how to run and check it."""

from pathlib import Path
from typing import TYPE_CHECKING

from asc_mrkd.deploy.card_text import LIMITS, frontend_text, network_text
from asc_mrkd.deploy.model_file import ModelFile
from asc_mrkd.features.spec import FrontendSpec
from asc_mrkd.files import format_bytes, write_text

if TYPE_CHECKING:
    from asc_mrkd.exports.exporter import Export

USE = {
    ("onnx", False): "`model.onnx` maps `input`, normalised, (batch, {shape}), to `logits` (batch, class).",
    ("onnx", True): "`model.onnx` maps `samples` (batch, {samples}) at {rate:,} Hz, full scale 1, to `probabilities`.",
    ("web", True): "`index.html` classifies sounds in a browser, once a static server serves this folder: "
    "`python -m http.server`. Its `model.onnx` maps `samples` (batch, {samples}) at {rate:,} Hz to `probabilities`.",
    ("tflite", False): "`model.tflite` maps one input, normalised, (1, {shape}), to logits (1, class), in LiteRT and "
    "TensorFlow Lite Micro. In int8, input and output are int8: value = scale * (integer - zero point).",
    ("c", True): "`main.c`, `frontend.c` and `model.c` name the scene of a WAV file of 16 bits at {rate:,} Hz: "
    "`cc -std=c99 -O2 main.c frontend.c model.c -lm -o classify && ./classify FILE.wav`.",
    ("c", False): "`main.c` and `model.c` name the class of a picture, a binary PPM file of that size: "
    "`cc -std=c99 -O2 main.c model.c -lm -o classify && ./classify FILE.ppm`.",
}
"""Sentence on how to run an export, by format and whether it has its front end."""


DATA = (
    "Classes, front end and normalisation are in `model.json`, the arrays of the front end in `frontend.npz`. "
    "`python parity/check.py` repeats the comparison on three built-in clips. `report.json` has these figures, and the "
    "memory layer by layer."
)
"""Sentences on the other files of an export."""

DATA_OF_PICTURES = (
    "Classes and normalisation are in `model.json`. `python parity/check.py` repeats the comparison on three pictures "
    "of random pixels. `report.json` has these figures, and the memory layer by layer."
)
"""Sentences on the other files of an export of a network for pictures."""

DATA_OF_PAGE = (
    "Classes, rate, length of a clip and accuracy are in `page.json`. `report.json` has these figures, and the memory "
    "layer by layer."
)
"""Sentence on the other files of a page."""


FLASH = {
    "onnx": "weights",
    "tflite": "the file",
    "c": "weights, and tables of the front end; the program comes on top",
    "web": "weights",
}
"""Parts that the flash of an export counts, by format."""


def write_card(path: Path, file: ModelFile, result: "Export") -> None:
    """Write the model card."""
    spec = file.frontend
    shape = ", ".join(map(str, file.input_shape))
    samples = "" if spec is None else f"{spec.channels}, {spec.samples}"
    rate = 0 if spec is None else spec.sample_rate
    use = USE[result.to, result.with_frontend].format(shape=shape, samples=samples, rate=rate)
    lines = [
        f"# {file.architecture['name']}, {len(file.classes)} {file.domain.categories}, {result.precision}",
        "",
        f"Network: {network_text(file)}. Input: {shape}. Classes: {', '.join(file.classes)}.",
        "",
        *_frontend_lines(file),
        use,
        "",
        "| | |",
        "|---|---|",
        f"| flash | {result.flash:,} bytes ({format_bytes(result.flash, kilo=1024)}): {FLASH[result.to]} |",
        f"| RAM | {_ram(result)} |",
        *_arena_lines(result),
        f"| multiply-adds | {result.multiply_adds / 1e6:,.1f} million per input, without the front end |",
        f"| agreement | {_agreement(result)} |",
        "",
        *([f"**Warning:** {result.warning}.", ""] if result.warning else []),
        _data(result.to, spec),
        "",
        LIMITS,
    ]
    write_text(path, "\n".join(lines) + "\n")


def _frontend_lines(file: ModelFile) -> list[str]:
    spec = file.frontend
    if spec is None:
        return []
    floor = ""
    if spec.top_db is not None:
        floor = (
            f" Its floor lies {spec.top_db:g} dB below the maximum of a channel: features are known after the last "
            "frame of a clip."
        )
    return [
        f"Front end: {frontend_text(spec)}.{floor}",
        "",
    ]


def _data(to: str, spec: FrontendSpec | None) -> str:
    if to == "web":
        return DATA_OF_PAGE
    return DATA_OF_PICTURES if spec is None else DATA


def _arena_lines(result: "Export") -> list[str]:
    if result.to != "tflite":
        return []
    if result.arena is None:
        return [f"| arena | unknown: {result.arena_note} |"]
    size = f"{result.arena:,} bytes ({format_bytes(result.arena, kilo=1024)})"
    return [f"| arena | {size}: all that TensorFlow Lite Micro takes, as tflite-micro reports it on this machine |"]


def _ram(result: "Export") -> str:
    if result.ram is None:
        return "unknown"
    size = f"{result.ram:,} bytes ({format_bytes(result.ram, kilo=1024)})"
    if result.to == "c":
        others = "the samples of a clip and the stack come" if result.with_frontend else "the stack comes"
        return f"{size}: all static memory; {others} on top"
    return f"{size}: activations alive at once; a runtime takes at least as much"


def _agreement(result: "Export") -> str:
    if result.largest_difference is None:
        return "not measured: there was no C compiler"
    return (
        f"{result.same_decisions} of {result.compared} {result.inputs} get the same class as from the trained network; "
        f"logits differ by up to {result.largest_difference:.2g}"
    )
