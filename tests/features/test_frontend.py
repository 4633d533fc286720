"""The front end against the published golden values and against librosa."""

import numpy as np
import pytest
import torch

from asc_mrkd.errors import ConfigError
from asc_mrkd.features import Frontend, load_spec
from asc_mrkd.features import filterbank as filterbank_module
from asc_mrkd.features.filterbank import a_weighting, mel_filterbank

RATE, COUNT = 22_050, 220_500
BINS = [0, 1, 10, 20, 33, 34, 100, 200, 255]
FRAMES = [0, 1, 215, 430]
GOLDEN = {
    "S1": [
        [-3.98848, -4.53209, -8.51949, -4.22423], [-2.35411, -2.89763, -6.88697, -2.58971],
        [0.42297, -0.12035, -4.19326, 0.18782], [1.31023, 0.76784, -3.59381, 1.07664],
        [2.80348, 3.99315, 4.08364, 3.82133], [3.74327, 3.57859, 3.09417, 3.69113],
        [-0.27935, -0.82119, -2.80571, -0.39873], [-1.25704, -1.81726, -2.92959, -1.69582],
        [-2.35414, -2.91261, -3.25037, -2.76916],
    ],
    "S2": [
        [-6.46994, -5.54548, -6.52048, -6.44192], [-4.83641, -3.84077, -3.84463, -5.02135],
        [-1.10196, -1.58464, -1.84875, -1.54798], [-1.22854, -0.82243, -2.44853, -0.38526],
        [-1.55856, -1.31039, -0.26943, -0.64814], [-1.35343, -1.45013, -0.82088, -0.34930],
        [-0.44259, -0.26719, -0.54217, -0.01171], [-0.73286, -0.51352, -0.30775, -0.40098],
        [-0.76590, -0.49482, -0.96366, -0.50336],
    ],
}  # fmt: skip
WHOLE = {"S1": (-2.910288, 1.109786, -8.51949, 4.08364), "S2": (-0.588471, 0.702148, -7.73690, 0.79804)}
DECIBELS_FRAME_215 = {
    "S1": [-111.9342, -100.0638, 43.9936, -31.9299, 34.6789, -35.1432],
    "S2": [-84.8993, -82.9006, -2.2467, 4.6215, 0.3690, -30.0107],
}


def signal(name: str) -> np.ndarray:
    n = np.arange(COUNT)
    if name == "S1":
        x = 0.5 * np.sin(2 * np.pi * 440 * n / RATE) + 0.1 * np.sin(2 * np.pi * 3000 * n / RATE)
    else:
        state, draws = 12345, np.empty(COUNT)
        for i in range(COUNT):
            state = (1664525 * state + 1013904223) % 2**32
            draws[i] = state / 2**32
        x = 0.05 * (2 * draws - 1)
    return x.astype(np.float32)[None]


@pytest.fixture(scope="module")
def frontend() -> Frontend:
    return Frontend(load_spec("pmel256"))


@pytest.mark.parametrize("backend", ["torch", "librosa"])
@pytest.mark.parametrize("name", ["S1", "S2"])
def test_golden_values(name, backend):
    features = Frontend(load_spec("pmel256"), backend=backend)(signal(name))[0]
    assert features.shape == (256, 431)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features[np.ix_(BINS, FRAMES)], GOLDEN[name], rtol=0, atol=1e-3)
    summary = features.mean(dtype=np.float64), features.std(dtype=np.float64), features.min(), features.max()
    np.testing.assert_allclose(summary, WHOLE[name], rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["S1", "S2"])
def test_golden_decibels_before_the_filterbank(frontend, name):
    decibels = frontend._weighted_decibels(torch.from_numpy(signal(name)))[0, [0, 1, 41, 93, 279, 1024], 215]
    np.testing.assert_allclose(decibels, DECIBELS_FRAME_215[name], rtol=0, atol=1e-3)


def test_a_weighting_golden_and_librosa():
    import librosa

    grid = np.arange(1025) * RATE / 2048
    expected = [-80, -68.1296, -48.4936, -18.1321, -4.0721, 0.0043, 1.2279, -3.2090]
    np.testing.assert_allclose(a_weighting(grid)[[0, 1, 2, 10, 41, 93, 279, 1024]], expected, rtol=0, atol=5e-5)
    np.testing.assert_allclose(a_weighting(grid), librosa.A_weighting(grid), rtol=0, atol=1e-3)


def check_filterbank(filters: np.ndarray) -> None:
    assert filters.shape == (256, 1025)
    assert (filters != 0).sum() == 2032
    sums = filters.sum(axis=1)
    np.testing.assert_allclose(
        sums[[0, 1, 50, 128, 255]], [0.090246, 0.090246, 0.090246, 0.090648, 0.092760], rtol=0, atol=2e-6
    )
    np.testing.assert_allclose(
        filters.max(axis=1)[[0, 1, 50, 128, 255]],
        [0.064231, 0.051223, 0.056161, 0.031670, 0.006669], rtol=0, atol=2e-6,
    )  # fmt: skip
    assert sums.min() > 0.0854
    assert sums.max() < 0.1034


def test_filterbank_golden():
    check_filterbank(mel_filterbank(load_spec("pmel256")).numpy())


def test_librosa_takes_over_where_torchaudio_cannot_be_imported(monkeypatch):
    monkeypatch.setattr(filterbank_module, "torchaudio_problem", lambda: "OSError: undefined symbol")
    check_filterbank(mel_filterbank(load_spec("pmel256")).numpy())


def test_channels_have_floors_of_their_own(frontend):
    loud, quiet = signal("S1"), signal("S2") * 1e-3
    both = frontend(np.concatenate([loud, quiet]))
    np.testing.assert_allclose(both[0], frontend(loud)[0], atol=1e-5)
    np.testing.assert_allclose(both[1], frontend(quiet)[0], atol=1e-5)


def test_gain_shifts_every_bin_by_the_row_sum_of_its_filter(frontend):
    """The filterbank acts on dB, so a gain of 20 dB adds 20 times the sum of the filter's row."""
    x = signal("S2")
    shift = frontend(10 * x) - frontend(x)
    sums = mel_filterbank(frontend.spec).sum(1).numpy()
    np.testing.assert_allclose(shift[0].mean(axis=1), 20 * sums, atol=1e-3)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("name: x\nsample_rat: 1", "unknown key 'sample_rat'", "sample_rate"),
        ("name: x", "sample_rate", ""),
        ("[1, 2]", "no sections", ""),
    ],
)
def test_wrong_definitions_are_named(tmp_path, text, message, hint):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_spec(path)
    assert hint in caught.value.hint


def test_unknown_name_gets_a_suggestion():
    with pytest.raises(ConfigError) as caught:
        load_spec("pmel265")
    assert "pmel256" in caught.value.hint
