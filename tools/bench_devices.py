"""Flash, RAM, memory plans and multiply-adds of networks on a device, and their time per input as a ratio to torch.

    python tools/bench_devices.py

The networks have drawn weights; sizes and times do not depend on them. Every time is the shortest of several rounds in
which torch, onnxruntime and C take turns on one thread, so that a busy machine slows all of them down. C is compiled by
`cc -O3 -march=native`. The size of the .tflite file and its arena in TensorFlow Lite Micro are there where the extra
`tflite` is installed.
"""

import ctypes
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import torch

from asc_mrkd.budget import Verdict, check_budget, parse_limits
from asc_mrkd.compression.quantise import quantise_onnx
from asc_mrkd.deploy.model_file import ModelFile
from asc_mrkd.deploy.onnx_file import save_onnx
from asc_mrkd.deploy.onnx_session import OnnxSession
from asc_mrkd.exports.c_code import CodeSize, write_network
from asc_mrkd.exports.c_code.compiled import DRIVER
from asc_mrkd.exports.tflite import measure_arena, save_tflite
from asc_mrkd.models import build_model

ROUNDS = 5
STORED = parse_limits(f"bytes={2**60}")
NETWORKS = {
    "reduced dcase18": ("cp_resnet", 10, {"rho": 4, "width": 16, "blocks": [4, 2, 1]}, (2, 256, 431)),
    "damped": ("cp_resnet_damped", 3, {}, (2, 256, 431)),
    "damped, mono, 1 s": ("cp_resnet_damped", 3, {"in_channels": 1}, (1, 256, 65)),
    "cp_mobile": ("cp_mobile", 10, {}, (1, 256, 65)),
    "resnet20": ("resnet20", 10, {}, (3, 32, 32)),
}
COLUMNS = (
    "network",
    "precision",
    "flash",
    "RAM",
    "C: static RAM",
    "tflite: file",
    "tflite: arena",
    "MMAC",
    "onnxruntime / torch",
    "C / torch",
)


def draw_network(name: str, classes: int, options: dict, shape: tuple[int, ...]) -> ModelFile:
    """Build a network whose batch normalisation has seen inputs."""
    torch.manual_seed(0)
    model = build_model(name, classes, **options)
    model.train()(torch.randn(4, *shape))
    one = np.ones((1, 1, 1), np.float32)
    names = [str(number) for number in range(classes)]
    architecture = {"name": name, "num_classes": classes, "options": options}
    return ModelFile(model.eval(), architecture, names, shape, 0 * one, one, None)


def compile_network(folder: Path, source: Path, classes: list[str]) -> tuple[CodeSize, Callable[[np.ndarray], object]]:
    """Write and compile the C code of a network; return its size and the function that runs it."""
    folder.mkdir()
    size = write_network(folder, onnx.load(source), classes)
    (folder / "driver.c").write_text(DRIVER)
    command = [
        "cc",
        "-std=c99",
        "-O3",
        "-march=native",
        "-shared",
        "-fPIC",
        "-o",
        "model.so",
        "driver.c",
        "model.c",
        "-lm",
    ]
    subprocess.run(command, cwd=folder, check=True)
    run = ctypes.CDLL(str(folder / "model.so")).run_one
    logits = np.empty(len(classes), np.float32)
    return size, lambda x: run(x.ctypes.data_as(ctypes.c_void_p), logits.ctypes.data_as(ctypes.c_void_p))


def measure_tflite(path: Path, file: ModelFile, calibration: list[np.ndarray]) -> tuple[str, str]:
    """Write a .tflite file; return its size and its arena, both "-" without the extra `tflite`."""
    if find_spec("litert_torch") is None:
        return "-", "-"
    save_tflite(path, file, calibration)
    arena, _ = measure_arena(path)
    return f"{path.stat().st_size:,}", "-" if arena is None else f"{arena:,}"


def shortest_times(x: np.ndarray, runners: dict[str, Callable[[np.ndarray], object]]) -> dict[str, float]:
    """Return the shortest time (s) of each runner; they take turns."""
    best = dict.fromkeys(runners, float("inf"))
    for _ in range(ROUNDS):
        for name, run in runners.items():
            start = time.perf_counter()
            run(x)
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def measure(title: str, work: Path) -> list[tuple[str, ...]]:
    """Return the rows of one network."""
    name, classes, options, shape = NETWORKS[title]
    file = draw_network(name, classes, options, shape)
    x = torch.randn(1, *shape).numpy()
    sources = {"float32": work / "float32.onnx", "int8": work / "int8.onnx"}
    save_onnx(sources["float32"], file)
    quantise_onnx(sources["float32"], sources["int8"], [x])
    sizes: dict[str, CodeSize] = {}
    runners: dict[str, Callable[[np.ndarray], object]] = {"torch": lambda x: file.model(torch.from_numpy(x))}
    for precision, source in sources.items():
        runners[f"onnx {precision}"] = OnnxSession(source, threads=1).run
        sizes[precision], runners[f"c {precision}"] = compile_network(work / precision, source, file.classes)
    with torch.no_grad():
        times = shortest_times(x, runners)
    rows = []
    for precision, source in sources.items():
        verdict: Verdict = check_budget(source, STORED)
        assert verdict.memory is not None
        rows.append(
            (
                title,
                precision,
                f"{sum(layer.bytes for layer in verdict.layers):,}",
                f"{verdict.memory.peak:,}",
                f"{sizes[precision].ram:,}",
                *measure_tflite(work / f"{precision}.tflite", file, [x] if precision == "int8" else []),
                f"{verdict.multiply_adds / 1e6:,.1f}",
                f"{times[f'onnx {precision}'] / times['torch']:.2f}",
                f"{times[f'c {precision}'] / times['torch']:.2f}",
            )
        )
    return rows


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for title in NETWORKS:
        work = Path(tempfile.mkdtemp())
        for row in measure(title, work):
            print(f"| {' | '.join(row)} |", flush=True)
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
