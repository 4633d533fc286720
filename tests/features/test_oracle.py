"""The front end on sounding scenes against librosa, from the samples and from the file."""

import librosa
import numpy as np
import pytest
import soundfile as sf
from helpers.librosa_reference import librosa_features

from asc_mrkd.datasets.synthetic.scenes import render_clip
from asc_mrkd.features import Frontend, load_spec

SCENES = ("airport-paris-0-0-a.wav", "metro-london-1-1-a.wav", "park-vienna-2-2-a.wav", "tram-helsinki-3-3-a.wav")
TOLERANCE = 1e-3
"""Largest difference allowed, in dB."""


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
def test_front_end_equals_librosa(name, tmp_path):
    spec = load_spec("pmel256")
    sf.write(tmp_path / name, render_clip(0, name), 48_000, subtype="PCM_24")
    samples, _ = librosa.load(tmp_path / name, sr=spec.sample_rate, mono=False, res_type="soxr_hq")
    expected = librosa_features(samples, spec)
    assert expected.shape == (2, 256, 431)
    assert expected.std() > 0.5
    np.testing.assert_allclose(Frontend(spec)(samples), expected, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(Frontend(spec).from_file(tmp_path / name), expected, rtol=0, atol=TOLERANCE)
