"""The ONNX file: a network for other programs and for boards, with its description in the metadata."""

import hashlib
import json
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asc_mrkd.deploy.model_file import KEY, ModelFile, assemble, describe, parse_description
from asc_mrkd.errors import DamagedFileError, MissingExtraError, ModelError, first_line
from asc_mrkd.files import atomic_writer
from asc_mrkd.models.cp_resnet import DampedConv2d


def import_libraries(purpose: str, *libraries: str) -> list[Any]:
    """Import libraries of the extra `deploy`; `purpose` opens the error message.

    Raises:
        MissingExtraError: a library is not installed.
    """
    try:
        return [import_module(name) for name in libraries]
    except ImportError as error:
        names = " and ".join(dict.fromkeys(name.partition(".")[0] for name in libraries))
        raise MissingExtraError(
            f"{purpose} needs {names}: {first_line(error)}", "pip install 'asc-mrkd[deploy]'"
        ) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the warnings of the exporter and the quantiser, which do not concern the user."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


INPUT = "input"
"""Name of the input of every written graph."""

OUTPUT = "logits"
"""Name of the output of every written graph."""

OPSET = 18
"""Lowest version of the operators that torch's exporter writes without conversion."""

CHECKSUM = re.compile(rb'"sha256": "([0-9a-f]{64})"')
"""Checksum in the description of a file."""

BLANK = b"0" * 64
"""Digits in place of the checksum while it is computed."""


class OnnxNetwork(nn.Module):
    """Network that onnxruntime runs on the CPU, with as many threads as torch; it cannot be trained."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self._session = session
        self.input_shape = tuple(session.get_inputs()[0].shape[1:])

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Map normalised inputs (batch, *input_shape) to logits (batch, class), float32.

        Raises:
            ModelError: the input has another shape.
        """
        if tuple(x.shape[1:]) != self.input_shape:
            expected = " x ".join(map(str, self.input_shape))
            found = " x ".join(map(str, x.shape[1:]))
            raise ModelError(f"the .onnx network takes inputs of {expected}, not {found}")
        (logits,) = self._session.run([OUTPUT], {INPUT: np.ascontiguousarray(x.float().cpu().numpy())})
        return torch.from_numpy(logits).to(x.device)


def save_onnx(path: Path, file: ModelFile) -> None:
    """Write the network as float32 ONNX from `input`, normalised, (batch, *input_shape), to `logits` (batch, class).

    The batch is free, the rest of the shape is fixed. Damped convolutions become plain ones with the damped weight,
    and batch normalisation goes into the convolution before it where there is one.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
        ModelError: the network is an .onnx file already.
    """
    if isinstance(file.model, OnnxNetwork):
        raise ModelError("the network is an .onnx file already", "export the model.safetensors of the run")
    import_libraries("writing an .onnx file", "onnx", "onnxscript")
    network = _without_damping(file.model).cpu().float().eval()
    example = torch.zeros(2, *file.input_shape)  # a batch of 2: torch.export would fix a batch of 1
    with quiet():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    assert program is not None
    write_onnx(path, program.model_proto, describe(replace(file, dtype="float32")))


def load_onnx(path: Path) -> ModelFile:
    """Read an .onnx file that `write_onnx` wrote.

    A file that another tool has changed does not match its checksum any more. It is accepted if `sha256` is removed
    from the JSON in its metadata.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        DamagedFileError: the file is damaged, or another program wrote it.
    """
    (runtime,) = import_libraries("reading an .onnx file", "onnxruntime")
    data = path.read_bytes()
    found = CHECKSUM.search(data)
    if found and found[1] != _checksum(data):
        raise DamagedFileError(f"{path} is damaged: its content does not have its checksum", "export or copy it again")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors alone
    try:
        session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        description = json.loads(session.get_modelmeta().custom_metadata_map[KEY])
        network = OnnxNetwork(session)
        (output,) = session.get_outputs()
    except Exception as error:  # onnxruntime has a dozen unrelated exceptions for a wrong file
        reason = f"it has no description '{KEY}'" if isinstance(error, KeyError) else first_line(error)
        raise DamagedFileError(
            f"{path} is not an .onnx file of asc-mrkd, or is damaged: {reason}",
            "asc-mrkd export RUN --out FILE.onnx writes one",
        ) from None
    if isinstance(description, dict):
        description.pop("sha256", None)
    read = parse_description(description, path)
    if network.input_shape != tuple(read.input_shape) or output.shape[1:] != [len(read.classes)]:
        raise DamagedFileError(
            f"{path} is damaged: its graph and its description have other inputs or classes",
            "asc-mrkd export RUN --out FILE.onnx writes one",
        )
    return assemble(read, network)


def write_onnx(path: Path, model: Any, description: dict[str, Any]) -> None:
    """Write an ONNX model, whole or not at all, with its description and a checksum of the whole file.

    Notes of the exporter are left out.

    Args:
        path: the file.
        model: an `onnx.ModelProto`; it is changed.
        description: see `describe`.
    """
    del model.metadata_props[:]
    del model.graph.value_info[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    text = json.dumps({**description, "sha256": BLANK.decode()})
    model.metadata_props.add(key=KEY, value=text)
    data = model.SerializeToString()
    with atomic_writer(path) as stream:
        stream.write(CHECKSUM.sub(b'"sha256": "%s"' % _checksum(data), data, count=1))


def read_description(model: Any) -> dict[str, Any]:
    """Return the description in an `onnx.ModelProto` that `write_onnx` wrote."""
    return json.loads(next(entry.value for entry in model.metadata_props if entry.key == KEY))


def _checksum(data: bytes) -> bytes:
    """Return the SHA-256, in hexadecimal digits, of a file, with blanks in place of its checksum."""
    return hashlib.sha256(CHECKSUM.sub(b'"sha256": "%s"' % BLANK, data, count=1)).hexdigest().encode()


def _without_damping(model: nn.Module) -> nn.Module:
    """Return a copy whose damped convolutions are plain ones with the damped weight."""
    plain = deepcopy(model)
    for layer in plain.modules():
        if isinstance(layer, DampedConv2d):
            with torch.no_grad():
                layer.weight.mul_(layer.damper)
            layer.__class__ = nn.Conv2d  # type: ignore[assignment]
    return plain
