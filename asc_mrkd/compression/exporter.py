"""A trained network exported for other programs and for boards, and compared with the original."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from asc_mrkd.compression.compressor import experiment_with_data
from asc_mrkd.compression.quantise import save_int8, spread_inputs
from asc_mrkd.deploy.model_file import ModelFile, load_model
from asc_mrkd.deploy.onnx_file import OnnxNetwork, load_onnx, save_onnx
from asc_mrkd.deploy.onnx_session import import_libraries
from asc_mrkd.engine.samples import Samples, open_data
from asc_mrkd.errors import ConfigError, ModelError, suggest
from asc_mrkd.progress import Progress, no_progress
from asc_mrkd.rng import generator
from asc_mrkd.runs import SeedFolder, find_model

FORMATS = ("onnx",)
"""Formats of exported files."""

PRECISIONS = ("float32", "int8")
"""Precisions of exported networks."""

COMPARED_INPUTS = 16
"""Number of inputs on which an exported network is compared with the original."""

TOLERANCE = 1e-3
"""Largest allowed difference of a logit in float32, as a share of the largest logit, or of 1 if that is smaller."""


@dataclass(frozen=True)
class Export:
    """An exported network and its difference from the original."""

    path: Path
    precision: str
    file_bytes: int
    inputs: str
    """Description of the inputs that were compared."""
    compared: int
    """Number of inputs that were compared."""
    largest_difference: float
    """Largest absolute difference of a logit."""
    same_decisions: int
    """Number of inputs with the same most probable class."""


def export(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    to: str = "onnx",
    precision: str = "float32",
    progress: Progress = no_progress,
    overrides: Sequence[str] = (),
) -> Export:
    """Write a trained network as one file for other programs and for boards, and compare it with the original.

    An .onnx file maps `input`, normalised, (batch, *input_shape), to `logits` (batch, class). Classes, front end, mean
    and deviation are in its metadata; `Predictor` and `check_budget` take it.

    Args:
        run: a run folder (its lowest seed), a seed folder or a model file. int8 needs a run whose data are at hand.
        out: file to write, whole or not at all.
        to: format; `onnx`.
        precision: `float32`, or `int8`, calibrated on training samples. A float32 network is compared on random inputs,
            an int8 network on test samples.
        progress: told about the parts of the work: reading, writing, comparing.
        overrides: place of the data where they have moved, as in `data.store=/data/store`; for int8.

    Raises:
        ConfigError: unknown format or precision, or `out` does not end in .onnx.
        ModelError: the network is an .onnx file already, or the float32 file computes something else.
        RunError, StoreError, DataError: there is no trained network, or int8 without the data of its run.
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.

    Example:
        result = export("exp/ce", "exp/board.onnx", precision="int8")
        print(result.file_bytes, result.same_decisions, result.compared)
    """
    out = Path(out)
    _require_known(to, FORMATS, "format")
    _require_known(precision, PRECISIONS, "precision")
    if out.suffix != f".{to}":
        raise ConfigError(f"{out} does not end in .{to}", f"--out {out.with_suffix(f'.{to}')}")
    import_libraries(f"writing {out.name}", "onnx", "onnxruntime", "onnxscript")
    model_path = find_model(run)
    file = load_model(model_path)
    if isinstance(file.model, OnnxNetwork):
        raise ModelError("the network is an .onnx file already", "export the model.safetensors of the run")
    with progress("exporting", 3, "parts") as advance:
        train = None
        if precision == "int8":
            train, test = _load_data(model_path, overrides)
            inputs = np.concatenate(list(spread_inputs(test, COMPARED_INPUTS)))
        else:
            inputs = _random_inputs(file)
        advance()
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            new = Path(folder) / out.name
            if train is None:
                save_onnx(new, file)
            else:
                save_int8(new, file, train)
            advance()
            result = _compare(file, new, inputs, out, precision)
            new.replace(out)
        advance()
    return result


def _require_known(name: str, known: tuple[str, ...], noun: str) -> None:
    if name not in known:
        raise ConfigError(f"there is no {noun} '{name}' for an export", suggest(name, known))


def _load_data(model_path: Path, overrides: Sequence[str]) -> tuple[Samples, Samples]:
    """Return the training and the test samples of the run that a model file lies in."""
    experiment = experiment_with_data(SeedFolder(model_path.parent).run, overrides)
    return open_data(experiment.data).load(torch.device("cpu"))


def _random_inputs(file: ModelFile) -> np.ndarray:
    """Return standard normal inputs, as normalised ones are on average: (input, *input_shape), float32."""
    shape = (COMPARED_INPUTS, *file.input_shape)
    return generator("export").standard_normal(shape, dtype=np.float32)


@torch.no_grad()
def _compare(file: ModelFile, new: Path, inputs: np.ndarray, out: Path, precision: str) -> Export:
    """Compare the logits of an exported file with those of the network.

    Raises:
        ModelError: a float32 file computes something else.
    """
    expected = file.model(torch.from_numpy(inputs)).numpy()
    found = load_onnx(new).model(torch.from_numpy(inputs)).numpy()
    difference = float(np.abs(found - expected).max())
    if precision == "float32" and not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise ModelError(
            f"the exported network computes something else: logits differ by up to {difference:.3g}",
            "report this with the model file; nothing was written",
        )
    return Export(
        path=out,
        precision=precision,
        file_bytes=new.stat().st_size,
        inputs="test samples" if precision == "int8" else "random inputs",
        compared=len(inputs),
        largest_difference=difference,
        same_decisions=int((found.argmax(1) == expected.argmax(1)).sum()),
    )
