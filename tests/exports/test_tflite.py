"""`asc-mrkd export --to tflite`: a file for LiteRT and TensorFlow Lite Micro, in float32 and in int8 alone."""

import functools
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.cli import run_cli, run_json
from torch import nn

from asc_mrkd import check_budget, export
from asc_mrkd.deploy.model_file import ModelFile
from asc_mrkd.deploy.onnx_file import plain_copy
from asc_mrkd.errors import ConfigError, MissingExtraError, ModelError
from asc_mrkd.exports import parity, parity_check, tflite
from asc_mrkd.models import build_model
from asc_mrkd.models.cp_resnet import DampedConv2d

INSTALLED = find_spec("litert_torch") is not None and find_spec("ai_edge_quantizer") is not None

needs_extra = pytest.mark.skipif(not INSTALLED, reason="pip install 'asc-mrkd[tflite]'")
needs_micro = pytest.mark.skipif(find_spec("tflite_micro") is None, reason="tflite-micro is not installed")


def in_a_file(network: nn.Module, shape: tuple[int, ...] = (1, 8, 8)) -> ModelFile:
    one = np.ones((1, 1, 1), np.float32)
    return ModelFile(network.eval(), {"name": "own"}, ["a", "b"], shape, 0 * one, one, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "float16"}, "there is no tflite precision 'float16'"),
        ({"with_frontend": True}, r"a \.tflite file has no front end in it"),
    ],
)
def test_what_a_tflite_file_is_not(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        export(tmp_path / "run", tmp_path / "board", to="tflite", **options)
    assert not list(tmp_path.iterdir())


def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "litert_torch", None)
    with pytest.raises(
        MissingExtraError, match="an export to tflite needs litert_torch and ai_edge_quantizer"
    ) as raised:
        export(tmp_path / "run", tmp_path / "board", to="tflite")
    assert raised.value.hint == "pip install 'asc-mrkd[tflite]'"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        (
            "Lowering not found: aten.i0.default\n\nWhile executing",
            r"operator aten\.i0\.default, which \.tflite does not",
        ),
        ("Could not guard\non it", r"cannot be written as \.tflite: RuntimeError: Could not guard$"),
    ],
)
def test_a_network_that_is_not_converted_is_refused_by_its_operator(tmp_path, monkeypatch, reason, message):
    def convert(*_: object) -> None:
        raise RuntimeError(reason)

    libraries = [SimpleNamespace(convert=convert), None, None, None, None]
    monkeypatch.setattr(tflite, "import_tflite", lambda: libraries)
    with pytest.raises(ModelError, match=message):
        tflite.save_tflite(tmp_path / "model.tflite", in_a_file(nn.Flatten()))
    assert not list(tmp_path.iterdir())


def test_integers_stand_for_real_values():
    tensor = {"dtype": np.int8, "quantization": (0.5, -3)}
    values = np.array([0.0, 0.5, -0.74, 100.0, -100.0], np.float32)
    stored = parity_check.as_stored(values, tensor)
    assert stored.tolist() == [-3, -2, -4, 127, -128]
    assert stored.dtype == np.int8
    assert parity_check.as_real(stored, tensor).tolist() == [0.0, 0.5, -0.5, 65.0, -62.5]
    real = {"dtype": np.float32, "quantization": (0.0, 0)}
    assert parity_check.as_real(parity_check.as_stored(values, real), real).tolist() == values.tolist()


def test_the_network_to_convert_has_its_damping_in_the_weights():
    network = build_model("cp_resnet_damped", 3, in_channels=1, width=4, blocks=[1, 1, 1]).eval()
    plain = plain_copy(network)
    x = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(plain(x), network(x), rtol=0, atol=0)
    assert not [layer for layer in plain.modules() if isinstance(layer, DampedConv2d)]


def test_an_arena_that_nobody_reports_has_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(tflite, "find_spec", lambda name: None)
    assert tflite.measure_arena(tmp_path / "model.tflite") == (None, "tflite-micro is not installed")
    program = "import sys; sys.stderr.write({!r})"
    monkeypatch.setattr(tflite, "find_spec", lambda name: name)
    for printed, found in [
        ("[...] Arena allocation total 606576 bytes\n[...] Arena allocation head 585216 bytes\n", (606576, "")),
        ("Didn't find op for builtin opcode 'GELU'\n", (None, "TensorFlow Lite Micro does not have the operator GELU")),
        ("RuntimeError\n", (None, "TensorFlow Lite Micro does not run it")),
    ]:
        monkeypatch.setattr(tflite, "MICRO", program.format(printed))
        assert tflite.measure_arena(tmp_path / "model.tflite") == found


@pytest.fixture(scope="module")
def converted_once():
    """Let both precisions share what litert-torch converts, which takes seconds."""
    converter, *others = tflite.import_tflite()
    contents: dict[str, SimpleNamespace] = {}

    def convert_once(network: nn.Module, example: tuple) -> SimpleNamespace:
        key = str(network)
        if key not in contents:
            contents[key] = converter.convert(network, example)
        return contents[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tflite, "import_tflite", lambda: [SimpleNamespace(convert=convert_once), *others])
        patch.setattr(parity, "render_clip", functools.cache(parity.render_clip))
        yield


@needs_extra
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_file_computes_what_the_network_does(trained, precision, tmp_path, converted_once, capfd):
    code, record = run_json("export", trained, "--to", "tflite", "--precision", precision, "--out", tmp_path / "board")
    assert code == 0
    assert capfd.readouterr() == ("", "")  # the converter and LiteRT print nothing
    folder = tmp_path / "board"
    assert {path.name for path in folder.iterdir()} == {
        *("model.tflite", "model.json", "frontend.npz", "parity", "report.json", "README.md")
    }
    assert (record["to"], record["inputs"], record["compared"]) == ("tflite", "test clips", 6)
    assert record["same_decisions"] >= (6 if precision == "float32" else 5)
    assert record["largest_difference"] < (1e-4 if precision == "float32" else 0.1)
    verdict = check_budget(trained, precision=precision)
    assert (record["ram"], record["multiply_adds"]) == (verdict.memory.peak, verdict.multiply_adds)
    assert record["flash"] == record["file_bytes"] == (folder / "model.tflite").stat().st_size
    report = json.loads((folder / "report.json").read_text())
    assert report["ram"] == max(layer["live_bytes"] for layer in report["ram_layers"])
    assert parity_check.compare(folder / "parity") == []
    card = (folder / "README.md").read_text()
    assert f"{record['same_decisions']} of 6 test clips get the same class" in card
    assert "| arena | " in card


@needs_extra
@needs_micro
@pytest.mark.slow
def test_tensorflow_lite_micro_reports_its_arena_and_computes_the_same(trained, tmp_path, converted_once):
    outcome = run_cli("export", trained, "--to", "tflite", "--precision", "int8", "--out", tmp_path / "board")
    report = json.loads((tmp_path / "board/report.json").read_text())
    assert report["ram"] < report["arena"] < 4 * report["ram"]
    assert f"arena {report['arena'] / 1024:.4g} KB" in outcome.out
    assert f"| arena | {report['arena']:,} bytes (" in (tmp_path / "board/README.md").read_text()
    with np.load(tmp_path / "board/parity/parity.npz") as data:
        assert_same_on_micro(tmp_path / "board/model.tflite", parity_check.normalise(data))


@needs_extra
@needs_micro
@pytest.mark.slow
def test_large_weights_lie_where_tensorflow_lite_micro_finds_them(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 4500), nn.ReLU(), nn.Linear(4500, 2))
    inputs = np.random.default_rng(0).normal(size=(4, 1, 8, 8)).astype(np.float32)
    path = tmp_path / "model.tflite"
    tflite.save_tflite(path, in_a_file(network), [one[None] for one in inputs])
    arena, _ = tflite.measure_arena(path)
    assert 4500 < arena < 64 * 4500 < path.stat().st_size  # activations, but no weights
    assert_same_on_micro(path, inputs)
    with torch.no_grad():
        expected = network(torch.from_numpy(inputs))
    np.testing.assert_allclose(parity_check.run_tflite(path.read_bytes(), inputs), expected, atol=0.02)


def assert_same_on_micro(model: Path, inputs: np.ndarray) -> None:
    """Check that TensorFlow Lite Micro computes the logits that LiteRT computes."""
    found = np.concatenate([run_micro(model, one[None]) for one in inputs])
    np.testing.assert_allclose(found, parity_check.run_tflite(model.read_bytes(), inputs), rtol=0, atol=1e-6)


def run_micro(model: Path, x: np.ndarray) -> np.ndarray:
    """Return the logits that TensorFlow Lite Micro computes."""
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_file(str(model), arena_size=2**26)
    interpreter.set_input(parity_check.as_stored(x, one_scale(interpreter.get_input_details(0))), 0)
    interpreter.invoke()
    return parity_check.as_real(interpreter.get_output(0), one_scale(interpreter.get_output_details(0)))


def one_scale(tensor: dict) -> dict:
    """Return the description of a tensor as LiteRT gives it."""
    numbers = tensor["quantization_parameters"]
    return {"dtype": tensor["dtype"], "quantization": (numbers["scales"][0], int(numbers["zero_points"][0]))}


class Logarithm(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.log1p(x.abs()).mean((2, 3))


class Bessel(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.i0e(x).mean((2, 3))


@needs_extra
@pytest.mark.slow
def test_operators_that_the_format_or_int8_lack_are_named(tmp_path):
    with pytest.raises(ModelError, match=r"operator aten\.special_i0e\.default, which \.tflite does not have"):
        tflite.save_tflite(tmp_path / "model.tflite", in_a_file(Bessel()))
    with pytest.raises(ModelError, match=r"operators that \.tflite does not have in int8: .*LOG"):
        tflite.save_tflite(tmp_path / "model.tflite", in_a_file(Logarithm()), [np.ones((1, 1, 8, 8), np.float32)])
    assert not list(tmp_path.iterdir())
