import os
import struct
import tracemalloc
from contextlib import suppress

import librosa
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asc_mrkd.errors import AudioError, DataError
from asc_mrkd.features.audio import REASONS, match_channels, read_audio, resample

RATE = 48_000


def noise(channels: int = 2, frames: int = RATE // 4) -> np.ndarray:
    return np.random.default_rng(channels).uniform(-0.5, 0.5, (channels, frames)).astype(np.float32)


@pytest.fixture
def clip(tmp_path):
    """Write samples (channel, sample) or bytes under a name and return the path."""

    def write(content: np.ndarray | bytes, name: str = "a.wav", rate: int = RATE, **options: str):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            soundfile.write(path, content.T, rate, **options)
        return path

    return write


def reason_of(path, expected_seconds: float | None = None) -> str:
    with pytest.raises(AudioError) as caught:
        read_audio(path, expected_seconds)
    assert str(path) in str(caught.value)
    assert REASONS[caught.value.reason] in str(caught.value)
    return caught.value.reason


LOSSLESS = [  # options of soundfile.write, largest rounding error
    ("a.wav", {"subtype": "PCM_U8"}, 2**-7),
    ("a.wav", {"subtype": "PCM_16"}, 2**-15),
    ("a.wav", {"subtype": "PCM_24"}, 2**-23),
    ("a.wav", {"subtype": "PCM_32"}, 2**-24),
    ("a.wav", {"subtype": "FLOAT"}, 0),
    ("a.wav", {"subtype": "DOUBLE"}, 0),
    ("a.wav", {"subtype": "PCM_16", "endian": "BIG"}, 2**-15),
    ("a.wav", {"subtype": "PCM_24", "format": "WAVEX"}, 2**-23),
    ("a.wav", {"subtype": "PCM_16", "format": "RF64"}, 2**-15),
    ("a.flac", {"subtype": "PCM_24"}, 2**-23),
    ("a.aiff", {"subtype": "PCM_16"}, 2**-15),
]


@pytest.mark.parametrize(("name", "options", "error"), LOSSLESS)
@pytest.mark.parametrize("frames", [12_000, 12_001])
def test_lossless_files_give_the_samples_that_were_written(clip, name, options, error, frames):
    written = noise(3, frames)
    audio = read_audio(clip(written, name, **options), frames / RATE)
    assert audio.sample_rate == RATE
    assert audio.samples.dtype == np.float32
    assert audio.samples.shape == (3, frames)
    np.testing.assert_allclose(audio.samples, written, rtol=0, atol=error)


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_lossy_files_give_the_sound_that_was_written(clip, name):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE) * np.float32([[1], [0.5]])
    audio = read_audio(clip(tone, name), 1.0)
    assert audio.samples.shape == tone.shape
    assert all(np.corrcoef(audio.samples[c], tone[c])[0, 1] > 0.99 for c in range(2))


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 96_000])
@pytest.mark.parametrize("channels", range(1, 9))
def test_every_rate_and_channel_count_is_read(clip, rate, channels):
    audio = read_audio(clip(noise(channels, rate // 10), rate=rate), 0.1)
    assert audio.sample_rate == rate
    assert audio.samples.shape == (channels, rate // 10)


def test_wav_of_a_stream_with_unknown_size_is_read_to_its_end(clip):
    path = clip(noise())
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = b"\xff" * 4
    assert read_audio(clip(bytes(data))).samples.shape == noise().shape


def test_sound_after_other_chunks_is_found(clip):
    data = clip(noise()).read_bytes()
    extra = b"LIST" + struct.pack("<I", 5) + b"odd.." + b"\0"
    longer = data[:36] + extra + data[36:]
    assert read_audio(clip(longer)).samples.shape == noise().shape
    assert reason_of(clip(longer[:-2])) == "truncated"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"these are words, no sound\n" * 50, "not_audio"),
        (b"<!DOCTYPE html><html><title>404 Not Found</title></html>", "not_audio"),
        (bytes(5000), "not_audio"),
        (b"RIFF", "not_audio"),
    ],
)
def test_files_that_are_no_sound(clip, content, reason):
    assert reason_of(clip(content)) == reason


@pytest.mark.parametrize(
    ("name", "options", "keep", "reason"),
    [
        ("a.wav", {}, 20, "damaged"),
        ("a.wav", {}, 40, "damaged"),
        ("a.wav", {}, 44, "truncated"),
        ("a.wav", {}, 0.5, "truncated"),
        ("a.wav", {}, -1, "truncated"),
        ("a.wav", {"format": "WAVEX"}, 0.5, "truncated"),
        ("a.wav", {"format": "RF64"}, 0.5, "truncated"),
        ("a.wav", {"endian": "BIG"}, 0.5, "truncated"),
        ("a.aiff", {}, 0.5, "truncated"),
        ("a.ogg", {}, 0.5, "truncated"),
        ("a.ogg", {}, -1, "truncated"),
        ("a.mp3", {}, 0.5, "truncated"),
        ("a.flac", {}, 0.5, "damaged"),
    ],
)
def test_cut_files(clip, name, options, keep, reason):
    data = clip(noise(2, RATE), name, **options).read_bytes()
    length = int(len(data) * keep) if isinstance(keep, float) else keep
    assert reason_of(clip(data[:length], name)) == reason


def test_flipped_byte_in_flac_is_damage(clip):
    data = bytearray(clip(noise(), "a.flac").read_bytes())
    data[len(data) // 2] ^= 0xFF
    assert reason_of(clip(bytes(data), "a.flac")) == "damaged"


@pytest.mark.parametrize(
    ("value", "reason"),
    [(np.nan, "non_finite"), (np.inf, "non_finite"), (-np.inf, "non_finite"), (20_000, "out_of_range")],
)
def test_one_bad_sample_is_enough(clip, value, reason):
    samples = noise()
    samples[1, 77] = value
    assert reason_of(clip(samples, subtype="FLOAT")) == reason


def test_double_beyond_float32_is_non_finite(clip):
    assert reason_of(clip(np.full((1, 10), 1e300), subtype="DOUBLE")) == "non_finite"


def test_silence_is_refused_but_one_quiet_sample_is_sound(clip):
    samples = np.zeros((2, 1000))
    assert reason_of(clip(samples)) == "silent"
    samples[1, 500] = -(2**-15)
    assert read_audio(clip(samples, subtype="PCM_16")).samples.min() == -(2**-15)


def test_file_without_frames_is_empty(clip):
    assert reason_of(clip(np.zeros((2, 0)))) == "empty"


def test_wrong_length_is_refused(clip):
    path = clip(noise(2, RATE))
    assert reason_of(path, 10.0) == "wrong_length"
    assert reason_of(path, 1.001) == "wrong_length"
    assert read_audio(path, 1.0).samples.shape == (2, RATE)


def test_missing_files_and_things_that_are_no_files(clip, tmp_path):
    assert reason_of(tmp_path / "vanished.wav") == "missing"
    assert reason_of(clip(noise()) / "below-a-file.wav") == "missing"
    assert reason_of(tmp_path) == "not_audio"
    os.mkfifo(tmp_path / "pipe.wav")
    assert reason_of(tmp_path / "pipe.wav") == "not_audio"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission_denied(clip):
    path = clip(noise())
    path.chmod(0)
    assert reason_of(path) == "no_permission"


def with_flac_header(data: bytes, frames: int, rate: int | None = None) -> bytes:
    """Rewrite the 36-bit frame count, and the 20-bit rate, in the STREAMINFO block of a FLAC file."""
    word = int.from_bytes(data[18:26], "big") >> 36 << 36 | frames
    if rate is not None:
        word = word & (2**44 - 1) | rate << 44
    return data[:18] + word.to_bytes(8, "big") + data[26:]


def test_absurd_headers_are_refused_before_memory_is_taken(clip, monkeypatch):
    data = clip(noise(), "a.flac").read_bytes()
    lies = [(with_flac_header(data, 2**36 - 1), "damaged"), (with_flac_header(data, RATE // 4, 3), "damaged")]
    for content, reason in lies:
        path = clip(content, "lie.flac")
        tracemalloc.start()
        assert reason_of(path) == reason
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.stop()
    monkeypatch.setattr("asc_mrkd.features.audio.MAX_SAMPLES", 1000)
    assert reason_of(clip(data, "a.flac")) == "too_long"


@pytest.fixture(scope="module")
def good_bytes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    for name, options in [("wav", {"subtype": "PCM_24"}), ("wavex", {"format": "WAVEX"}), ("rf64", {"format": "RF64"})]:
        soundfile.write(folder / name, noise(2, 500).T, RATE, **{"format": "WAV", **options})
    return [(folder / name).read_bytes() for name in ("wav", "wavex", "rf64")]


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    which=st.integers(0, 2),
    changes=st.lists(st.tuples(st.integers(0, 110), st.binary(min_size=1, max_size=4)), min_size=1, max_size=6),
    cut=st.none() | st.integers(0, 3000),
)
def test_mutated_headers_give_sound_or_an_audio_error(good_bytes, tmp_path, which, changes, cut):
    data = bytearray(good_bytes[which])
    for position, new in changes:
        data[position : position + len(new)] = new
    path = tmp_path / "mutated.wav"
    path.write_bytes(data[:cut])
    tracemalloc.start()
    with suppress(AudioError):
        samples = read_audio(path).samples
        assert np.isfinite(samples).all()
        assert samples.any()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 2**20


@pytest.mark.parametrize(
    ("from_rate", "to_rate"), [(48_000, 22_050), (44_100, 22_050), (96_000, 22_050), (8_000, 22_050)]
)
@pytest.mark.parametrize("frames", [48_000, 44_101, 12_345, 7])
def test_resample_equals_librosa(from_rate, to_rate, frames):
    samples = noise(2, frames)
    ours = resample(samples, from_rate, to_rate)
    theirs = librosa.resample(samples, orig_sr=from_rate, target_sr=to_rate, res_type="soxr_hq")
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, theirs)


def test_resample_keeps_a_clip_of_ten_seconds_ten_seconds_long():
    assert resample(noise(2, 480_000), 48_000, 22_050).shape == (2, 220_500)
    same = noise()
    assert resample(same, RATE, RATE) is same


def test_match_channels():
    left_right = np.float32([[1, 2, 3], [3, 4, -3]])
    assert match_channels(left_right, 2).tolist() == left_right.tolist()
    assert match_channels(left_right, 1).tolist() == [[2, 3, 0]]
    assert match_channels(left_right[:1], 2).tolist() == [[1, 2, 3], [1, 2, 3]]
    assert match_channels(np.arange(12).reshape(4, 3), 2).tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(DataError, match="2 channels cannot give 4"):
        match_channels(left_right, 4)
