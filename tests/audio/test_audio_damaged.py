"""Damaged sound files: every kind is refused with its own code."""

import os
import struct
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from helpers.audio import RATE, encode_sound, make_noise, write_bytes, write_sound

from asc_mrkd.audio.read import REASONS, read_audio
from asc_mrkd.errors import AudioError


def reason_of_refusal(path: Path, *expected: float) -> str:
    """Return the reason code with which a file is refused."""
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
def test_files_that_are_not_sound(tmp_path, content, reason):
    assert reason_of_refusal(write_bytes(tmp_path / "a.wav", content)) == reason


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
        ("a.caf", {}, 0.5, "truncated"),
        ("a.caf", {}, -1, "truncated"),
        ("a.ogg", {}, 0.5, "truncated"),
        ("a.ogg", {}, -1, "truncated"),
        ("a.mp3", {}, 0.5, "truncated"),
        ("a.mp3", {}, -1, "truncated"),
        ("a.flac", {}, 0.5, "damaged"),
        ("a.flac", {}, -1, "damaged"),
        ("a.flac", {}, 30, "damaged"),
        ("a.flac", {}, 10, "damaged"),
    ],
)
def test_cut_files(tmp_path, name, options, keep, reason):
    data = encode_sound(tmp_path / name, make_noise(frames=RATE), **options)
    length = int(len(data) * keep) if isinstance(keep, float) else keep
    assert reason_of_refusal(write_bytes(tmp_path / name, data[:length])) == reason


def test_flipped_byte_in_flac_is_damage(tmp_path):
    data = bytearray(encode_sound(tmp_path / "a.flac", make_noise()))
    data[len(data) // 2] ^= 0xFF
    assert reason_of_refusal(write_bytes(tmp_path / "a.flac", bytes(data))) == "damaged"


@pytest.mark.parametrize(
    ("value", "reason"),
    [(np.nan, "non_finite"), (np.inf, "non_finite"), (-np.inf, "non_finite"), (20_000, "out_of_range")],
)
def test_one_bad_sample_is_enough(tmp_path, value, reason):
    samples = make_noise()
    samples[1, 77] = value
    assert reason_of_refusal(write_sound(tmp_path / "a.wav", samples, subtype="FLOAT")) == reason


def test_double_beyond_float32_is_non_finite(tmp_path):
    assert reason_of_refusal(write_sound(tmp_path / "a.wav", np.full((1, 10), 1e300), subtype="DOUBLE")) == "non_finite"


def test_silence_is_refused_but_one_quiet_sample_is_sound(tmp_path):
    samples = np.zeros((2, 1000))
    assert reason_of_refusal(write_sound(tmp_path / "a.wav", samples)) == "silent"
    samples[1, 500] = -(2**-15)
    assert read_audio(write_sound(tmp_path / "a.wav", samples, subtype="PCM_16")).samples.min() == -(2**-15)


def test_file_without_frames_is_empty(tmp_path):
    assert reason_of_refusal(write_sound(tmp_path / "a.wav", np.zeros((2, 0)))) == "empty"


def test_recording_that_is_too_long_for_memory(tmp_path):
    path = write_sound(tmp_path / "a.wav", make_noise())
    size = 2**32 - 2
    with path.open("r+b") as stream:  # 4 GiB that are there, all but the first as a hole
        stream.seek(40)
        stream.write(struct.pack("<I", size - 44))
        stream.truncate(size)
    assert reason_of_refusal(path) == "too_long"


def test_wrong_length_and_rate_are_refused(tmp_path):
    path = write_sound(tmp_path / "a.wav", make_noise(frames=RATE))
    assert reason_of_refusal(path, 10.0) == "wrong_length"
    assert reason_of_refusal(path, 1.001) == "wrong_length"
    assert reason_of_refusal(path, None, 44_100) == "wrong_rate"
    assert reason_of_refusal(path, 10.0, 44_100) == "wrong_rate"
    assert read_audio(path, 1.0, RATE).samples.shape == (2, RATE)


def test_wrong_rate_is_seen_before_the_samples(tmp_path):
    bad = make_noise()
    bad[:, 0] = np.nan
    path = write_sound(tmp_path / "a.wav", bad, subtype="FLOAT")
    assert reason_of_refusal(path, None, 44_100) == "wrong_rate"
    assert reason_of_refusal(path, None, RATE) == "non_finite"


def test_missing_files_and_things_that_are_not_files(tmp_path):
    assert reason_of_refusal(tmp_path / "vanished.wav") == "missing"
    assert reason_of_refusal(write_sound(tmp_path / "a.wav", make_noise()) / "below-a-file.wav") == "missing"
    assert reason_of_refusal(tmp_path / f"{'a' * 300}.wav") == "missing"
    (tmp_path / "circle.wav").symlink_to("circle.wav")
    assert reason_of_refusal(tmp_path / "circle.wav") == "missing"
    assert reason_of_refusal(tmp_path) == "not_audio"
    os.mkfifo(tmp_path / "pipe.wav")
    assert reason_of_refusal(tmp_path / "pipe.wav") == "not_audio"


def test_file_that_vanishes_between_the_look_and_the_reading(tmp_path, monkeypatch):
    path = write_sound(tmp_path / "a.wav", make_noise())
    look = Path.stat

    def look_and_remove(self: Path) -> os.stat_result:
        status = look(self)
        os.unlink(self)
        return status

    monkeypatch.setattr(Path, "stat", look_and_remove)
    assert reason_of_refusal(path) == "missing"


@pytest.mark.parametrize("closed", ["file", "folder"])
def test_permission_denied(closed):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "sub" / "a.wav"
        path.parent.mkdir()
        write_sound(path, make_noise())
        for part, mode in [(folder, 0o755), (path.parent, 0o755), (path if closed == "file" else path.parent, 0)]:
            os.chmod(part, mode)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65_534)  # root may read everything, nobody may not
        try:
            assert reason_of_refusal(path) == "no_permission"
        finally:
            os.seteuid(user)
            os.chmod(path.parent, 0o755)
