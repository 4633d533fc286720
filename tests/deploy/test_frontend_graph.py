"""The front end in ONNX: the features of every shipped definition, and a whole way from samples to probabilities."""

import numpy as np
import onnx
import onnxruntime
import pytest

from asc_mrkd.datasets.synthetic.scenes import render_clip
from asc_mrkd.deploy.frontend_graph import frontend_model
from asc_mrkd.features import Frontend, load_spec
from asc_mrkd.features.filterbank import DB_PER_NEPER, compute_arrays, librosa_filterbank
from asc_mrkd.files import resource_folder

NAMES = sorted(path.stem for path in resource_folder("features").glob("*.yaml"))


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """A built-in scene (channel, sample)."""
    return render_clip(0, "tram-paris-1-1-a").T


@pytest.mark.parametrize("name", NAMES)
def test_the_features_are_ours_within_a_thousandth_of_a_decibel(name, sound):
    spec = load_spec(name)
    samples = np.ascontiguousarray(sound[: spec.channels, : spec.samples], np.float32)
    missing = spec.samples - samples.shape[1]
    samples = np.pad(samples, ((0, 0), (0, missing)), mode="wrap")
    model = frontend_model(spec, compute_arrays(spec, librosa_filterbank(spec)))
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (features,) = session.run(None, {"samples": samples[None]})
    difference = np.abs(features[0] - Frontend(spec)(samples)).max()
    in_decibels = difference if spec.scale == "perceptual_db" else difference * DB_PER_NEPER * (3 - spec.power)
    assert in_decibels < 1e-3
