"""`asc-mrkd export`: one file that computes what the network does, and a word on how that was checked."""

import json

import numpy as np
import pytest
import torch
from helpers.cli import run_cli
from helpers.progress import RecordedProgress

from asc_mrkd import Predictor, check_budget, export
from asc_mrkd.compression import exporter
from asc_mrkd.deploy.model_file import load_model
from asc_mrkd.errors import ConfigError, ModelError


def test_float32_computes_what_the_network_does(trained, tmp_path):
    progress = RecordedProgress()
    result = export(trained, tmp_path / "new" / "board.onnx", progress=progress)
    assert progress.tasks == [("exporting", 3, "parts", 0, [1, 1, 1])]
    file = load_model(trained)
    x = torch.randn(3, *file.input_shape)
    with torch.no_grad():
        expected = file.model(x).numpy()
    np.testing.assert_allclose(load_model(result.path).model(x).numpy(), expected, rtol=0, atol=1e-4)
    assert Predictor(result.path).classes == file.classes
    assert result.largest_difference < 1e-4
    assert (result.compared, result.same_decisions) == (16, 16)
    assert result.file_bytes == result.path.stat().st_size
    assert list(result.path.parent.iterdir()) == [result.path]


def test_a_model_file_needs_no_data(trained, tmp_path):
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((trained / "seed0/model.safetensors").read_bytes())
    assert export(alone, tmp_path / "board.onnx").inputs == "random inputs"


def test_int8_is_calibrated_as_compress_does_it(trained, tmp_path):
    code, out, err = run_cli("export", trained, "--out", tmp_path / "int8.onnx", "--precision", "int8", "--json")
    assert code == 0, err
    record = json.loads(out)
    assert (record["precision"], record["inputs"]) == ("int8", "test samples")
    assert record["same_decisions"] >= 0.8 * record["compared"]
    assert run_cli("compress", trained, "int8", "--out", tmp_path / "run").code == 0
    assert (tmp_path / "int8.onnx").read_bytes() == (tmp_path / "run/seed0/model.onnx").read_bytes()
    assert check_budget(tmp_path / "int8.onnx").bytes < check_budget(trained).bytes / 2


def test_the_check_is_printed(trained, tmp_path):
    code, out, _ = run_cli("export", trained, "--out", tmp_path / "board.onnx")
    assert code == 0
    assert out.startswith(f"{tmp_path / 'board.onnx'}: float32, ")
    assert "compared with the network on 16 random inputs: logits differ by up to " in out
    assert "16 of 16 decisions are the same" in out


def test_a_wrong_file_is_not_kept(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(exporter, "TOLERANCE", -1.0)
    with pytest.raises(ModelError, match="computes something else"):
        export(trained, tmp_path / "board.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "onx"}, "no format 'onx'"),
        ({"precision": "int9"}, "no precision 'int9'"),
        ({"out": "board.tflite"}, "does not end in .onnx"),
    ],
)
def test_wrong_options(trained, tmp_path, options, message):
    arguments = {"out": "board.onnx"} | options
    arguments["out"] = tmp_path / arguments["out"]
    with pytest.raises(ConfigError, match=message):
        export(trained, **arguments)
    assert not list(tmp_path.iterdir())


def test_an_onnx_file_is_not_exported_again(trained, tmp_path):
    export(trained, tmp_path / "board.onnx")
    with pytest.raises(ModelError, match="already"):
        export(tmp_path / "board.onnx", tmp_path / "again.onnx")
