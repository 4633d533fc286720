"""The front end in ONNX: the features of every shipped definition, and a whole way from samples to probabilities."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from asc_mrkd.datasets.synthetic.scenes import render_clip
from asc_mrkd.deploy.description import Architecture, Description
from asc_mrkd.deploy.frontend_graph import FEATURES, add_frontend
from asc_mrkd.deploy.onnx_session import INPUT, OUTPUT
from asc_mrkd.features import Frontend, FrontendSpec, load_spec
from asc_mrkd.features.filterbank import DB_PER_NEPER, compute_arrays, librosa_filterbank
from asc_mrkd.folders import resource_folder

NAMES = sorted(path.stem for path in resource_folder("features").glob("*.yaml"))


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """A built-in scene (channel, sample)."""
    return render_clip(0, "tram-paris-1-1-a").T


def describe(spec: FrontendSpec) -> Description:
    """Describe a network with a class per channel and a normalisation that changes nothing."""
    classes = [f"channel {number}" for number in range(spec.channels)]
    return Description(
        format=2,
        architecture=Architecture(name="mean", num_classes=spec.channels, options={}),
        classes=classes,
        input_shape=list(spec.shape),
        mean=[[[0.0]]],
        std=[[[1.0]]],
        frontend=spec,
    )


def mean_of_features(spec: FrontendSpec) -> onnx.ModelProto:
    """Return a network whose logits are the means of the channels."""
    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3])
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", [INPUT, "axes"], [OUTPUT], keepdims=0)],
        "mean",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", *spec.shape])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", spec.channels])],
        [axes],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize("name", NAMES)
def test_the_features_are_ours_within_a_thousandth_of_a_decibel(name, sound):
    spec = load_spec(name)
    samples = np.ascontiguousarray(sound[: spec.channels, : spec.samples], np.float32)
    missing = spec.samples - samples.shape[1]
    samples = np.pad(samples, ((0, 0), (0, missing)), mode="wrap")
    model = mean_of_features(spec)
    add_frontend(model, describe(spec), compute_arrays(spec, librosa_filterbank(spec)))
    model.graph.output.append(helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["batch", *spec.shape]))
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (features,) = session.run([FEATURES], {"samples": samples[None]})
    difference = np.abs(features[0] - Frontend(spec)(samples)).max()
    in_decibels = difference if spec.scale == "perceptual_db" else difference * DB_PER_NEPER * (3 - spec.power)
    assert in_decibels < 1e-3
