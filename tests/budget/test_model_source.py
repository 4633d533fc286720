"""Networks as a user names them: functions, model files, ONNX files; the verb check-budget."""

from pathlib import Path

import pytest
import torch
from helpers import onnx_models
from helpers.cli import run_cli
from torch import nn

from asc_mrkd.budget import check_budget
from asc_mrkd.budget.model_source import resolve_model
from asc_mrkd.deploy.model_file import load_model, save_model
from asc_mrkd.errors import ConfigError, DamagedFileError, ModelError

OWN = """
from dataclasses import dataclass

from neighbour import WIDTH
from torch import nn


@dataclass
class Options:
    width: "int" = WIDTH


def network():
    return nn.Linear(Options().width, 2)


def nothing():
    return 3


def broken():
    raise KeyError("no weights")


def leaves():
    raise SystemExit(0)


value = 7
"""


@pytest.fixture
def own(tmp_path) -> Path:
    (tmp_path / "neighbour.py").write_text("WIDTH = 5\n")
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path / "own.py"


def test_a_slip_in_the_width_asks_for_no_memory():
    with pytest.raises(ModelError, match=r"cp_resnet would have [\d,]{14,} parameters"):
        check_budget("cp_resnet:width=100000")


def test_function_of_a_python_file(own):
    model, shape = resolve_model(f"{own}:network")
    assert isinstance(model, nn.Linear)
    assert (model.in_features, shape) == (5, None)
    code, out, _ = run_cli("check-budget", f"{own}:network", "--input-shape", "5")
    assert (code, "48 bytes" in out) == (0, True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (":nothing", "nothing returned int"),
        (":broken", "failed: KeyError"),
        (":leaves", "failed: SystemExit: 0"),
        (":value", "has no function value"),
        (":missing", "has no function missing"),
        ("", "needs the name of the function"),
    ],
)
def test_functions_that_make_no_network(own, name, message):
    with pytest.raises(ModelError, match=message) as caught:
        resolve_model(f"{own}{name}")
    assert f"write {own}:function" in caught.value.hint
    assert run_cli("check-budget", f"{own}{name}").code == 2


def test_a_missing_python_file(tmp_path):
    with pytest.raises(ModelError, match="there is no file"):
        resolve_model(f"{tmp_path / 'nowhere.py'}:network")


def test_model_file_is_counted_as_it_is_stored(trained, tmp_path):
    file = load_model(trained)
    save_model(tmp_path / "half.safetensors", type(file)(**{**vars(file), "dtype": "float16"}))
    whole = check_budget(trained, "dcase2021-task1a")
    half = check_budget(tmp_path / "half.safetensors", "dcase2021-task1a")
    assert next(resolve_model(tmp_path / "half.safetensors")[0].parameters()).dtype == torch.float16
    assert {row.dtype for row in half.layers} == {"float16"}
    assert half.bytes < whole.bytes
    assert half.multiply_adds == whole.multiply_adds > 0


@pytest.fixture
def onnx_file(tmp_path) -> Path:
    return onnx_models.write_baseline_2022(tmp_path / "model.onnx")


def test_onnx_file_and_folder_with_one(onnx_file):
    for source in (onnx_file, str(onnx_file), onnx_file.parent):
        verdict = check_budget(source, "dcase2025-task1")
        assert (verdict.bytes, verdict.within, verdict.buffers) == (46_512, True, 0)


def test_onnx_file_fixes_its_input(onnx_file):
    with pytest.raises(ConfigError, match="fixes the shape"):
        check_budget(onnx_file, input_shape=(1, 40, 51))


def test_damaged_onnx_file(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(DamagedFileError):
        check_budget(tmp_path / "model.onnx")


@pytest.mark.parametrize("shape", ["1,forty,500", "1,0,2", "1,2x", ","])
def test_wrong_input_shape(shape):
    code, _, err = run_cli("check-budget", "cp_resnet", f"--input-shape={shape}")
    assert (code, "--input-shape 1,40,500" in err) == (2, True)


def test_a_shape_that_fits_no_network_is_refused():
    network = nn.Conv2d(1, 2, 3)
    with pytest.raises(ModelError, match="does not accept an input of 1 x 2: ") as caught:
        check_budget(network, input_shape=(1, 2))
    assert "(channel, mel, frame)" in caught.value.hint
    for shape in ((1, 10**6, 10**6), (1, 0, 65)):
        with pytest.raises(
            ConfigError, match=f"{shape[1]} x {shape[2]} has no values or more than 268,435,456"
        ) as refused:
            check_budget(network, input_shape=shape)
        assert "--input-shape 1,256,65" in refused.value.hint


def test_rules_are_listed():
    code, out, _ = run_cli("check-budget", "--list-rules")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    for expected in (
        "dcase2020-task1b  512,000",
        "dcase2025-task1   128,000    30",
        "model_size_calculation.py",
        "131,072",
    ):
        assert expected in out
    assert '"multiply_adds": 30000000' in run_cli("check-budget", "--list-rules", "--json").out


def test_no_model_is_wrong_usage():
    code, _, err = run_cli("check-budget")
    assert (code, "--list-rules" in err) == (2, True)
