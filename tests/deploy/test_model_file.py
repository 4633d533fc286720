"""The model file: odd content with a right checksum is refused by our errors alone, and without asking for memory."""

import copy
import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from helpers.cli import run_cli

from asc_mrkd.deploy.description import KEY
from asc_mrkd.deploy.model_file import ModelFile, _checksum, describe, load_model, save_model
from asc_mrkd.deploy.onnx_file import write_onnx
from asc_mrkd.errors import AscMrkdError, DamagedFileError
from asc_mrkd.features import FrontendSpec
from asc_mrkd.models import build_model

pytestmark = pytest.mark.slow

SPEC = FrontendSpec(
    name="tiny", sample_rate=8_000, channels=2, clip_seconds=1, n_fft=256, hop_length=128, n_mels=16, fmax=4000
)
OPTIONS = {"width": 4, "blocks": [1, 0, 0]}
ODD = (
    None,
    True,
    -1,
    0,
    1,
    10**9,
    10**400,
    0.5,
    1e308,
    float("nan"),
    float("inf"),
    "x",
    "",
    [],
    [1],
    [[]],
    {},
    {"a": 1},
)


@pytest.fixture(scope="module")
def file() -> ModelFile:
    torch.manual_seed(0)
    architecture = {"name": "cp_resnet", "num_classes": 3, "options": OPTIONS}
    one = np.ones((1, 16, 1), np.float32)
    network = build_model("cp_resnet", 3, **OPTIONS).eval()
    return ModelFile(network, architecture, ["a", "b", "c"], SPEC.shape, 0 * one, one, SPEC)


def write(path: Path, file: ModelFile, description: object, tensors: dict | None = None) -> Path:
    """Write a model file with any description, and the checksum that belongs to it."""
    tensors = file.model.state_dict() if tensors is None else tensors
    if isinstance(description, dict):
        description = {**description, "sha256": _checksum(tensors, description)}
    path.write_bytes(safetensors.torch.save(tensors, metadata={KEY: json.dumps(description)}))
    return path


def places(value: object, place: tuple = ()) -> Iterator[tuple]:
    """Yield the keys that lead to every value in nested dicts and lists, of a list to the first."""
    yield place
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*place, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*place, 0))


def damaged(description: dict) -> Iterator[tuple[tuple, object]]:
    """Yield descriptions with one value removed or replaced by an odd one, and the place and the value."""
    for place in places(description):
        for value in (..., *ODD):
            result = {"": copy.deepcopy(description)}
            inner = result
            *path, last = ("", *place)
            for key in path:
                inner = inner[key]
            if value is not ...:
                inner[last] = value
            elif place:
                del inner[last]
            if place or value is not ...:
                yield (place, value), result[""]


def test_reading_a_model_leaves_the_random_numbers_as_they_were(file, tmp_path):
    save_model(tmp_path / "m.safetensors", file)
    state = torch.get_rng_state()
    load_model(tmp_path / "m.safetensors")
    assert torch.equal(torch.get_rng_state(), state)


def test_f3_3_odd_descriptions_raise_our_errors_alone(file, tmp_path):
    accepted = []
    count = 0
    for change, description in damaged(describe(file)):
        count += 1
        path = write(tmp_path / "model.safetensors", file, description)
        try:
            found = load_model(path)
        except AscMrkdError as error:
            assert str(path) in str(error), change  # noqa: PT017
            continue
        accepted.append(change[0])
        assert (found.model.head[1].num_features, len(found.classes)) == (3, 3)
        assert np.isfinite(found.mean).all()
        assert (found.std > 0).all()
        assert found.frontend is None or found.frontend.shape == found.input_shape
    assert count > 500
    names = {".".join(map(str, place)) for place in accepted}
    assert not names & {"", "architecture", "architecture.name", "architecture.num_classes", "classes", "input_shape"}


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("std", [[[0.0]] * 16], "std has values that are not positive"),
        ("mean", [["text"]], "mean is not an array of finite numbers"),
        ("mean", [[[0.0]] * 15], "mean is not an array of finite numbers that fits"),
        ("input_shape", [2, 16, 64], "the front end gives 2 x 16 x 63"),
        ("classes", ["a", "b"], "2 class names for 3"),
        ("classes", ["a", "b", "b"], "3 class names for 3 different"),
        ("architecture.num_classes", 10**9, "1000000000 different classes"),
        ("architecture.options.width", 8, "its weights are not those of cp_resnet"),
        ("architecture.options.widht", 4, "has no option 'widht'"),
        ("architecture.options.num_classes", 4, "its network cannot be built"),
        ("frontend.clip_seconds", 1e12, "frontend"),
        ("format", 1, "format"),
    ],
)
def test_f3_3_what_does_not_agree_is_named(file, tmp_path, place, value, message):
    description = copy.deepcopy(describe(file))
    *path, last = place.split(".")
    inner = description
    for key in path:
        inner = inner[key]
    inner[last] = value
    write(tmp_path / "model.safetensors", file, description)
    with pytest.raises(DamagedFileError, match=message):
        load_model(tmp_path / "model.safetensors")
    code, _, err = run_cli("check-budget", tmp_path / "model.safetensors")
    assert (code, "Traceback" in err, "hint:" in err) == (2, False, True)


def test_f3_3_a_billion_classes_ask_for_no_memory(file, tmp_path):
    description = describe(file)
    names = [f"class {number}" for number in range(100_000)]
    description |= {"architecture": {**file.architecture, "num_classes": 100_000}, "classes": names}
    write(tmp_path / "model.safetensors", file, description)
    tracemalloc.start()
    with pytest.raises(DamagedFileError, match=r"its weights are not those of cp_resnet.*head\.0\.weight"):
        load_model(tmp_path / "model.safetensors")
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()


@pytest.mark.parametrize("text", ["[" * 100_000, "5", "null", "[1]", '{"sha256": 1}', "1" * 5_000, '"\\ud800"', ""])
def test_f3_3_metadata_that_is_no_description(file, tmp_path, text):
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors.torch.save(file.model.state_dict(), metadata={KEY: text}))
    with pytest.raises(DamagedFileError, match=r"model\.safetensors"):
        load_model(path)


@pytest.mark.parametrize(
    "bias",
    [
        torch.full((3,), float("inf")),
        torch.ones(3, dtype=torch.int32),
        torch.ones(3, dtype=torch.complex64),
        torch.ones(3).to(torch.float8_e4m3fn),
        torch.ones(3, dtype=torch.float64),
        torch.ones(4),
    ],
    ids=["infinite", "integers", "complex", "float8", "float64", "shape"],
)
def test_f3_3_weights_of_another_kind(file, tmp_path, bias):
    write(tmp_path / "m.safetensors", file, describe(file), {**file.model.state_dict(), "head.1.bias": bias})
    with pytest.raises(DamagedFileError, match=r"m\.safetensors.*head\.1\.bias"):
        load_model(tmp_path / "m.safetensors")


def test_f3_3_weights_that_the_network_does_not_have(file, tmp_path):
    write(tmp_path / "m.safetensors", file, describe(file), {**file.model.state_dict(), "surplus": torch.ones(1)})
    with pytest.raises(DamagedFileError, match="first surplus"):
        load_model(tmp_path / "m.safetensors")


def test_a_very_deep_network_is_refused(file, tmp_path):
    architecture = {"name": "resnet20", "num_classes": 3, "options": {"depth": 9998}}
    write(tmp_path / "m.safetensors", file, describe(replace(file, architecture=architecture)))
    with pytest.raises(DamagedFileError, match="is more than 2000"):
        load_model(tmp_path / "m.safetensors")


def test_f3_3_an_onnx_file_that_does_not_agree_with_its_description(file, tmp_path):
    nodes = [
        onnx.helper.make_node("GlobalAveragePool", ["input"], ["means"]),
        onnx.helper.make_node("Flatten", ["means"], ["flat"]),
        onnx.helper.make_node("Gemm", ["flat", "weight"], ["logits"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "graph",
        [onnx.helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, ["batch", *SPEC.shape])],
        [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 3])],
        [onnx.numpy_helper.from_array(np.ones((2, 3), np.float32), "weight")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    write_onnx(tmp_path / "m.onnx", copy.deepcopy(model), describe(file))
    assert load_model(tmp_path / "m.onnx").classes == file.classes
    architecture = {**file.architecture, "num_classes": 2}
    for change in ({"classes": ["a", "b"], "architecture": architecture}, {"std": [[[0.0]] * 16]}, {"frontend": 3}):
        write_onnx(tmp_path / "odd.onnx", copy.deepcopy(model), describe(file) | change)
        with pytest.raises(DamagedFileError, match=r"odd\.onnx"):
            load_model(tmp_path / "odd.onnx")


def test_what_is_written_comes_back(file, tmp_path):
    save_model(tmp_path / "m.safetensors", replace(file, dtype="float16"))
    found = load_model(tmp_path / "m.safetensors")
    assert (found.classes, found.input_shape, found.dtype, found.frontend) == (
        ["a", "b", "c"],
        SPEC.shape,
        "float16",
        SPEC,
    )
    assert found.architecture == file.architecture
