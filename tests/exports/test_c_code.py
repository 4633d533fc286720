"""C code: compiled without a warning and with sanitisers, its features and decisions are those of the network."""

import ctypes
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile as sf
import torch
from torch import nn

from asc_mrkd import Predictor
from asc_mrkd.audio.reasons import REASONS
from asc_mrkd.budget.onnx import OnnxCounter
from asc_mrkd.compression.quantise import quantise_onnx
from asc_mrkd.datasets.synthetic.scenes import render_clip
from asc_mrkd.deploy.model_file import ModelFile, save_model
from asc_mrkd.deploy.onnx_file import save_onnx, write_onnx
from asc_mrkd.errors import ConfigError, ModelError
from asc_mrkd.exports.c_code import compiled, write_frontend, write_network
from asc_mrkd.exports.c_code.compiled import DRIVER
from asc_mrkd.features import Frontend, FrontendSpec, load_spec
from asc_mrkd.features.filterbank import DB_PER_NEPER, compute_arrays, librosa_filterbank
from asc_mrkd.folders import resource_folder
from asc_mrkd.models import build_model

GCC = shutil.which("gcc") or ""
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror")
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
MAIN = """
#include <stdio.h>

int main(void)
{
    static float input[MODEL_CHANNELS * MODEL_ROWS * MODEL_COLUMNS];
    float logits[MODEL_CLASSES];
    while (fread(input, sizeof input, 1, stdin) == 1) {
        run_one(input, logits);
        fwrite(logits, sizeof logits, 1, stdout);
    }
    return 0;
}
"""
NAMES = sorted(path.stem for path in resource_folder("features").glob("*.yaml"))
SPEC = FrontendSpec(
    name="tiny", sample_rate=8000, channels=2, clip_seconds=0.5, n_fft=256, hop_length=128, n_mels=24, fmax=4000.0
)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not GCC, reason="there is no gcc")]


def compile_c(folder: Path, *sources: str, options: tuple[str, ...] = ("-O2",), out: str = "program") -> Path:
    """Compile C files of a folder; a warning is an error."""
    command = [GCC, *STRICT, *options, "-o", out, *sources, "-lm"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / out


def open_library(folder: Path, source: str) -> ctypes.CDLL:
    return ctypes.CDLL(str(compile_c(folder, source, options=("-O1", "-shared", "-fPIC"), out=f"{source}.so")))


def pointer(array: np.ndarray):
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_float))


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """A built-in scene (channel, sample)."""
    return render_clip(0, "park-paris-1-1-a").T.astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_the_features_are_ours_within_a_thousandth_of_a_decibel(name, sound, tmp_path):
    spec = load_spec(name)
    spec = spec.model_copy(update={"clip_seconds": min(spec.clip_seconds, 2.0)})
    samples = np.ascontiguousarray(sound[: spec.channels, : spec.samples])
    mean = np.linspace(-50, -20, spec.n_mels, dtype=np.float32).reshape(1, -1, 1)
    write_frontend(tmp_path, spec, compute_arrays(spec, librosa_filterbank(spec)), mean, mean + 60)
    library = open_library(tmp_path, "frontend.c")
    library.frontend_loudest.restype = ctypes.c_float
    features = np.empty((spec.channels, spec.frames, spec.n_mels), np.float32)
    for channel in range(spec.channels):
        loudest = ctypes.c_float(library.frontend_loudest(pointer(samples[channel])))
        for frame in range(spec.frames):
            library.frontend_column(pointer(samples[channel]), frame, loudest, pointer(features[channel, frame]))
    expected = Frontend(spec)(samples)
    difference = np.abs(features.transpose(0, 2, 1) - expected).max()
    in_decibels = difference if spec.scale == "perceptual_db" else difference * DB_PER_NEPER * (3 - spec.power)
    assert in_decibels < 1e-3
    column = features[0, 0].copy()
    library.frontend_normalise(0, pointer(column))
    np.testing.assert_allclose(column, (features[0, 0] - mean[0, :, 0]) / (mean[0, :, 0] + 60), rtol=1e-6)


def file_of(network: nn.Module, shape: tuple[int, ...], classes: list[str], spec: FrontendSpec | None) -> ModelFile:
    mean, std = np.full((1, 1, 1), -30, np.float32), np.full((1, 1, 1), 12, np.float32)
    architecture = {"name": "cp_resnet", "num_classes": len(classes), "options": {"width": 4, "blocks": [2, 1, 0]}}
    return ModelFile(network, architecture, classes, shape, mean, std, spec)


def run_c(folder: Path, x: np.ndarray, classes: int) -> np.ndarray:
    """Return the logits (input, class) that model.c computes under the sanitizers."""
    (folder / "driver.c").write_text(DRIVER + MAIN)
    program = compile_c(folder, "driver.c", "model.c", options=SANITIZED)
    done = subprocess.run([program], input=x.astype(np.float32).tobytes(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return np.frombuffer(done.stdout, np.float32).reshape(len(x), classes)


def run_onnx(path: Path, x: np.ndarray) -> np.ndarray:
    """Return the logits of onnxruntime node by node: on processors without VNNI its fused int8 kernels saturate."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"input": one[None]})[0] for one in x])


def write_all_operators(path: Path, batch_norm: bool) -> None:
    """Write a network with every operator that C has: groups, odd strides and padding, a wider shortcut.

    Without batch normalisation the dense layer has no bias, and an average leaves out the padding.
    """
    rng = np.random.default_rng(0)
    node = onnx.helper.make_node
    arrays = {
        "w1": rng.normal(size=(8, 3, 3, 2)),
        "b1": rng.normal(size=8),
        "w2": rng.normal(size=(8, 2, 3, 3)) / 3,
        "gain": rng.uniform(0.5, 1.5, 8),
        "shift": rng.normal(size=8),
        "mean": rng.normal(size=8),
        "variance": rng.uniform(0.5, 1.5, 8),
        "w3": rng.normal(size=(12, 8, 3, 3)) / 6,
        "w4": rng.normal(size=(4, 12)),
        "b4": rng.normal(size=4),
    }
    constants = [onnx.numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()]
    for name, values in {"pads": [0, 2, 0, 0, 0, 2, 0, 0], "axes": [2, 3]}.items():
        constants.append(onnx.numpy_helper.from_array(np.array(values, np.int64), name))
    nodes = [
        node("Conv", ["input", "w1", "b1"], ["first"], name="first", strides=[2, 1], pads=[1, 0, 1, 0]),
        node("Relu", ["first"], ["positive"], name="positive"),
        node(
            "MaxPool", ["positive"], ["pooled"], name="pooled", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]
        ),
        node("Conv", ["pooled", "w2"], ["grouped"], name="grouped", group=4, pads=[1, 1, 1, 1]),
    ]
    source = "grouped"
    if batch_norm:
        inputs = ["grouped", "gain", "shift", "mean", "variance"]
        nodes.append(node("BatchNormalization", inputs, ["normed"], name="normed", epsilon=1e-3))
        source = "normed"
    window = {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "count_include_pad": int(batch_norm)}
    nodes.append(node("AveragePool", [source], ["smooth"], name="smooth", **window))
    source = "smooth"
    nodes += [
        node("Conv", [source, "w3"], ["wide"], name="wide", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("AveragePool", [source], ["thin"], name="thin", kernel_shape=[1, 1], strides=[2, 2]),
        node("Pad", ["thin", "pads"], ["padded"], name="padded"),
        node("Add", ["wide", "padded"], ["sum"], name="sum"),
        node("ReduceMean", ["sum", "axes"], ["means"], name="means", keepdims=0),
        node("Gemm", ["means", "w4", *(["b4"] if batch_norm else [])], ["logits"], name="dense", transB=1),
    ]
    value = onnx.helper.make_tensor_value_info
    sides = [value("input", 1, ["batch", 3, 20, 15])], [value("logits", 1, ["batch", 4])]
    graph = onnx.helper.make_graph(nodes, "graph", *sides, constants)
    write_onnx(path, onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10), {})


@pytest.mark.parametrize("batch_norm", [False, True])
def test_every_operator_computes_what_onnxruntime_does(batch_norm, tmp_path):
    x = np.random.default_rng(1).standard_normal((4, 3, 20, 15)).astype(np.float32)
    write_all_operators(tmp_path / "m.onnx", batch_norm)
    size = write_network(tmp_path, onnx.load(tmp_path / "m.onnx"), list("abcd"))
    np.testing.assert_allclose(run_c(tmp_path, x, 4), run_onnx(tmp_path / "m.onnx", x), rtol=1e-4, atol=1e-5)
    live = OnnxCounter(tmp_path / "m.onnx").trace().memory().peak
    assert live <= size.ram < 1.5 * live, "liveness is a lower bound of a plan"


def test_every_operator_of_int8_computes_what_onnxruntime_does(tmp_path):
    x = np.random.default_rng(1).standard_normal((4, 3, 20, 15)).astype(np.float32)
    write_all_operators(tmp_path / "m.onnx", batch_norm=False)
    quantise_onnx(tmp_path / "m.onnx", tmp_path / "q.onnx", [x])
    (tmp_path / "int8").mkdir()
    write_network(tmp_path / "int8", onnx.load(tmp_path / "q.onnx"), list("abcd"))
    expected = run_onnx(tmp_path / "q.onnx", x)
    step = np.ptp(expected) / 255
    np.testing.assert_allclose(run_c(tmp_path / "int8", x, 4), expected, rtol=0, atol=1.5 * step)
    assert np.abs(expected - run_onnx(tmp_path / "m.onnx", x)).max() < 0.1 * np.ptp(expected)


@pytest.mark.parametrize("source", ["m.onnx", "q.onnx"])
def test_the_usual_head_is_a_dense_layer_on_means(source, tmp_path):
    torch.manual_seed(0)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4)]
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), *head).eval()
    x = np.random.default_rng(1).standard_normal((4, 3, 9, 7)).astype(np.float32)
    write_both_precisions(tmp_path, file_of(network, (3, 9, 7), list("abcd"), None), x)
    write_network(tmp_path, onnx.load(tmp_path / source), list("abcd"))
    np.testing.assert_allclose(run_c(tmp_path, x, 4), run_onnx(tmp_path / source, x), rtol=0, atol=1e-5)


class EverydayNetwork(nn.Module):
    """Dilation, even kernels with "same" padding, and activations that a sum reads before and after their bounds."""

    def __init__(self) -> None:
        super().__init__()
        pad = nn.ZeroPad2d((1, 2, 0, 1))
        self.stem = nn.Sequential(pad, nn.Conv2d(3, 8, 3, stride=2), nn.ReLU6(), nn.MaxPool2d(3, 2, ceil_mode=True))
        self.dilated = nn.Conv2d(8, 8, 3, dilation=(1, 2), padding="same", groups=8)
        self.even = nn.Conv2d(8, 8, (4, 2), padding="same")
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
        for values in (self.norm.weight, self.norm.bias, self.norm.running_mean, self.norm.running_var):
            nn.init.uniform_(values, 0.5, 1.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.dilated(self.stem(x))
        x = x + nn.functional.relu(x)
        x = x + x.clamp(-torch.inf, 0.5)
        x = x + x.clamp(-0.4, 0.6)
        return self.head(x + self.even(self.norm(x).clamp(min=-0.7)))


@pytest.mark.parametrize("source", ["m.onnx", "q.onnx"])
def test_dilation_even_kernels_and_bounds(source, tmp_path):
    torch.manual_seed(0)
    x = np.random.default_rng(1).standard_normal((4, 3, 20, 15)).astype(np.float32)
    write_both_precisions(tmp_path, file_of(EverydayNetwork().eval(), (3, 20, 15), list("abcd"), None), x)
    network = onnx.load(tmp_path / source)
    kinds = [node.op_type for node in network.graph.node]
    assert {"Relu", "Clip", "BatchNormalization"} <= set(kinds), "the quantiser has taken an operator away"
    size = write_network(tmp_path, network, list("abcd"))
    expected = run_onnx(tmp_path / source, x)
    step = 1e-6 if source == "m.onnx" else np.ptp(expected) / 255
    np.testing.assert_allclose(run_c(tmp_path, x, 4), expected, rtol=0, atol=1.5 * step)
    assert OnnxCounter(tmp_path / source).trace().memory().peak <= size.ram


def test_bounds_beyond_zero_hold_in_int8(tmp_path):
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 8, 3), nn.Hardtanh(0.4, 6.0), nn.Conv2d(8, 8, 3), nn.Hardtanh(-3.0, -0.1)]
    network = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)).eval()
    x = np.random.default_rng(1).standard_normal((4, 3, 20, 15)).astype(np.float32)
    write_both_precisions(tmp_path, file_of(network, (3, 20, 15), list("abcd"), None), x)
    expected = run_onnx(tmp_path / "m.onnx", x)
    found = run_onnx(tmp_path / "q.onnx", x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.01 * np.ptp(expected))
    write_network(tmp_path, onnx.load(tmp_path / "q.onnx"), list("abcd"))
    np.testing.assert_allclose(run_c(tmp_path, x, 4), found, rtol=0, atol=1e-5)


def test_an_int8_network_that_begins_with_an_operator_in_float32_is_refused(tmp_path):
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)]
    network = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(3, 8, 3), nn.ReLU(), *head).eval()
    x = np.random.default_rng(1).standard_normal((4, 3, 9, 7)).astype(np.float32)
    write_both_precisions(tmp_path, file_of(network, (3, 9, 7), list("abcd"), None), x)
    with pytest.raises(ModelError, match="MaxPool without quantisation, which the C code does not have in int8"):
        write_network(tmp_path, onnx.load(tmp_path / "q.onnx"), list("abcd"))


def test_the_compiler_of_the_user_keeps_its_options(tmp_path, monkeypatch):
    write_all_operators(tmp_path / "m.onnx", batch_norm=False)
    write_network(tmp_path, onnx.load(tmp_path / "m.onnx"), list("abcd"))
    monkeypatch.setenv("CC", "gcc -DMARK='a b'")
    assert compiled.find_compiler() == [GCC, "-DMARK=a b"]
    monkeypatch.setenv("CC", "gcc -include missing.h")
    with pytest.raises(ModelError, match=r"gcc does not compile the C code: .*missing\.h"):
        compiled.CompiledNetwork(tmp_path, tmp_path, compiled.find_compiler(), 4)
    monkeypatch.setenv("CC", "gcc -DMARK='a b")
    with pytest.raises(ConfigError, match="the variable CC, gcc -DMARK='a b, is not a command: No closing quotation"):
        compiled.find_compiler()


def calibrate(network: nn.Module, x: np.ndarray) -> None:
    """Let batch normalisation see the inputs, and spread the logits so that the decisions differ."""
    with torch.no_grad():
        for layer in network.train().modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = None
        network(torch.from_numpy(x))
        logits = network.eval()(torch.from_numpy(x))
        network.head[1].weight *= 3 / logits.std(0)
        network.head[1].bias -= network(torch.from_numpy(x)).mean(0)


def write_both_precisions(folder: Path, file: ModelFile, x: np.ndarray) -> None:
    """Write m.onnx in float32 and q.onnx in int8."""
    save_onnx(folder / "m.onnx", file)
    quantise_onnx(folder / "m.onnx", folder / "q.onnx", [one[None] for one in x])


@pytest.fixture(scope="module")
def scenes(tmp_path_factory, sound):
    """A small network for recordings, as files, and the inputs of some clips of a built-in scene."""
    torch.manual_seed(0)
    network = build_model("cp_resnet", 3, width=4, blocks=[2, 1, 0], init="kaiming")
    folder = tmp_path_factory.mktemp("scenes")
    file = file_of(network, SPEC.shape, ["bus", 'the "park"', "tram??/"], SPEC)
    clips = [np.ascontiguousarray(sound[:, start : start + SPEC.samples]) for start in range(0, 48_000, 4_000)]
    x = np.stack([(Frontend(SPEC)(clip) - file.mean) / file.std for clip in clips]).astype(np.float32)
    calibrate(network, x)
    save_model(folder / "m.safetensors", file)
    write_both_precisions(folder, file, x)
    return folder, file, x


@pytest.fixture(scope="module")
def mobile(tmp_path_factory, scenes):
    """The smallest `cp_mobile` for the same inputs, as files, with averages in steps of (1, 2) and of (2, 1)."""
    _, scene_file, x = scenes
    torch.manual_seed(0)
    network = build_model("cp_mobile", 3, in_channels=2, base_channels=8, multiplier=1)
    calibrate(network, x)
    folder = tmp_path_factory.mktemp("mobile")
    file = replace(scene_file, model=network)
    write_both_precisions(folder, file, x)
    return folder, file, x


@pytest.mark.parametrize("source", ["m.onnx", "q.onnx"])
@pytest.mark.parametrize("network", ["scenes", "mobile"])
def test_the_decisions_are_those_of_onnxruntime(network, source, request, tmp_path):
    folder, file, x = request.getfixturevalue(network)
    size = write_network(tmp_path, onnx.load(folder / source), file.classes)
    found = run_c(tmp_path, x, 3)
    expected = run_onnx(folder / source, x)
    assert len(set(expected.argmax(1))) > 1, "the network always decides alike"
    np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)
    counted = OnnxCounter(folder / source)
    assert counted.trace().memory().peak <= size.ram
    weights = sum(row.bytes for row in counted.count())
    assert weights <= size.flash < 1.5 * weights + 200


@pytest.mark.parametrize("source", ["m.onnx", "q.onnx"])
def test_the_ram_is_that_of_all_static_arrays(scenes, source, tmp_path):
    folder, file, _ = scenes
    size = write_network(tmp_path, onnx.load(folder / source), file.classes)
    size += write_frontend(tmp_path, SPEC, compute_arrays(SPEC, librosa_filterbank(SPEC)), file.mean, file.std)
    sizes = []
    for name in ("main", "frontend", "model"):
        compiled_file = compile_c(tmp_path, f"{name}.c", options=("-O0", "-c"), out=f"{name}.o")
        symbols = subprocess.run(["nm", "-S", compiled_file], capture_output=True, text=True, check=True).stdout
        sizes += [int(number, 16) for number in re.findall(r"^\w+ (\w+) b ", symbols, re.MULTILINE)]
    assert size.ram == sum(sizes)


def write_program(folder: Path, file: ModelFile, source: Path) -> Path:
    write_network(folder, onnx.load(source), file.classes)
    write_frontend(folder, file.frontend, compute_arrays(SPEC, librosa_filterbank(SPEC)), file.mean, file.std)
    return compile_c(folder, "main.c", "frontend.c", "model.c", options=SANITIZED)


def test_the_program_reads_recordings_as_predict_does(scenes, sound, tmp_path):
    folder, file, _ = scenes
    program = write_program(tmp_path, file, folder / "m.onnx")
    predictor = Predictor(folder / "m.safetensors")
    for name, count in {"short": 1_000, "clip": SPEC.samples, "long": 11_000}.items():
        for channels in (1, 2):
            path = tmp_path / f"{name}{channels}.wav"
            sf.write(path, 0.5 * sound[:channels, :count].T / np.abs(sound).max(), SPEC.sample_rate)
            done = subprocess.run([program, path], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            probabilities = predictor.predict_file(path)
            ranking = probabilities.argsort()[::-1]
            expected = "  ".join(f"{file.classes[i]} {probabilities[i]:.3f}" for i in ranking)
            assert done.stdout == f"{path}  {expected}\n"
    values = subprocess.run([program, tmp_path / "clip2.wav", "--values"], capture_output=True, text=True, check=True)
    printed = np.array(values.stdout.split(), np.float64)
    features = Frontend(SPEC).from_file(tmp_path / "clip2.wav").transpose(0, 2, 1)
    np.testing.assert_allclose(printed[:-3], features.ravel(), rtol=0, atol=1e-3)


def test_the_program_takes_a_recording_of_nearly_a_clip_as_predict_does(scenes, sound, tmp_path):
    folder, file, _ = scenes
    file = replace(file, frontend=SPEC.model_copy(update={"pad_or_trim": 0.05}))  # 400 samples
    save_model(tmp_path / "m.safetensors", file)
    program = write_program(tmp_path, file, folder / "m.onnx")
    for count in (3_600, 4_400, 3_599, 4_401):
        path = tmp_path / f"{count}.wav"
        sf.write(path, 0.5 * sound[:, :count].T / np.abs(sound).max(), SPEC.sample_rate)
        printed = subprocess.run([program, path], capture_output=True, text=True, check=True).stdout
        probabilities = Predictor(tmp_path / "m.safetensors").predict_file(path)
        best = probabilities.argmax()
        assert printed.startswith(f"{path}  {file.classes[best]} {probabilities[best]:.3f}")


def test_the_program_refuses_what_it_cannot_read(scenes, sound, tmp_path):
    folder, file, _ = scenes
    program = write_program(tmp_path, file, folder / "q.onnx")
    sf.write(tmp_path / "rate.wav", sound[0, :1000], 16_000)
    sf.write(tmp_path / "deep.wav", sound[0, :1000], 8000, subtype="PCM_24")
    sf.write(tmp_path / "float.wav", sound[0, :1000], 8000, subtype="FLOAT")
    sf.write(tmp_path / "good.wav", sound[0, :1000], 8000)
    sf.write(tmp_path / "silent.wav", 0 * sound[:, :6000].T, 8000)
    content = (tmp_path / "good.wav").read_bytes()
    for length in (0, 4, 11, 12, 20, 30, 40, 44, 45, len(content) // 2):
        (tmp_path / f"cut{length}.wav").write_bytes(content[:length])
    (tmp_path / "huge.wav").write_bytes(content[:16] + b"\xff" * 4 + content[20:])
    (tmp_path / "good_unfinished.wav").write_bytes(content[:40] + b"\xff" * 4 + content[44:])
    reasons = {
        "rate": "its rate is not that of the front end",
        "deep": "it does not have 16 bits per sample",
        "float": "it is not PCM",
        "silent": REASONS["silent"],  # the same as from predict
        "missing": "it cannot be read",
        "cut0": "it cannot be read",
        "cut4": "it is not a WAV file",
        "cut40": "it holds no sound",
        "cut44": "the file ends before its sound does",
        f"cut{len(content) // 2}": "the file ends before its sound does",  # predict refuses it, too
    }
    for path in (*tmp_path.glob("*.wav"), tmp_path / "missing.wav"):
        done = subprocess.run([program, path], capture_output=True, text=True)
        assert (done.returncode, "ERROR" in done.stderr) == (0 if "good" in path.stem else 2, False), done.stderr
        assert reasons.get(path.stem, "") in done.stderr
    assert subprocess.run([program], capture_output=True).returncode == 2


def test_what_c_does_not_have_is_named(scenes, tmp_path):
    _, file, _ = scenes
    value = onnx.helper.make_tensor_value_info
    sides = [value("input", 1, ["batch", 2, 8, 8])], [value("logits", 1, ["batch", 4, 8, 8])]
    nodes = [onnx.helper.make_node("Concat", ["input", "input"], ["logits"], name="twice", axis=1)]
    graph = onnx.helper.make_graph(nodes, "graph", *sides)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    with pytest.raises(ModelError, match="is the operator Concat, which the C code does not have"):
        write_network(tmp_path, model, file.classes)
    fill = [onnx.numpy_helper.from_array(np.array(2.0, np.float32), "fill")]
    pads = [onnx.numpy_helper.from_array(np.array([0, 1, 0, 0, 0, 1, 0, 0]), "pads")]
    window = {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}
    nodes = [onnx.helper.make_node("AveragePool", ["input"], ["logits"], name="smooth", **window)]
    graph = onnx.helper.make_graph(nodes, "graph", sides[0], [value("logits", 1, ["batch", 2, 4, 4])])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    with pytest.raises(ModelError, match="smooth is the operator AveragePool with dilation or rounded up"):
        write_network(tmp_path, model, file.classes)
    refused = [
        (["input", "pads", "fill"], pads + fill, "by other values than zero"),
        (["input", "pads"], [onnx.numpy_helper.from_array(np.array([0, 0, 1, 0, 0, 2, 0, 0]), "pads")], "another axis"),
    ]
    for inputs, constants, form in refused:
        nodes = [onnx.helper.make_node("Pad", inputs, ["logits"], name="wider")]
        graph = onnx.helper.make_graph(nodes, "graph", *sides, constants)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
        with pytest.raises(ModelError, match=f"wider is the operator Pad .*{form}"):
            write_network(tmp_path, model, file.classes)
    constants = [onnx.numpy_helper.from_array(np.ones((4, 4), np.float32), "w")]
    forms = [
        ("Gemm", ["input", "w"], {"transB": 1, "alpha": 0.5}, (4,), "Gemm with another matrix"),
        ("Gemm", ["input", "w"], {"transB": 1, "beta": 2.0}, (4,), "Gemm with another matrix"),
        ("Gemm", ["w", "input"], {"transB": 1}, (4,), "the operator Gemm"),
        ("Add", ["input", "w"], {}, (4, 4), "Add with a constant"),
        ("Reshape", ["input", "shape"], {}, (4, 8), "the operator Reshape"),
        ("Reshape", ["input", "planes"], {}, (4, 2, 2), "the operator Reshape"),
    ]
    for name, sizes in (("shape", [2, -1]), ("planes", [1, 2, 4, 2])):
        constants.append(onnx.numpy_helper.from_array(np.array(sizes), name))
    for operator, inputs, attributes, shape, form in forms:
        nodes = [onnx.helper.make_node(operator, inputs, ["logits"], name="odd", **attributes)]
        ends = [value("input", 1, ["batch", *shape])], [value("logits", 1, None)]
        graph = onnx.helper.make_graph(nodes, "graph", *ends, constants)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
        with pytest.raises(ModelError, match=f"odd is .*{form}"):
            write_network(tmp_path, model, file.classes)
    odd = SPEC.model_copy(update={"n_fft": 320})
    with pytest.raises(ConfigError, match="n_fft 320 is not a power of two"):
        write_frontend(tmp_path, odd, compute_arrays(odd, librosa_filterbank(odd)), file.mean, file.std)
    assert not list(tmp_path.iterdir())
