"""ONNX files counted: the organisers' TFLite figures, and the values that onnx itself reads."""

import sys
from math import prod

import numpy as np
import onnx
import pytest
import torch
from helpers import onnx_models
from onnx import TensorProto, numpy_helper
from torch import nn

from asc_mrkd.budget import count_layers
from asc_mrkd.budget.onnx import count_onnx
from asc_mrkd.compression.quantise import quantise_onnx
from asc_mrkd.deploy.model_file import ModelFile
from asc_mrkd.deploy.onnx_file import save_onnx
from asc_mrkd.errors import DamagedFileError, MissingExtraError
from asc_mrkd.models import build_model

pytestmark = pytest.mark.slow

SHAPE = (2, 64, 64)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    options = {"width": 8, "blocks": [2, 1, 1], "init": "kaiming"}
    network = build_model("cp_resnet_damped", num_classes=3, **options)
    network(torch.randn(2, *SHAPE))  # from here on batch normalisation shifts, and a folded bias is not zero
    return network.eval()


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    """The same network in float32 and in int8."""
    folder = tmp_path_factory.mktemp("onnx")
    zero, one = np.zeros((1, 64, 1), np.float32), np.ones((1, 64, 1), np.float32)
    architecture = {"name": "cp_resnet_damped", "num_classes": 3, "options": {}}
    save_onnx(folder / "float.onnx", ModelFile(network, architecture, ["a", "b", "c"], SHAPE, zero, one, None))
    quantise_onnx(folder / "float.onnx", folder / "int8.onnx", [np.ones((1, *SHAPE), np.float32)])
    return folder


def test_the_tflite_baseline_of_2022_as_the_organisers_print_it(tmp_path):
    rows = count_onnx(onnx_models.write_baseline_2022(tmp_path / "b.onnx"), macs="nessi")
    assert [row.bytes for row in rows if row.parameters] == [848, 12_608, 25_216, 6_800, 1_040]
    assert sum(row.bytes for row in rows) == 46_512
    assert [row.multiply_adds for row in rows] == [1_599_360, 25_589_760, 32_000, 2_007_040, 2_560, 3_200, 1_000]
    assert sum(row.multiply_adds for row in rows) == 29_234_920
    assert {row.dtype for row in rows} == {"int8+int32", ""}


def test_the_tflite_baseline_of_2021_in_float16(tmp_path):
    rows = count_onnx(onnx_models.write_baseline_2021(tmp_path / "b.onnx"))
    published = [784 + 16, 12_544 + 16, 25_088 + 32, 6_400 + 100, 1_000 + 10]
    assert [row.parameters for row in rows] == published
    assert (sum(published), sum(row.bytes for row in rows)) == (45_990, 91_980)
    assert {row.dtype for row in rows} == {"float16"}


def test_baseline_without_the_quirk_counts_as_torch_does(tmp_path):
    layers = [nn.Conv2d(1, 16, 7, padding=3), nn.Conv2d(16, 16, 7, padding=3), nn.MaxPool2d(5)]
    layers += [nn.Conv2d(16, 32, 7, padding=3), nn.MaxPool2d((4, 10)), nn.Flatten(), nn.Linear(64, 100)]
    torch_rows = count_layers(nn.Sequential(*layers, nn.Linear(100, 10)), (1, 40, 51))
    rows = count_onnx(onnx_models.write_baseline_2022(tmp_path / "b.onnx"))
    assert [row.multiply_adds for row in rows] == [row.multiply_adds for row in torch_rows]
    assert [row.parameters for row in rows] == [row.parameters for row in torch_rows]


def test_an_exported_network_has_its_convolutions_and_a_folded_bias(exported, network):
    rows = count_onnx(exported / "float.onnx")
    plain = {row.name: row for row in count_layers(network, SHAPE) if not row.is_batch_norm}
    assert {row.name for row in rows} == set(plain)
    for row in rows:
        weights, channels = plain[row.name].parameters, network.get_submodule(row.name).out_channels
        assert row.parameters == weights + channels
        assert row.multiply_adds * weights == plain[row.name].multiply_adds * (weights + channels)


@pytest.mark.parametrize(("file", "widths"), [("float.onnx", {"float32": 4}), ("int8.onnx", {"int8": 1, "int32": 4})])
def test_the_bytes_are_those_of_the_initialisers(exported, file, widths):
    graph = onnx.load(exported / file).graph
    scales = {name for item in graph.node if "Linear" in item.op_type for name in item.input[1:]}
    kept = [t for t in graph.initializer if t.name not in scales and t.data_type != TensorProto.INT64]
    rows = count_onnx(exported / file)
    assert {row.dtype for row in rows} == {"+".join(widths)}
    assert sum(row.parameters for row in rows) == sum(prod(t.dims) for t in kept)
    assert sum(row.bytes for row in rows) == sum(len(numpy_helper.to_array(t).tobytes()) for t in kept)


def test_int8_takes_one_byte_per_weight_and_four_per_bias(exported, network):
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    expected = sum(layer.weight.numel() + 4 * layer.out_channels for layer in convolutions)
    assert sum(row.bytes for row in count_onnx(exported / "int8.onnx")) == expected


def test_precision_recounts_float_and_quantised_values(exported):
    totals = {name: [] for name in ("float32", "float16", "int8")}
    for file in ("float.onnx", "int8.onnx"):
        for precision, found in totals.items():
            rows = count_onnx(exported / file, precision)
            assert {row.dtype for row in rows} == {precision}
            found.append(sum(row.bytes for row in rows) / sum(row.parameters for row in rows))
    assert totals == {"float32": [4, 4], "float16": [2, 2], "int8": [1, 1]}


@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_a_damaged_file_is_named(tmp_path, content):
    path = onnx_models.write_baseline_2022(tmp_path / "bad.onnx")
    path.write_bytes(path.read_bytes()[:30_000] if content is None else content)
    with pytest.raises(DamagedFileError, match=r"bad\.onnx"):
        count_onnx(path)


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match="needs onnx") as raised:
        count_onnx(tmp_path / "m.onnx")
    assert "asc-mrkd[deploy]" in raised.value.hint
