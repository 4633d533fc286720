"""Damaged sound files: every kind is refused with its own code."""

import os
import struct
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import soundfile

from asc_mrkd.audio.read import REASONS, read_audio
from asc_mrkd.errors import AudioError

RATE = 48_000


def noise(frames: int = RATE // 4) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (frames, 2)).astype(np.float32)


@pytest.fixture
def clip(tmp_path):
    """Write samples (sample, channel) or bytes under a name and return the path."""

    def write(content: np.ndarray | bytes, name: str = "a.wav", **options: str):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            soundfile.write(path, content, RATE, **options)
        return path

    return write


def reason_of(path: Path, *expected: float) -> str:
    with pytest.raises(AudioError) as caught:
        read_audio(path, *expected)
    assert str(path) in str(caught.value)
    assert REASONS[caught.value.reason] in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"these are words, no sound\n" * 50, "not_audio"),
        (b"<!DOCTYPE html><html><title>404 Not Found</title></html>", "not_audio"),
        (bytes(5000), "not_audio"),
        (b"RIFF", "not_audio"),
        (b"RIFF\x20\0\0\0AVI LIST" + bytes(500), "not_audio"),
        (b"MATLAB 5.0 MAT-file" + bytes(500), "not_audio"),
        (b".snd", "not_audio"),
        (b"OggS" + bytes(500), "damaged"),
        (b"fLaC" + bytes(500), "damaged"),
        (b"ID3" + bytes(500), "not_audio"),
        (b"\xff\xfb" + bytes(500), "damaged"),
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
        ("a.wav", {"format": "RF64"}, -1, "truncated"),
        ("a.wav", {"format": "RF64"}, 60, "damaged"),
        ("a.wav", {"endian": "BIG"}, 0.5, "truncated"),
        ("a.aiff", {}, 0.5, "truncated"),
        ("a.au", {}, 0.5, "truncated"),
        ("a.w64", {}, 0.5, "truncated"),
        ("a.caf", {}, 0.5, "damaged"),
        ("a.caf", {}, -1, "truncated"),
        ("a.ogg", {}, 0.5, "truncated"),
        ("a.ogg", {}, -1, "truncated"),
        ("a.mp3", {}, 0.5, "truncated"),
        ("a.mp3", {}, -1, "truncated"),
        ("a.flac", {}, 0.5, "damaged"),
        ("a.flac", {}, -1, "damaged"),
        ("a.flac", {}, 30, "damaged"),
    ],
)
def test_cut_files(clip, name, options, keep, reason):
    data = clip(noise(RATE), name, **options).read_bytes()
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
    samples[77, 1] = value
    assert reason_of(clip(samples, subtype="FLOAT")) == reason


def test_double_beyond_float32_is_non_finite(clip):
    assert reason_of(clip(np.full((10, 1), 1e300), subtype="DOUBLE")) == "non_finite"


def test_silence_is_refused_but_one_quiet_sample_is_sound(clip):
    samples = np.zeros((1000, 2))
    assert reason_of(clip(samples)) == "silent"
    samples[500, 1] = -(2**-15)
    assert read_audio(clip(samples, subtype="PCM_16")).samples.min() == -(2**-15)


def test_file_without_frames_is_empty(clip):
    assert reason_of(clip(np.zeros((0, 2)))) == "empty"


def test_recording_that_is_too_long_for_memory(clip):
    path = clip(noise())
    size = 2**32 - 2
    with path.open("r+b") as stream:  # 4 GiB that are there, all but the first as a hole
        stream.seek(40)
        stream.write(struct.pack("<I", size - 44))
        stream.truncate(size)
    assert reason_of(path) == "too_long"


def test_wrong_length_and_rate_are_refused(clip):
    path = clip(noise(RATE))
    assert reason_of(path, 10.0) == "wrong_length"
    assert reason_of(path, 1.001) == "wrong_length"
    assert reason_of(path, None, 44_100) == "wrong_rate"
    assert reason_of(path, 10.0, 44_100) == "wrong_rate"
    assert read_audio(path, 1.0, RATE).samples.shape == (2, RATE)


def test_wrong_rate_is_seen_before_the_samples(clip):
    bad = noise()
    bad[0] = np.nan
    path = clip(bad, subtype="FLOAT")
    assert reason_of(path, None, 44_100) == "wrong_rate"
    assert reason_of(path, None, RATE) == "non_finite"


def test_missing_files_and_things_that_are_no_files(clip, tmp_path):
    assert reason_of(tmp_path / "vanished.wav") == "missing"
    assert reason_of(clip(noise()) / "below-a-file.wav") == "missing"
    assert reason_of(tmp_path) == "not_audio"
    os.mkfifo(tmp_path / "pipe.wav")
    assert reason_of(tmp_path / "pipe.wav") == "not_audio"


def test_file_that_vanishes_between_the_look_and_the_reading(clip, monkeypatch):
    path, look = clip(noise()), Path.stat

    def look_and_remove(self: Path) -> os.stat_result:
        status = look(self)
        os.unlink(self)
        return status

    monkeypatch.setattr(Path, "stat", look_and_remove)
    assert reason_of(path) == "missing"


@pytest.mark.parametrize("closed", ["file", "folder"])
def test_permission_denied(closed):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "sub" / "a.wav"
        path.parent.mkdir()
        soundfile.write(path, noise(), RATE)
        for part, mode in [(folder, 0o755), (path.parent, 0o755), (path if closed == "file" else path.parent, 0)]:
            os.chmod(part, mode)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65_534)  # root may read everything, nobody may not
        try:
            assert reason_of(path) == "no_permission"
        finally:
            os.seteuid(user)
            os.chmod(path.parent, 0o755)
