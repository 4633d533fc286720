"""ONNX: the exported network is the network, in float32 and in int8, and a damaged file is named."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
import soundfile as sf
import torch
from torch import nn

from asc_mrkd import Predictor
from asc_mrkd.compression.quantise import quantise_onnx, save_int8
from asc_mrkd.deploy.model_file import ModelFile, load_model, save_model
from asc_mrkd.deploy.onnx_file import load_onnx, read_description, save_onnx, write_onnx
from asc_mrkd.errors import DamagedFileError, MissingExtraError, ModelError, RunError
from asc_mrkd.features import FrontendSpec
from asc_mrkd.files import write_checksum
from asc_mrkd.models import build_model

pytestmark = pytest.mark.slow

SPEC = FrontendSpec(
    name="tiny", sample_rate=8_000, channels=2, clip_seconds=1, n_fft=256, hop_length=128, n_mels=64, fmax=4000
)
CLASSES = ["bus", "park", "tram"]
OPTIONS = {"width": 16, "blocks": [2, 1, 1]}


def spectrograms(count, seed):
    """Return normalised inputs (count, 2, 64, frame) with more energy in the band of their class, and the classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    x = rng.standard_normal((count, *SPEC.shape))
    for number, label in enumerate(labels):
        x[number, :, 20 * label : 20 * label + 16] += 0.35
    return x.astype(np.float32), labels


@pytest.fixture(scope="module")
def network():
    """A network of damped convolutions that has learnt to tell the classes apart."""
    torch.manual_seed(0)
    network = build_model("cp_resnet_damped", num_classes=3, **OPTIONS)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for step in range(20):
        x, labels = map(torch.from_numpy, spectrograms(24, seed=step))
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), labels).backward()
        optimizer.step()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # statistics of the last weights, from one batch
            layer.reset_running_stats()
    with torch.no_grad():
        network(torch.from_numpy(spectrograms(48, seed=99)[0]))
    return network.eval()


@pytest.fixture(scope="module")
def model_file(network):
    mean, std = np.full((1, 64, 1), -3, np.float32), np.linspace(0.5, 2, 64, dtype=np.float32).reshape(1, 64, 1)
    architecture = {"name": "cp_resnet_damped", "num_classes": 3, "options": OPTIONS}
    return ModelFile(network, architecture, CLASSES, SPEC.shape, mean, std, SPEC, dtype="float16")


@pytest.fixture(scope="module")
def exported(model_file, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    save_onnx(path, model_file)
    return path


@pytest.fixture(scope="module")
def quantised(exported):
    x, _ = spectrograms(30, seed=100)
    path = exported.with_name("int8.onnx")
    quantise_onnx(exported, path, (x[i : i + 1] for i in range(len(x))))
    return path


def logits(model, x):
    with torch.no_grad():
        return model(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize("batch", [1, 3])
def test_the_export_computes_what_the_network_does(exported, network, batch):
    x, _ = spectrograms(batch, seed=200)
    np.testing.assert_allclose(logits(load_onnx(exported).model, x), logits(network, x), rtol=0, atol=1e-4)


def test_the_export_holds_what_a_board_stores(exported, network):
    graph = onnx.load(exported).graph
    onnx.checker.check_model(onnx.load(exported), full_check=True)
    operators = {node.op_type for node in graph.node}
    assert operators == {"Conv", "Relu", "Add", "MaxPool", "ReduceMean"}
    values = sum(np.prod(tensor.dims) for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT)
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert values == sum(layer.weight.numel() + layer.out_channels for layer in convolutions)


def test_the_description_comes_back(exported, quantised, model_file):
    for path in (exported, quantised):
        found = load_model(path)
        assert found.architecture == model_file.architecture
        assert (found.classes, found.input_shape) == (CLASSES, SPEC.shape)
        assert found.frontend == SPEC
        assert found.dtype == "float32"
        np.testing.assert_array_equal(found.mean, model_file.mean)
        np.testing.assert_array_equal(found.std, model_file.std)


def test_frequency_position_and_decomposition_are_exported_in_silence(model_file, tmp_path, capfd, recwarn):
    options = {"width": 4, "blocks": [1, 1, 0], "frequency_aware": True, "decomposition": 2, "init": "kaiming"}
    network = build_model("cp_resnet_damped", num_classes=3, **options).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    save_onnx(tmp_path / "m.onnx", replace(model_file, model=network))
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert "DampedConv2d" in {type(layer).__name__ for layer in network.modules()}
    x, _ = spectrograms(3, seed=0)
    expected = logits(network, x)
    np.testing.assert_allclose(logits(load_onnx(tmp_path / "m.onnx").model, x), expected, rtol=1e-4, atol=1e-4)


def test_int8_decides_as_float_does_and_is_smaller(exported, quantised, network):
    x, labels = spectrograms(300, seed=300)
    of_float, of_int8 = logits(network, x).argmax(1), logits(load_onnx(quantised).model, x).argmax(1)
    assert (of_float == labels).mean() > 0.9, "the network has not learnt"
    assert (of_int8 == of_float).mean() > 0.95
    assert (of_int8 == labels).mean() > (of_float == labels).mean() - 0.02
    stored = {tensor.name: tensor for tensor in onnx.load(quantised).graph.initializer}
    weights = [tensor for name, tensor in stored.items() if name.endswith(".weight_quantized")]
    assert len(weights) == 12
    assert {tensor.data_type for tensor in weights} == {onnx.TensorProto.INT8}
    scales = [stored[tensor.name.replace("_quantized", "_scale")].dims for tensor in weights]
    assert [list(dims) for dims in scales] == [list(tensor.dims)[:1] for tensor in weights], "a scale a channel"
    assert quantised.stat().st_size < 0.7 * exported.stat().st_size, "of 20,000 values scales are a good part"


@pytest.mark.parametrize("kind", ["exported", "quantised"])
def test_predictor_takes_it(kind, request, model_file, network, tmp_path):
    rng = np.random.default_rng(0)
    sf.write(tmp_path / "a.wav", 0.1 * rng.standard_normal((12_000, 2)), 8_000)
    probabilities = Predictor(request.getfixturevalue(kind)).predict_file(tmp_path / "a.wav")
    assert probabilities.sum() == pytest.approx(1, abs=1e-9)
    assert Predictor(request.getfixturevalue(kind)).classes == CLASSES


WITHOUT = ("torch", "pandas", "numba", "librosa", "scipy", "safetensors", "PIL", "matplotlib", "requests", "onnx")
"""Libraries that a prediction with an .onnx file must do without."""

ALONE = """
import sys
for name in {without}:
    sys.modules[name] = None
sys.argv = ["asc-mrkd", "predict", {model!r}, {sound!r}, "--json"]
from asc_mrkd.cli import main
main()
"""


def test_an_onnx_file_is_predicted_without_torch(exported, model_file, tmp_path):
    rng = np.random.default_rng(0)
    sf.write(tmp_path / "a.wav", 0.1 * rng.standard_normal((12_000, 2)), 8_000)
    code = ALONE.format(without=WITHOUT, model=str(exported), sound=str(tmp_path / "a.wav"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [record] = json.loads(done.stdout)
    save_model(tmp_path / "m.safetensors", replace(model_file, dtype="float32"))
    predictor = Predictor(tmp_path / "m.safetensors")
    expected = dict(zip(predictor.classes, predictor.predict_file(tmp_path / "a.wav"), strict=True))
    found = {scene["scene"]: scene["probability"] for scene in record["scenes"]}
    assert found == pytest.approx(expected, abs=1e-4)


def test_arrays_that_do_not_fit_are_refused(exported, tmp_path):
    description = read_description(onnx.load(exported))
    del description["sha256"]
    arrays = description["arrays"]
    for key, text in (("window", ""), ("counts", arrays["starts"]), ("factors", "AAAA"), ("offset", "?")):
        odd = description | {"arrays": arrays | {key: text}}
        write_onnx(tmp_path / "odd.onnx", onnx.load(exported), odd)
        with pytest.raises(DamagedFileError, match=r"odd\.onnx.*front end"):
            load_onnx(tmp_path / "odd.onnx")


def test_a_damaged_file_is_named(exported, tmp_path):
    data, path = exported.read_bytes(), tmp_path / "bad.onnx"
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    for content in (flipped, data[:middle], data[:-1], b"", b"not a model", b"\x00" * 100):
        path.write_bytes(content)
        with pytest.raises(DamagedFileError, match=r"bad\.onnx"):
            load_model(path)


def test_another_file_than_its_checksum_says_is_refused(exported, quantised, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(exported.read_bytes())
    write_checksum(path)
    assert load_onnx(path).classes == CLASSES
    path.write_bytes(quantised.read_bytes())
    for read in (load_onnx, Predictor):
        with pytest.raises(RunError, match=r"model\.onnx is not the network that was written there"):
            read(path)


def test_another_tool_may_change_it_when_it_takes_the_checksum_out(exported, tmp_path):
    changed, path = onnx.load(exported), tmp_path / "foreign.onnx"
    changed.producer_name = "another tool"
    onnx.save(changed, path)
    with pytest.raises(DamagedFileError, match="checksum"):
        load_onnx(path)
    description = json.loads(changed.metadata_props[0].value)
    del description["sha256"], changed.metadata_props[:]
    onnx.save(changed, path)
    with pytest.raises(DamagedFileError, match=r"foreign\.onnx.*no description"):
        load_onnx(path)
    changed.metadata_props.add(key="asc_mrkd", value=json.dumps(description))
    onnx.save(changed, path)
    assert load_onnx(path).classes == CLASSES


def test_misuse_is_refused(exported, model_file, tmp_path):
    with pytest.raises(ModelError, match="already"):
        save_onnx(tmp_path / "again.onnx", replace(model_file, model=load_onnx(exported).model))
    with pytest.raises(ModelError, match="calibrate"):
        quantise_onnx(exported, tmp_path / "q.onnx", [])
    with pytest.raises(ModelError, match="takes inputs of 2 x 64 x"):
        load_onnx(exported).model(torch.zeros(1, 2, 32, 63))
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_is_named(exported, model_file, tmp_path, monkeypatch):
    for name in ("onnx", "onnxruntime", "onnxruntime.quantization"):
        monkeypatch.setitem(sys.modules, name, None)
    out = tmp_path / "out.onnx"
    for call, arguments in (
        (load_model, [exported]),
        (save_onnx, [out, model_file]),
        (quantise_onnx, [exported, out, []]),
    ):
        with pytest.raises(MissingExtraError, match="needs onnx") as raised:
            call(*arguments)
        assert raised.value.hint == "pip install 'asc-mrkd[deploy]'"


class OtherMean(nn.Module):
    """A network that torch writes wrongly: its average forgets the divisor."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(x, x.shape[2:], divisor_override=5).flatten(1)


def test_a_graph_that_computes_something_else_is_refused_in_every_precision(model_file, tmp_path):
    file = replace(model_file, model=OtherMean().eval(), input_shape=(3, 4, 4))
    for write, arguments in ((save_onnx, []), (save_int8, [None])):  # int8 before it is calibrated
        with pytest.raises(ModelError, match="the exported network computes something else: logits differ by up to"):
            write(tmp_path / "m.onnx", file, *arguments)
    assert not list(tmp_path.iterdir())


def test_quantising_says_nothing(exported, tmp_path, capfd, recwarn):
    quantise_onnx(exported, tmp_path / "q.onnx", [spectrograms(1, seed=0)[0]])
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
