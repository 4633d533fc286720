"""Sizes of networks on a device, the agreement of their exports, and their time per input as a ratio to torch.

    python tools/bench_devices.py

It prints three tables of at most 80 columns. The networks have drawn weights; sizes and times do not depend on them.
Every time is the shortest of several rounds in which torch, onnxruntime, LiteRT and C take turns on one thread, so that
a busy machine slows all of them down. C is compiled by `cc -O3 -march=native`. Agreement is the share of inputs with
the same decision as in torch. Such a network prefers a class, therefore the mean logits of torch are subtracted first.
Its int8 agrees less than that of a trained network, which is surer.

The columns of .tflite files need the extra `tflite`, and the arena tflite-micro; without them they show "-".
"""

import ctypes
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from asc_mrkd.budget import Verdict, check_budget, parse_limits
from asc_mrkd.compression.quantise import quantise_onnx
from asc_mrkd.deploy.model_file import ModelFile
from asc_mrkd.deploy.onnx_file import save_onnx
from asc_mrkd.deploy.onnx_session import OnnxSession
from asc_mrkd.exports.c_code import CodeSize, write_network
from asc_mrkd.exports.c_code.compiled import DRIVER
from asc_mrkd.exports.parity_check import as_real, as_stored
from asc_mrkd.exports.tflite import import_tflite, measure_arena, save_tflite
from asc_mrkd.models import build_model

Runner = Callable[[np.ndarray], np.ndarray]
"""Function from an input (1, *input_shape) to its logits (1, class)."""

ROUNDS = 5
INPUTS = 20
"""Inputs that the exports are compared on; int8 is calibrated on them too."""
STORED = parse_limits(f"bytes={2**60}")
NETWORKS = {
    "reduced dcase18": ("cp_resnet", 10, {"rho": 4, "width": 16, "blocks": [4, 2, 1]}, (2, 256, 431)),
    "damped": ("cp_resnet_damped", 3, {}, (2, 256, 431)),
    "damped, 1 s": ("cp_resnet_damped", 3, {"in_channels": 1}, (1, 256, 65)),
    "cp_mobile": ("cp_mobile", 10, {}, (1, 256, 65)),
    "resnet20": ("resnet20", 10, {}, (3, 32, 32)),
}


def draw_network(name: str, classes: int, options: dict, shape: tuple[int, ...]) -> ModelFile:
    """Build a network whose batch normalisation has seen inputs."""
    torch.manual_seed(0)
    model = build_model(name, classes, **options)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the statistics of these inputs alone
    model.train()(torch.randn(4, *shape) + torch.linspace(-2, 2, 4).reshape(-1, 1, 1, 1))
    one = np.ones((1, 1, 1), np.float32)
    names = [str(number) for number in range(classes)]
    architecture = {"name": name, "num_classes": classes, "options": options}
    return ModelFile(model.eval(), architecture, names, shape, 0 * one, one, None)


def compile_network(folder: Path, source: Path, classes: list[str]) -> tuple[CodeSize, Runner]:
    """Write and compile the C code of a network; return its size and the function that runs it."""
    folder.mkdir()
    size = write_network(folder, onnx.load(source), classes)
    (folder / "driver.c").write_text(DRIVER)
    command = "cc -std=c99 -O3 -march=native -shared -fPIC -o model.so driver.c model.c -lm"
    subprocess.run(command.split(), cwd=folder, check=True)
    run_one = ctypes.CDLL(str(folder / "model.so")).run_one
    logits = np.empty((1, len(classes)), np.float32)

    def run(x: np.ndarray) -> np.ndarray:
        run_one(x.ctypes.data_as(ctypes.c_void_p), logits.ctypes.data_as(ctypes.c_void_p))
        return logits.copy()

    return size, run


def open_tflite(path: Path) -> Runner:
    """Return the function that runs a .tflite file on one thread, with the kernels that LiteRT chooses."""
    _, _, _, litert, _ = import_tflite()
    interpreter = litert.Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    (output,) = interpreter.get_output_details()

    def run(x: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(source["index"], as_stored(x, source))
        interpreter.invoke()
        return as_real(interpreter.get_tensor(output["index"]), output)

    return run


def shortest_times(x: np.ndarray, runners: dict[str, Runner]) -> dict[str, float]:
    """Return the shortest time (s) of each runner; they take turns."""
    best = dict.fromkeys(runners, float("inf"))
    for _ in range(ROUNDS):
        for name, run in runners.items():
            start = time.perf_counter()
            run(x)
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def agreement(run: Runner, inputs: list[np.ndarray], expected: np.ndarray) -> str:
    """Return the share of inputs with the same decision, around the mean logits of torch."""
    found = np.concatenate([run(x) for x in inputs])
    centre = expected.mean(0)
    same = (found - centre).argmax(1) == (expected - centre).argmax(1)
    return f"{100 * same.mean():.0f}%"


def measure(title: str, work: Path) -> list[dict[str, str]]:
    """Return the cells of one network by column, one row per precision."""
    name, classes, options, shape = NETWORKS[title]
    file = draw_network(name, classes, options, shape)
    levels = torch.linspace(-2, 2, INPUTS)[torch.randperm(INPUTS)]  # inputs that differ: noise alone is always alike
    inputs = [(level + torch.randn(1, *shape)).numpy() for level in levels]
    runners: dict[str, Runner] = {"torch": lambda x: file.model(torch.from_numpy(x)).numpy()}
    expected = np.concatenate([runners["torch"](x) for x in inputs])
    save_onnx(work / "float32.onnx", file)
    quantise_onnx(work / "float32.onnx", work / "int8.onnx", inputs)
    rows = []
    for precision in ("float32", "int8"):
        source = work / f"{precision}.onnx"
        verdict: Verdict = check_budget(source, STORED)
        assert verdict.memory is not None
        size, runners[f"C {precision}"] = compile_network(work / precision, source, file.classes)
        runners[f"onnx {precision}"] = OnnxSession(source, threads=1).run
        row = {
            "network": title,
            "precision": precision,
            "flash": f"{sum(layer.bytes for layer in verdict.layers):,}",
            "RAM": f"{verdict.memory.peak:,}",
            "C: RAM": f"{size.ram:,}",
            "MMAC": f"{verdict.multiply_adds / 1e6:,.1f}",
        }
        if find_spec("litert_torch") is not None:
            path = work / f"{precision}.tflite"
            save_tflite(path, file, inputs if precision == "int8" else [])
            runners[f"tflite {precision}"] = open_tflite(path)
            arena, _ = measure_arena(path)
            row[".tflite"] = f"{path.stat().st_size:,}"
            row["arena"] = "-" if arena is None else f"{arena:,}"
        rows.append(row)
    times = shortest_times(inputs[0], runners)
    for row in rows:
        row["torch"] = f"{1000 * times['torch']:.1f} ms"
        for runtime in ("onnx", "tflite", "C"):
            key = f"{runtime} {row['precision']}"
            if key in runners:
                row[runtime] = agreement(runners[key], inputs, expected)
                row[f"{runtime} / torch"] = f"{times[key] / times['torch']:.2f}"
    return rows


TABLES = {
    "Bytes of weights, of activations and of the static memory of C; MMAC": (
        *("network", "precision", "flash", "RAM", "C: RAM", "MMAC"),
    ),
    "Bytes of .tflite files and of their arenas; agreement with torch": (
        *("network", "precision", ".tflite", "arena", "onnx", "tflite", "C"),
    ),
    "Time per input": ("network", "precision", "torch", "onnx / torch", "tflite / torch", "C / torch"),
}
"""Columns of the tables, by title."""


def print_table(title: str, columns: tuple[str, ...], rows: list[dict[str, str]]) -> None:
    """Print some columns in Markdown; a cell that is missing is "-"."""
    lines = [list(columns), *([row.get(column, "-") for column in columns] for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    print(f"\n{title}\n")
    for line in lines:
        print(f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |")


@torch.no_grad()
def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    rows = []
    for title in NETWORKS:
        with tempfile.TemporaryDirectory() as work:
            rows += measure(title, Path(work))
    for title, columns in TABLES.items():
        print_table(title, columns, rows)


if __name__ == "__main__":
    main()
