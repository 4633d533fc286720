"""A network in an .onnx file, run by onnxruntime on the CPU, without torch."""

import hashlib
import json
import os
import re
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from asc_mrkd.deploy.description import KEY, Description, parse_description, require_own_network, unpack_arrays
from asc_mrkd.errors import DamagedFileError, MissingExtraError, ModelError, first_line
from asc_mrkd.features.frontend import Frontend
from asc_mrkd.machine import available_cores

INPUT = "input"
"""Name of the input of a graph that takes normalised spectrograms or images."""

OUTPUT = "logits"
"""Name of the output of such a graph."""

SAMPLES = "samples"
"""Name of the input of a graph with a front end."""

PROBABILITIES = "probabilities"
"""Name of the output of a graph with a front end."""

CHECKSUM = re.compile(rb'"sha256": "([0-9a-f]{64})"')
"""Checksum in the description of a file."""

BLANK = b"0" * 64
"""Digits in place of the checksum while it is computed."""

WRITES_ONE = "asc-mrkd export RUN --to onnx --out DIR writes one"


def import_libraries(purpose: str, *libraries: str, extra: str = "deploy") -> list[Any]:
    """Import libraries of an extra; `purpose` opens the error message.

    Raises:
        MissingExtraError: a library is not installed.
    """
    try:
        return [import_module(name) for name in libraries]
    except ImportError as error:
        names = " and ".join(dict.fromkeys(name.partition(".")[0] for name in libraries))
        raise MissingExtraError(
            f"{purpose} needs {names}: {first_line(error)}", f"pip install 'asc-mrkd[{extra}]'"
        ) from None


class OnnxSession:
    """An opened .onnx file.

    Args:
        path: a file that `write_onnx` wrote. One that another tool has changed does not match its checksum any more; it
            is accepted if `sha256` is removed from the JSON in its metadata.
        threads: number of threads; by default OMP_NUM_THREADS, or the cores that this process may use.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        DamagedFileError: the file is damaged, or another program wrote it.
        RunError: it is not the network that was written to its run folder.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        (runtime,) = import_libraries("reading an .onnx file", "onnxruntime")
        data = path.read_bytes()
        found = CHECKSUM.search(data)
        if found and found[1] != checksum(data):
            raise DamagedFileError(
                f"{path} is damaged: its content does not have its checksum", "export or copy it again"
            )
        require_own_network(path, data)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or _default_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # only errors
        try:
            self._session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
            description = json.loads(self._session.get_modelmeta().custom_metadata_map[KEY])
            (source,) = self._session.get_inputs()
            (output,) = self._session.get_outputs()
        except Exception as error:  # onnxruntime has a dozen unrelated exceptions for a wrong file
            reason = f"it has no description '{KEY}'" if isinstance(error, KeyError) else first_line(error)
            raise DamagedFileError(
                f"{path} is not an .onnx file of asc-mrkd, or is damaged: {reason}", WRITES_ONE
            ) from None
        if isinstance(description, dict):
            description.pop("sha256", None)
        self.description: Description = parse_description(description, path)
        self.input_shape: tuple[int, ...] = tuple(source.shape[1:])
        """Shape of one input: that of the network, or (channel, sample) where the graph has a front end."""
        self._names = (source.name, output.name)
        if self.input_shape != self._expected_shape() or output.shape[1:] != [len(self.description.classes)]:
            raise DamagedFileError(
                f"{path} is damaged: its graph and its description have other inputs or classes", WRITES_ONE
            )

    def _expected_shape(self) -> tuple[int, ...]:
        spec = self.description.frontend
        if spec is not None and self.description.takes_samples:
            return spec.channels, spec.samples
        return tuple(self.description.input_shape)

    def run(self, x: np.ndarray) -> np.ndarray:
        """Map inputs (batch, *input_shape) to logits, or to probabilities where the graph has a front end.

        Raises:
            ModelError: the input has another shape.
        """
        if tuple(x.shape[1:]) != self.input_shape:
            expected = " x ".join(map(str, self.input_shape))
            found = " x ".join(map(str, x.shape[1:]))
            raise ModelError(f"the .onnx network takes inputs of {expected}, not {found}")
        source, output = self._names
        (answer,) = self._session.run([output], {source: np.ascontiguousarray(x, dtype=np.float32)})
        return answer


class OnnxClassifier:
    """An .onnx file as the predictor uses it: its front end, its normalisation, and its probabilities."""

    device = "cpu"

    def __init__(self, path: Path) -> None:
        self._session = OnnxSession(path)
        self.description = self._session.description
        self.input_shape = self._session.input_shape
        self._mean = np.array(self.description.mean, np.float32)
        self._std = np.array(self.description.std, np.float32)

    def frontend(self) -> Frontend | None:
        """Return the front end that prepares the inputs; None for pictures, and where the graph has its own."""
        spec = self.description.frontend
        if spec is None or self.description.takes_samples:
            return None
        packed = self.description.arrays
        return Frontend(spec, "plain", arrays=None if packed is None else unpack_arrays(packed, spec))

    def outputs(self, inputs: list[np.ndarray], with_embeddings: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return the class probabilities (input, class), float64, of inputs before normalisation, and no embeddings.

        Raises:
            ModelError: embeddings are wanted.
        """
        if with_embeddings:
            raise ModelError(
                "an .onnx file gives probabilities, but no embeddings", "asc-mrkd predict RUN, or a model.safetensors"
            )
        batch = np.stack(inputs)
        if self.description.takes_samples:
            probabilities = self._session.run(batch).astype(np.float64)
        else:
            probabilities = softmax(self._session.run((batch - self._mean) / self._std).astype(np.float64))
        return probabilities, np.empty((len(batch), 0), np.float32)

    def next_to_workers(self, workers: int, cores: int) -> AbstractContextManager[None]:
        """Compute next to workers; the number of threads is that of the session."""
        return nullcontext()


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities from logits (..., class).

    >>> softmax(np.array([[0.0, 0.0], [1000.0, 0.0]])).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def checksum(data: bytes) -> bytes:
    """Return the SHA-256, in hexadecimal digits, of a file, with blanks in place of its checksum."""
    return hashlib.sha256(CHECKSUM.sub(b'"sha256": "%s"' % BLANK, data, count=1)).hexdigest().encode()


def _default_threads() -> int:
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) > 0 else available_cores()
