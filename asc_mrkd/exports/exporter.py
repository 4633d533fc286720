"""A trained network exported for other programs and for boards: a folder with what it takes to run and check it."""

import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from asc_mrkd import __version__
from asc_mrkd.budget import Verdict, check_budget, parse_limits
from asc_mrkd.compression.compressor import experiment_with_data
from asc_mrkd.compression.quantise import CALIBRATION_SAMPLES, save_int8, spread_inputs
from asc_mrkd.deploy.choice import Accuracy, read_accuracy
from asc_mrkd.deploy.model_file import ModelFile, describe, load_model
from asc_mrkd.deploy.onnx_file import (
    TOLERANCE,
    OnnxNetwork,
    random_inputs,
    require_same,
    save_float16,
    save_onnx,
    save_with_frontend,
)
from asc_mrkd.deploy.onnx_session import OnnxSession, import_libraries, softmax
from asc_mrkd.engine.data.samples import TrainAndTest, open_data
from asc_mrkd.errors import AscMrkdError, ConfigError, ModelError, require_bool, require_known
from asc_mrkd.exports.c_code import (
    CodeSize,
    require_frontend,
    require_pictures,
    write_frontend,
    write_network,
    write_picture_reader,
)
from asc_mrkd.exports.c_code.compiled import CompiledNetwork, find_compiler
from asc_mrkd.exports.model_card import write_card
from asc_mrkd.exports.page import find_runtime, write_page
from asc_mrkd.exports.parity import ParityInputs, make_inputs, write_parity
from asc_mrkd.exports.parity_check import run_tflite
from asc_mrkd.exports.tflite import import_tflite, measure_arena, save_tflite
from asc_mrkd.features.filterbank import FrontendArrays, compute_arrays, librosa_filterbank
from asc_mrkd.files import write_text
from asc_mrkd.folders import replace_folder, require_replaceable, staging_next_to
from asc_mrkd.progress import Progress, no_progress
from asc_mrkd.report.tables import TextTable
from asc_mrkd.runs import SeedFolder, find_model

BATCH = 8
"""Inputs that go through a network at once."""

RANDOM_INPUTS = 16
"""Number of random inputs for the comparison where there are no test clips."""

TOLERANCES = {"float32": TOLERANCE, "float16": 2e-2, "int8": 1.0}
"""Largest difference of a logit, as a share of the largest logit, or of 1 if that is smaller."""

LEAST_AGREEMENT = 0.9
"""Share of equal decisions below which `export` warns. The accuracy can be lower than that of the trained network by as
much as the share of other decisions: beyond a tenth, the accuracy that was measured in training says little about what
is exported. Trained networks that were exported well in int8 had 97 % and more of equal decisions."""

STORED = parse_limits(f"bytes={2**60}")
"""Rule without a limit that counts every value as it is stored."""

REPORT = "report.json"


Runner = Callable[[np.ndarray], np.ndarray]
"""Function from normalised inputs (batch, *input_shape) to the logits (batch, class) of an exported network."""


@dataclass(frozen=True)
class Comparison:
    """Difference of an exported network from the original; empty if it did not run on this machine."""

    inputs: str = ""
    """Description of the inputs."""
    compared: int = 0
    """Number of inputs."""
    largest_difference: float | None = None
    """Largest absolute difference of a logit."""
    same_decisions: int = 0
    """Number of inputs with the same most probable class."""

    def warning(self, precision: str) -> str:
        """Return the warning about too many other decisions, or an empty text."""
        if self.same_decisions >= LEAST_AGREEMENT * self.compared:
            return ""
        others = self.compared - self.same_decisions
        return (
            f"in {precision}, {others} of {self.compared} {self.inputs} get another class than from the trained "
            f"network: export it in float32, or measure the accuracy that is left: "
            f"asc-mrkd compress RUN {precision} --out DIR"
        )


@dataclass(frozen=True)
class Export:
    """An exported network: its figures, and its difference from the original."""

    path: Path
    """Folder of the export."""
    to: str
    """Format: `onnx`, `tflite`, `c` or `web`."""
    precision: str
    with_frontend: bool
    """Whether the exported network takes samples."""
    file_bytes: int
    """Size of the file with the network: model.onnx, model.tflite or model.c."""
    flash: int
    """Bytes of weights and biases as the device stores them; for C with the tables of the front end, for .tflite the
    whole file."""
    ram: int | None
    """Bytes of activations that are alive at once, a lower bound; for C all static memory. None if not understood."""
    arena: int | None
    """Bytes that TensorFlow Lite Micro takes for a .tflite file, as tflite-micro reports them; else None."""
    arena_note: str
    """Reason why the arena of a .tflite file is unknown; empty for other formats, or if it is known."""
    multiply_adds: int
    """Multiply-adds of one input, without the front end."""
    inputs: str
    """Description of the inputs that were compared; empty if there is no C compiler to run the code."""
    compared: int
    """Number of inputs that were compared."""
    largest_difference: float | None
    """Largest absolute difference of a logit; None if nothing was compared."""
    same_decisions: int
    """Number of inputs with the same most probable class."""
    warning: str
    """Sentence if these are less than 90 % of the inputs; else empty."""

    def _repr_html_(self) -> str:
        rows = [(name.replace("_", " "), str(value)) for name, value in vars(self).items()]
        return TextTable("Export", ("figure", "value"), rows, text_columns=frozenset({0, 1}))._repr_html_()


def export(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    to: str = "onnx",
    precision: str = "float32",
    with_frontend: bool = False,
    progress: Progress = no_progress,
    overrides: Sequence[str] = (),
    runtime: str | os.PathLike[str] | None = None,
) -> Export:
    """Write a trained network for other programs and for boards, and compare it with the original.

    The folder holds the network, `model.json` (classes, front end, normalisation), `frontend.npz` (window, filters,
    offset, mean, deviation), `parity/` (three clips, features, logits, tolerances and `check.py`), `report.json` and a
    model card, `README.md`. An earlier export there is replaced.

    - `onnx`: model.onnx from `input`, normalised, (batch, *input_shape), to `logits`; with its front end from `samples`
      (batch, channel, sample) to `probabilities`. `Predictor` takes it, and `check_budget` where it has no front end.
    - `tflite`: model.tflite for LiteRT and TensorFlow Lite Micro, from one normalised input, (1, *input_shape), to its
      logits. In int8, input and output are int8 too; the file has their scale and zero point.
    - `c`: model.c and frontend.c with their headers, and main.c, a program that reads a WAV file; for pictures, without
      frontend.c, a PPM file. C99, no dependencies.
    - `web`: a page, index.html, with model.onnx, its front end in it, and onnxruntime-web. It works offline and on any
      static server. `page.json` replaces model.json, the arrays and the bundle.

    Args:
        run: a run folder (its lowest seed), a seed folder or a model file. int8 needs a run whose data are at hand.
        out: folder to write, whole or not at all.
        to: format: `onnx`, `tflite`, `c` or `web`.
        precision: `float32`, `float16` (onnx) or `int8`, calibrated on training samples.
        with_frontend: put the front end into the .onnx file. C code for recordings always has it, a .tflite file never.
        progress: told about the parts of the work: reading, writing, comparing.
        overrides: place of the data where they have moved, as in `data.store=/data/store`.
        runtime: the npm package onnxruntime-web or its folder `dist`, for a page; None:
            node_modules/onnxruntime-web in the working directory.

    Raises:
        ConfigError: unknown format or precision, or the front end cannot be exported.
        ModelError: the network is an .onnx file already, has an operator that the format lacks, which is named, or the
            exported network computes something else in float32, or NaN.
        RunError, StoreError, DataError: there is no trained network, int8 without data, or `out` holds something else,
            is the working directory, or is being written by another process.
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed, or, for a page, onnxruntime-web, or, for
            tflite, litert-torch or ai-edge-quantizer.

    Example:
        result = export("exp/ce", "exp/board", precision="int8")
        print(result.flash, result.ram, result.same_decisions, result.compared)
    """
    require_bool(with_frontend, "with_frontend")
    out = Path(out)
    require_known(to, FORMATS, "format")
    kind = FORMATS[to]
    require_known(precision, kind.precisions, f"{to} precision")
    if with_frontend and kind.frontend == "never":
        raise ConfigError(f"a .{to} file has no front end in it", "--to c writes a front end in C")
    web_files = require_ready(out, to, runtime)
    model_path = find_model(run)
    file = load_model(model_path)
    if isinstance(file.model, OnnxNetwork):
        raise ModelError("the network is an .onnx file already", "export the model.safetensors of the run")
    if file.frontend is None and (with_frontend or to == "web"):
        raise ConfigError(
            "a network for pictures has no front end", "give --to onnx, tflite or c, without --with-frontend"
        )
    if to == "c" and file.frontend is not None:
        require_frontend(file.frontend, file.mean, file.std)
    elif to == "c":
        require_pictures(file.input_shape[0], file.mean, file.std)
    with_frontend = with_frontend or (kind.frontend == "always" and file.frontend is not None)
    with progress("exporting", 3, "parts") as advance:
        data = _load_data(model_path, overrides, needs_data=precision == "int8" or bool(overrides))
        advance()
        with staging_next_to(out) as place:
            work = _Work(file, data, place, to, precision, with_frontend)
            work.write()
            advance()
            result = work.compare(out)
            work.write_report(result)
            if web_files is not None:
                work.write_page(result, web_files, read_accuracy(SeedFolder(model_path.parent)))
            replace_folder(work.folder, out)
        advance()
    if result.warning:
        warnings.warn(result.warning, stacklevel=2)
    return result


def require_ready(out: Path, to: str, runtime: str | os.PathLike[str] | None) -> Path | None:
    """Refuse an export that would fail at its end; return the folder with the files of onnxruntime-web, for a page.

    Args:
        out: folder of the export.
        to: its format, a key of FORMATS.
        runtime: see `export`.

    Raises:
        RunError: `out` holds something that must not be replaced.
        MissingExtraError: a library of the format is missing.
    """
    is_export = (out / REPORT).is_file() and ((out / "parity").is_dir() or (out / "index.html").is_file())
    require_replaceable(out, is_export, "an export")
    FORMATS[to].require_libraries()
    return find_runtime(runtime) if to == "web" else None


def _load_data(model_path: Path, overrides: Sequence[str], needs_data: bool) -> TrainAndTest | None:
    """Return the samples of the run that a model file lies in; None if they are not at hand and not needed."""
    try:
        experiment = experiment_with_data(SeedFolder(model_path.parent).run, overrides)
        return open_data(experiment.data).load(torch.device("cpu"))
    except AscMrkdError:
        if needs_data:
            raise
        return None


class _Work:
    """One export in progress."""

    def __init__(
        self, file: ModelFile, data: TrainAndTest | None, place: Path, to: str, precision: str, with_frontend: bool
    ) -> None:
        self.file = file
        self.data = data
        self.to = to
        self.kind = FORMATS[to]
        self.precision = precision
        self.with_frontend = with_frontend
        self.place = place
        self.folder = place / "export"
        self.model = self.folder / self.kind.model
        self.graph = place / "graph.onnx"
        self.verdict: Verdict
        self.code_size = CodeSize(0, 0)
        self.arena: int | None = None
        self.arena_note = ""

    @property
    def takes_samples(self) -> bool:
        """Whether the exported graph takes samples and gives probabilities."""
        return self.with_frontend and self.to != "c"

    def write(self) -> None:
        """Write the network and its description."""
        self.folder.mkdir()
        self.kind.write(self)
        if self.kind.has_bundle:
            self._write_description()

    def write_onnx(self) -> None:
        """Write model.onnx, with its front end if the export has one."""
        self._write_graph()
        if self.with_frontend:
            save_with_frontend(self.model, self.graph)
        else:
            shutil.copyfile(self.graph, self.model)

    def write_tflite(self) -> None:
        """Write model.tflite, and ask for its arena."""
        calibration = []
        if self.precision == "int8":
            assert self.data is not None
            calibration = list(spread_inputs(self.data.train, CALIBRATION_SAMPLES))
        save_tflite(self.model, self.file, calibration)
        self.verdict = check_budget(self.file.model, STORED, self.precision, self.file.input_shape)
        self.code_size = CodeSize(self.model.stat().st_size, 0)
        self.arena, self.arena_note = measure_arena(self.model)

    def _write_description(self) -> None:
        """Write model.json and the arrays of the front end."""
        description = {key: value for key, value in describe(self.file).items() if key != "format"}
        write_text(self.folder / "model.json", json.dumps(description, indent=2) + "\n")
        if self.file.frontend is not None:
            arrays = vars(self._arrays())
            with open(self.folder / "frontend.npz", "wb") as stream:
                np.savez_compressed(stream, mean=self.file.mean, std=self.file.std, **arrays)

    def _write_graph(self) -> None:
        """Write the network alone as ONNX, in the precision of the export, and count it."""
        if self.precision == "int8":
            assert self.data is not None
            save_int8(self.graph, self.file, self.data.train)
        else:
            save_onnx(self.graph, self.file)
        if self.precision == "float16":
            save_float16(self.graph, self.graph)
        self.verdict = check_budget(self.graph, STORED)

    def write_c(self) -> None:
        """Write the network, its front end or the reader of its pictures, and a program, in C."""
        self._write_graph()
        (onnx,) = import_libraries("writing C code", "onnx")
        network = write_network(self.folder, onnx.load(self.graph), self.file.classes)
        if self.file.frontend is None:
            inputs = write_picture_reader(self.folder, self.file.input_shape[0], self.file.mean, self.file.std)
        else:
            inputs = write_frontend(self.folder, self.file.frontend, self._arrays(), self.file.mean, self.file.std)
        self.code_size = network + inputs

    def _arrays(self) -> FrontendArrays:
        assert self.file.frontend is not None
        return compute_arrays(self.file.frontend, librosa_filterbank(self.file.frontend))

    def compare(self, out: Path) -> Export:
        """Compare the exported network with the original, and write the parity bundle.

        Raises:
            ModelError: it computes something else.
        """
        run = self.kind.open(self)
        comparison = Comparison() if run is None else self._measure_difference(run)
        inputs = make_inputs(self.file.frontend, self.file.input_shape)
        x = self.file.normalise(inputs.features).numpy()
        logits = self._trained(x)
        exported = None
        if self.takes_samples:
            exported = self._require_same_probabilities(inputs, logits)
        elif run is not None:
            exported = run(x)
        self._require_finite(logits if exported is None else exported)
        if self.kind.has_bundle:
            self._write_parity(inputs, logits, exported)
        memory = self.verdict.memory
        peak = None if memory is None or memory.not_understood else memory.peak
        return Export(
            path=out,
            to=self.to,
            precision=self.precision,
            with_frontend=self.with_frontend,
            file_bytes=self.model.stat().st_size,
            flash=self.code_size.flash or sum(layer.bytes for layer in self.verdict.layers),
            ram=self.code_size.ram or peak,
            arena=self.arena,
            arena_note=self.arena_note,
            multiply_adds=self.verdict.multiply_adds,
            warning=comparison.warning(self.precision),
            **vars(comparison),
        )

    def _measure_difference(self, run: Runner) -> Comparison:
        """Compare the logits that `run` gives for normalised inputs with those of the trained network."""
        batches, description = self._test_inputs()
        differences = []
        same = 0
        compared = 0
        for batch in batches:
            expected = self._trained(batch)
            found = run(batch)
            self._require_finite(found - expected)
            differences.append(float(np.abs(found - expected).max()))
            if self.precision == "float32":
                require_same(found, expected)
            same += int((found.argmax(1) == expected.argmax(1)).sum())
            compared += len(batch)
        return Comparison(description, compared, max(differences), same)

    def _require_same_probabilities(self, inputs: ParityInputs, logits: np.ndarray) -> np.ndarray:
        """Return what the network with its front end gives for clips whose logits are known; in float32, the same."""
        found = OnnxSession(self.model).run(np.stack(inputs.clips))
        difference = float(np.abs(found - softmax(logits.astype(np.float64))).max())
        if self.precision == "float32" and difference > TOLERANCES[self.precision]:
            raise ModelError(
                f"the network with its front end computes something else: {difference:.3g}",
                "report this with the model file; nothing was written",
            )
        return found

    def _require_finite(self, values: np.ndarray) -> None:
        """Raise ModelError if a network gives NaN or infinity."""
        if not np.isfinite(values).all():
            hint = "nothing was written" if self.precision == "float32" else "export it in float32; nothing was written"
            raise ModelError(f"the network gives NaN or infinite values in {self.precision}", hint)

    def open_onnx(self) -> Runner:
        """Return the function that runs the graph without its front end."""
        return OnnxSession(self.graph).run

    def open_tflite(self) -> Runner:
        """Return the function that runs model.tflite."""
        return partial(run_tflite, self.model.read_bytes())

    def open_c(self) -> Runner | None:
        """Return the function that runs model.c; None without a compiler."""
        compiler = find_compiler()
        if compiler is None:
            return None
        return CompiledNetwork(self.folder, self.place, compiler, len(self.file.classes)).run

    def _test_inputs(self) -> tuple[Iterator[np.ndarray], str]:
        """Return batches of normalised inputs, and their description: test samples, or random ones without data."""
        if self.data is None:
            return iter([random_inputs(self.file.input_shape, RANDOM_INPUTS)]), "random inputs"
        return spread_inputs(self.data.test, self.kind.compared, BATCH), f"test {self.file.domain.samples}"

    @torch.no_grad()
    def _trained(self, x: np.ndarray) -> np.ndarray:
        """Return the logits of the trained network."""
        return self.file.model(torch.from_numpy(x)).numpy()

    def _write_parity(self, inputs: ParityInputs, logits: np.ndarray, exported: np.ndarray | None) -> None:
        """Write the bundle, with what the exported network gave if it ran here."""
        arrays = {"mean": self.file.mean, "std": self.file.std, "logits": logits}
        if exported is not None:
            arrays["exported"] = exported
        largest = 1.0 if self.takes_samples else max(1.0, float(np.abs(logits).max()))
        write_parity(
            self.folder / "parity",
            self.to,
            inputs,
            self.file.frontend,
            arrays,
            model=self.kind.model,
            takes_samples=self.takes_samples,
            tolerance=TOLERANCES[self.precision] * largest,
        )

    def write_page(self, result: Export, runtime: Path, accuracy: Accuracy | None) -> None:
        """Write the page that runs model.onnx in a browser."""
        assert self.file.frontend is not None
        agreement = ""
        if self.precision != "float32":
            agreement = (
                f"in {self.precision}, {result.same_decisions} of {result.compared} {result.inputs} get the same class"
            )
        about = {"network": self.file.architecture["name"], "precision": self.precision, "agreement": agreement}
        write_page(self.folder, runtime, self.file.frontend, self.file.classes, accuracy, about)

    def write_report(self, result: Export) -> None:
        """Write report.json and the model card."""
        write_card(self.folder / "README.md", self.file, result)
        written = sorted(path for path in self.folder.rglob("*.*") if path.is_file())
        files = {path.relative_to(self.folder).as_posix(): path.stat().st_size for path in written}
        figures: dict[str, Any] = {key: value for key, value in vars(result).items() if key != "path"}
        report = {
            "asc_mrkd": __version__,
            **figures,
            "ram_layers": [] if self.verdict.memory is None else [vars(layer) for layer in self.verdict.memory.layers],
            "files": files,
        }
        write_text(self.folder / REPORT, json.dumps(report, indent=2, allow_nan=False) + "\n")


@dataclass(frozen=True)
class Format:
    """A format of exported networks."""

    model: str
    """Name of the file with the network."""
    precisions: tuple[str, ...]
    frontend: Literal["never", "if asked", "always"]
    """Whether the front end is exported too, if the network has one."""
    compared: int
    """Largest number of test clips on which an exported network is compared with the original."""
    require_libraries: Callable[[], object]
    """Raises MissingExtraError if a library is missing."""
    write: Callable[[_Work], None]
    """Writes the network, and counts it."""
    open: Callable[[_Work], Runner | None]
    """Returns the function that runs the written network; None if it does not run on this machine."""
    has_bundle: bool = True
    """Whether the description and the parity bundle are written; a page holds what it needs of them."""


_require_onnx = partial(import_libraries, "an export", "onnx", "onnxruntime", "onnxscript")

FORMATS = {
    "onnx": Format(
        "model.onnx",
        ("float32", "float16", "int8"),
        "if asked",
        512,
        _require_onnx,
        _Work.write_onnx,
        _Work.open_onnx,
    ),
    "tflite": Format(
        "model.tflite",
        ("float32", "int8"),
        "never",
        512,
        import_tflite,
        _Work.write_tflite,
        _Work.open_tflite,
    ),
    "c": Format(
        "model.c",
        ("float32", "int8"),
        "always",
        64,
        _require_onnx,
        _Work.write_c,
        _Work.open_c,
    ),
    "web": Format(
        "model.onnx",
        ("float32", "int8"),
        "always",
        512,
        _require_onnx,
        _Work.write_onnx,
        _Work.open_onnx,
        has_bundle=False,
    ),
}
"""Formats by name."""
