"""Repeat the comparison of an exported network on this machine: python check.py

This file lies in the folder `parity` of an export, next to its data. It needs numpy, and onnxruntime for an .onnx file,
ai-edge-litert for a .tflite file or a C compiler (CC, or cc) for C code. Exit code 0 if everything is within the
tolerances, 1 if not.

- parity.json: kind of the export, tolerances, names of the files
- parity.npz: `features` of the clips, or pixels of the pictures, before normalisation, `mean`, `std`, `logits` of the
  trained network, and `exported`: the logits of the exported network, or the probabilities of a graph with a front end,
  on the machine of the export. It is missing for C code if that machine had no compiler: then the code is compared
  with `logits`.
- clip1.wav ...: the clips, PCM of 16 bits; or picture1.ppm ...: the pictures
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import wave
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent


def read_wav(path: Path) -> np.ndarray:
    """Return samples (channel, sample), float32, of a WAV file of 16 bits."""
    with wave.open(str(path)) as stream:
        samples = np.frombuffer(stream.readframes(stream.getnframes()), "<i2")
        return np.ascontiguousarray(samples.reshape(-1, stream.getnchannels()).T, np.float32) / 32768


def normalise(data: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the inputs of the network, (clip, channel, mel, frame)."""
    return (data["features"] - data["mean"]) / data["std"]


def run_onnx(folder: Path, facts: Mapping[str, Any], data: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return what an .onnx file computes for the clips, (clip, class)."""
    onnxruntime = import_module("onnxruntime")
    session = onnxruntime.InferenceSession(str(folder.parent / facts["model"]), providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0].name
    if facts["takes_samples"]:
        inputs = [read_wav(folder / name) for name in facts["clips"]]
    else:
        inputs = list(normalise(data))
    return np.concatenate([session.run(None, {source: one[None].astype(np.float32)})[0] for one in inputs])


def run_tflite(model: bytes, inputs: np.ndarray) -> np.ndarray:
    """Return the logits, (input, class), that LiteRT computes with a .tflite file from normalised inputs, one by one.

    Its own kernels compute, in int8 those of TensorFlow Lite Micro, without the faster ones of a processor.
    """
    litert = import_module("ai_edge_litert.interpreter")
    own_kernels = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = litert.Interpreter(model_content=model, experimental_op_resolver_type=own_kernels)
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    (output,) = interpreter.get_output_details()
    answers = []
    for one in inputs:
        interpreter.set_tensor(source["index"], as_stored(one[None], source))
        interpreter.invoke()
        answers.append(as_real(interpreter.get_tensor(output["index"]), output))
    return np.concatenate(answers)


def as_stored(values: np.ndarray, tensor: Mapping[str, Any]) -> np.ndarray:
    """Return real values as a tensor of a .tflite file stores them: value = scale * (integer - zero point)."""
    if tensor["dtype"] == np.float32:
        return values.astype(np.float32)
    scale, zero_point = tensor["quantization"]
    limits = np.iinfo(tensor["dtype"])
    return np.clip(np.round(values / scale) + zero_point, limits.min, limits.max).astype(tensor["dtype"])


def as_real(stored: np.ndarray, tensor: Mapping[str, Any]) -> np.ndarray:
    """Return the real values, float32, that a tensor of a .tflite file stands for."""
    if tensor["dtype"] == np.float32:
        return stored
    scale, zero_point = tensor["quantization"]
    return (np.float32(scale) * (stored.astype(np.float32) - zero_point)).astype(np.float32)


def run_c(folder: Path, facts: Mapping[str, Any]) -> np.ndarray:
    """Compile the program; return what it prints, (clip, value): features, unless it reads pictures, and logits."""
    printed = []
    with tempfile.TemporaryDirectory() as place:
        program = Path(place) / "classify"
        sources = [str(path) for path in sorted(folder.parent.glob("*.c"))]
        compiler = shlex.split(os.environ.get("CC", "cc"))  # it may hold options, as in "gcc -m32"
        subprocess.run([*compiler, "-std=c99", "-O2", "-o", str(program), *sources, "-lm"], check=True)
        for name in facts["clips"]:
            command = [str(program), str(folder / name), "--values"]
            values = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            printed.append(np.array(values.split(), np.float32))
    return np.stack(printed)


def compare(folder: Path = HERE) -> list[str]:
    """Print the differences and return those that are too large."""
    facts = json.loads((folder / "parity.json").read_text(encoding="utf-8"))
    faults = []
    with np.load(folder / "parity.npz", allow_pickle=False) as archive:
        data = {name: archive[name] for name in archive.files}
    if facts["kind"] == "c":
        printed = run_c(folder, facts)
        classes = data["logits"].shape[1]
        found = printed[:, -classes:]
        if printed.shape[1] > classes:
            by_frame = data["features"].transpose(0, 1, 3, 2).reshape(len(printed), -1)
            faults += judge("features", printed[:, :-classes], by_frame, facts["tolerances"]["features"])
    elif facts["kind"] == "tflite":
        found = run_tflite((folder.parent / facts["model"]).read_bytes(), normalise(data))
    else:
        found = run_onnx(folder, facts, data)
    name = "probabilities" if facts["takes_samples"] else "logits"
    expected = data.get("exported", data["logits"])
    faults += judge(name, found, expected, facts["tolerances"]["outputs"])
    trained = int((found.argmax(1) == data["logits"].argmax(1)).sum())
    if "exported" not in data:
        print(f"decisions: {trained} of {len(found)} as the trained network")
        return faults
    same = int((found.argmax(1) == expected.argmax(1)).sum())
    print(f"decisions: {same} of {len(found)} as exported, {trained} as the trained network")
    if same < len(found):
        faults.append("decisions")
    return faults


def judge(name: str, found: np.ndarray, expected: np.ndarray, tolerance: float) -> list[str]:
    """Print the largest difference; return the name if it is not within the tolerance."""
    difference = float(np.abs(found - expected).max())
    print(f"{name}: differ by up to {difference:.3g}, tolerance {tolerance:.3g}")
    return [] if difference <= tolerance else [name]


if __name__ == "__main__":
    wrong = compare()
    print(f"wrong: {', '.join(wrong)}" if wrong else "all within the tolerances")
    sys.exit(1 if wrong else 0)
