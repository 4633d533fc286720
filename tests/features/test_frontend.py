"""The front end against the published golden values and against librosa."""

import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from helpers.librosa_reference import librosa_features
from threadpoolctl import threadpool_limits

from asc_mrkd.errors import AudioError, ConfigError
from asc_mrkd.features import Frontend, load_spec
from asc_mrkd.features import filterbank as filterbank_module
from asc_mrkd.features.filterbank import DB_PER_NEPER, a_weighting, compute_arrays, librosa_filterbank, torch_filterbank
from asc_mrkd.features.frontend import pad_or_trim
from asc_mrkd.features.numpy_backend import NumpyTransform

RATE, COUNT = 22_050, 220_500
BINS = [0, 1, 10, 20, 33, 34, 100, 200, 255]
FRAMES = [0, 1, 215, 430]
GOLDEN = {
    "S1": [
        [-3.98848, -4.53209, -8.51949, -4.22423],
        [-2.35411, -2.89763, -6.88697, -2.58971],
        [0.42297, -0.12035, -4.19326, 0.18782],
        [1.31023, 0.76784, -3.59381, 1.07664],
        [2.80348, 3.99315, 4.08364, 3.82133],
        [3.74327, 3.57859, 3.09417, 3.69113],
        [-0.27935, -0.82119, -2.80571, -0.39873],
        [-1.25704, -1.81726, -2.92959, -1.69582],
        [-2.35414, -2.91261, -3.25037, -2.76916],
    ],
    "S2": [
        [-6.46994, -5.54548, -6.52048, -6.44192],
        [-4.83641, -3.84077, -3.84463, -5.02135],
        [-1.10196, -1.58464, -1.84875, -1.54798],
        [-1.22854, -0.82243, -2.44853, -0.38526],
        [-1.55856, -1.31039, -0.26943, -0.64814],
        [-1.35343, -1.45013, -0.82088, -0.34930],
        [-0.44259, -0.26719, -0.54217, -0.01171],
        [-0.73286, -0.51352, -0.30775, -0.40098],
        [-0.76590, -0.49482, -0.96366, -0.50336],
    ],
}
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


def compute(backend: str, samples: np.ndarray) -> np.ndarray:
    """Return the pmel256 features of samples by a back end or by the oracle, librosa."""
    spec = load_spec("pmel256")
    return librosa_features(samples, spec) if backend == "librosa" else Frontend(spec, backend)(samples)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numpy", "torch", "plain", "librosa"])
@pytest.mark.parametrize("name", ["S1", "S2"])
def test_golden_values(name, backend):
    features = compute(backend, signal(name))[0]
    assert features.shape == (256, 431)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features[np.ix_(BINS, FRAMES)], GOLDEN[name], rtol=0, atol=1e-3)
    summary = features.mean(dtype=np.float64), features.std(dtype=np.float64), features.min(), features.max()
    np.testing.assert_allclose(summary, WHOLE[name], rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["S1", "S2"])
def test_golden_decibels_before_the_filterbank(name):
    """With filters that let every frequency through, the features are the weighted dB."""
    spec = load_spec("pmel256")
    weighting = a_weighting(np.arange(1025) * RATE / 2048)
    arrays = replace(
        compute_arrays(spec, librosa_filterbank(spec)),
        filters=np.eye(1025, dtype=np.float32) * np.float32(DB_PER_NEPER),
        offset=weighting[:, None].astype(np.float32),
    )
    decibels = NumpyTransform(spec.model_copy(update={"n_mels": 1025}), arrays)(signal(name))[0]
    np.testing.assert_allclose(decibels[[0, 1, 41, 93, 279, 1024], 215], DECIBELS_FRAME_215[name], rtol=0, atol=1e-3)


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
        [0.064231, 0.051223, 0.056161, 0.031670, 0.006669],
        rtol=0,
        atol=2e-6,
    )
    assert sums.min() > 0.0854
    assert sums.max() < 0.1034


@pytest.mark.parametrize("filterbank", [torch_filterbank, librosa_filterbank])
def test_filterbank_golden(filterbank):
    check_filterbank(filterbank(load_spec("pmel256")))


def test_librosa_takes_over_where_torchaudio_cannot_be_imported(monkeypatch):
    monkeypatch.setattr(filterbank_module, "torchaudio_problem", lambda: "OSError: undefined symbol")
    spec = load_spec("pmel256")
    np.testing.assert_array_equal(torch_filterbank(spec), librosa_filterbank(spec))


@pytest.mark.parametrize(("norm", "tolerance"), [("slaney", 1e-6), ("none", 2e-5)])
@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_filterbanks_of_torchaudio_and_librosa_agree(scale, norm, tolerance):
    spec = load_spec("pmel256").model_copy(update={"n_mels": 64, "mel_scale": scale, "mel_norm": norm})
    np.testing.assert_allclose(torch_filterbank(spec), librosa_filterbank(spec), rtol=0, atol=tolerance)


@pytest.mark.filterwarnings("ignore:Empty filters detected")
def test_empty_filters_are_refused():
    spec = load_spec("pmel256").model_copy(update={"n_fft": 512})
    with pytest.raises(ConfigError, match=r"front end pmel256: \d+ of 256 Mel filters are empty, the first is 0"):
        Frontend(spec)


@pytest.mark.parametrize("backend", ["numpy", "torch", "plain", "librosa"])
def test_every_channel_has_its_own_floor(backend):
    loud = signal("S1")
    quiet = signal("S2") * 1e-3
    both = compute(backend, np.concatenate([loud, quiet]))
    np.testing.assert_allclose(both[0], compute(backend, loud)[0], atol=1e-5)
    np.testing.assert_allclose(both[1], compute(backend, quiet)[0], atol=1e-5)


@pytest.mark.parametrize("backend", ["numpy", "torch", "plain", "librosa"])
def test_a_batch_gives_what_its_clips_give(frontend, backend):
    clips = np.stack([np.concatenate([signal("S1"), signal("S2")]), np.concatenate([signal("S2") * 1e-3] * 2)])
    batch = compute(backend, clips)
    assert batch.shape == (2, 2, 256, 431)
    for features, clip in zip(batch, clips, strict=True):
        np.testing.assert_allclose(features, frontend(clip), rtol=0, atol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same(frontend):
    clips = np.stack([signal("S1"), signal("S2")])
    on_gpu = Frontend(load_spec("pmel256"), device="cuda")
    assert on_gpu.backend == "torch"
    np.testing.assert_allclose(on_gpu(clips), frontend(clips), rtol=0, atol=1e-3)


def test_the_order_of_the_samples_in_memory_does_not_matter(frontend):
    clip = np.concatenate([signal("S1"), signal("S2")])
    np.testing.assert_array_equal(frontend(np.asfortranarray(clip)), frontend(clip))


@pytest.mark.filterwarnings("ignore:n_fft=2048 is too large")
@pytest.mark.parametrize("backend", ["numpy", "torch", "plain"])
def test_the_shortest_clip_is_as_long_as_its_reflection(backend):
    """1025 samples can be reflected by 1024, fewer cannot."""
    frontend = Frontend(load_spec("pmel256"), backend)
    samples = signal("S2")[:, :1025]
    np.testing.assert_allclose(frontend(samples), compute("librosa", samples), atol=1e-3)
    with pytest.raises(ValueError, match="1024 samples are too few for n_fft 2048"):
        frontend(samples[:, 1:])


def test_a_back_end_for_the_cpu_refuses_a_gpu():
    with pytest.raises(ConfigError, match="numpy computes on the CPU only, not on cuda"):
        Frontend(load_spec("pmel256"), "numpy", device="cuda")


def modules_of(code: str, text: bytes = b"") -> set[str]:
    """Return the libraries that a fresh interpreter has imported after `code`, which may read `text`."""
    code = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], input=text, capture_output=True, check=True)
    return set(done.stdout.decode().split())


@pytest.mark.slow
def test_a_worker_needs_neither_torch_nor_librosa(frontend):
    """It receives the front end, arrays included, and computes with numpy and scipy."""
    code = """
import pickle
import numpy as np
frontend = pickle.loads(sys.stdin.buffer.read())
assert frontend(np.ones((2, 22050), np.float32)).shape == (2, 256, 44)
"""
    modules = modules_of(code, pickle.dumps(frontend))
    assert {"numpy", "scipy", "soundfile"} <= modules
    assert not modules & {"torch", "torchaudio", "librosa", "pandas"}


def test_the_import_is_light():
    modules = modules_of("import asc_mrkd.features.frontend")
    assert not modules & {"torch", "torchaudio", "librosa", "pandas"}


def test_read_gives_samples_as_the_spec_wants_them(frontend, tmp_path):
    soundfile.write(tmp_path / "mono.wav", np.tile(np.float32([0.5, -0.5]), 24_000), 48_000)
    samples = frontend.read(tmp_path / "mono.wav", expected_seconds=1.0)
    assert (samples.shape, samples.dtype) == ((2, RATE), np.float32)
    with pytest.raises(AudioError) as caught:
        frontend.read(tmp_path / "mono.wav", expected_rate=RATE)
    assert caught.value.reason == "wrong_rate"


def test_gain_shifts_every_bin_by_the_row_sum_of_its_filter(frontend):
    """The filterbank acts on dB, so a gain of 20 dB adds 20 times the sum of the filter's row."""
    x = signal("S2")
    shift = frontend(10 * x) - frontend(x)
    sums = librosa_filterbank(frontend.spec).sum(1)
    np.testing.assert_allclose(shift[0].mean(axis=1), 20 * sums, atol=1e-3)


def test_the_number_of_threads_changes_no_bit(frontend):
    assert frontend.backend == "numpy"
    noise = np.random.default_rng(0).standard_normal((2, COUNT)).astype(np.float32)
    features = []
    for threads in (1, 4):
        with threadpool_limits(threads):
            features.append(frontend(noise))
    np.testing.assert_array_equal(*features)


@pytest.mark.parametrize("seconds", [9.99, 10.032])
def test_a6_clips_of_nearly_the_right_length_are_padded_or_trimmed_on_request(tmp_path, seconds):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, round(48_000 * seconds))
    soundfile.write(tmp_path / "a.wav", noise, 48_000)
    strict = load_spec("pmel256_mono")
    with pytest.raises(AudioError, match=f"{seconds:g} s instead of 10 s") as caught:
        Frontend(strict).read(tmp_path / "a.wav", strict.clip_seconds)
    assert caught.value.reason == "wrong_length"
    assert "pad_or_trim: 0.0" in caught.value.hint
    patient = Frontend(strict.model_copy(update={"pad_or_trim": 0.05}))
    samples = pad_or_trim(patient.read(tmp_path / "a.wav", strict.clip_seconds), strict.samples)
    assert samples.shape == (1, strict.samples)
    assert patient(samples).shape == strict.shape
    soundfile.write(tmp_path / "a.wav", noise[:400_000], 48_000)
    with pytest.raises(AudioError, match=r"8\.33333 s instead of 10 s"):
        patient.read(tmp_path / "a.wav", strict.clip_seconds)
