"""Sound files of every kind give the samples that were written, at every rate and channel count."""

import struct
import subprocess
import sys

import librosa
import numpy as np
import pytest
import soundfile
from helpers.audio import RATE, encode_sound, make_noise, mp3_without_length, write_bytes, write_sound

from asc_mrkd.audio.read import match_channels, read_audio, resample
from asc_mrkd.errors import AudioError

LOSSLESS = [  # options of soundfile, largest rounding error
    ("a.wav", {"subtype": "PCM_U8"}, 2**-7),
    ("a.wav", {"subtype": "PCM_16"}, 2**-15),
    ("a.wav", {"subtype": "PCM_24"}, 2**-23),
    ("a.wav", {"subtype": "PCM_32"}, 2**-24),
    ("a.wav", {"subtype": "FLOAT"}, 0),
    ("a.wav", {"subtype": "DOUBLE"}, 0),
    ("a.wav", {"subtype": "PCM_16", "endian": "BIG"}, 2**-15),
    ("a.wav", {"subtype": "PCM_16", "format": "WAVEX"}, 2**-15),
    ("a.wav", {"subtype": "PCM_24", "format": "WAVEX"}, 2**-23),
    ("a.wav", {"subtype": "FLOAT", "format": "WAVEX"}, 0),
    ("a.wav", {"subtype": "PCM_16", "format": "RF64"}, 2**-15),
    ("a.wav", {"subtype": "PCM_24", "format": "RF64"}, 2**-23),
    ("a.flac", {"subtype": "PCM_16"}, 2**-15),
    ("a.flac", {"subtype": "PCM_24"}, 2**-23),
    ("a.aiff", {"subtype": "PCM_16"}, 2**-15),
    ("a.aiff", {"subtype": "PCM_24"}, 2**-23),
    ("a.aiff", {"subtype": "FLOAT"}, 0),
    ("a.au", {"subtype": "PCM_16"}, 2**-15),
    ("a.au", {"subtype": "PCM_16", "endian": "LITTLE"}, 2**-15),
    ("a.w64", {"subtype": "PCM_24"}, 2**-23),
    ("a.caf", {"subtype": "PCM_24"}, 2**-23),
    ("a.caf", {"subtype": "ALAC_16"}, 2**-15),
]


@pytest.mark.parametrize(("name", "options", "error"), LOSSLESS)
@pytest.mark.parametrize("frames", [12_000, 12_001])
def test_lossless_files_give_the_samples_that_were_written(tmp_path, name, options, error, frames):
    written = make_noise(3, frames)
    audio = read_audio(write_sound(tmp_path / name, written, **options), frames / RATE, RATE)
    assert audio.sample_rate == RATE
    assert audio.samples.dtype == np.float32
    assert audio.samples.shape == (3, frames)
    np.testing.assert_allclose(audio.samples, written, rtol=0, atol=error)


@pytest.mark.parametrize("options", [{}, {"endian": "BIG"}, {"format": "WAVEX"}, {"format": "RF64"}])
@pytest.mark.parametrize(("channels", "frames"), [(1, 5), (2, 2**15), (5, 2**16 + 7)])
def test_24_bit_samples_have_the_bits_that_libsndfile_gives(tmp_path, options, channels, frames):
    path = write_sound(tmp_path / "a.wav", make_noise(channels, frames), subtype="PCM_24", **options)
    np.testing.assert_array_equal(read_audio(path).samples, soundfile.read(path, dtype="float32", always_2d=True)[0].T)


@pytest.mark.parametrize(
    ("name", "options"), [("a.ogg", {}), ("a.ogg", {"subtype": "OPUS"}), ("a.mp3", {}), ("a.wav", {"subtype": "ULAW"})]
)
@pytest.mark.parametrize("rate", [8_000, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_lossy_files_give_the_sound_that_was_written(tmp_path, name, options, rate, channels):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate) * np.float32([[1], [0.5]])[:channels]
    audio = read_audio(write_sound(tmp_path / name, tone, rate, **options), 1.0, rate)
    assert audio.samples.shape == tone.shape
    assert all(np.corrcoef(audio.samples[c], tone[c])[0, 1] > 0.99 for c in range(channels))


@pytest.mark.parametrize("subtype", ["GSM610", "NMS_ADPCM_32", "IMA_ADPCM"])
def test_speech_codecs_that_cannot_seek_are_read(tmp_path, subtype):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)[None]
    samples = read_audio(write_sound(tmp_path / "a.wav", tone, 8000, subtype=subtype)).samples
    assert np.corrcoef(samples[0, :8000], tone[0])[0, 1] > 0.9


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000])
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_every_rate_and_channel_count_is_read(tmp_path, name, rate):
    for channels in range(1, 9):
        audio = read_audio(write_sound(tmp_path / name, make_noise(channels, rate // 25), rate), 0.04, rate)
        assert audio.sample_rate == rate
        assert audio.samples.shape == (channels, rate // 25)


def test_wav_of_a_stream_with_unknown_size_is_read_to_its_end(tmp_path):
    data = bytearray(encode_sound(tmp_path / "a.wav", make_noise()))
    data[4:8] = data[40:44] = b"\xff" * 4
    assert read_audio(write_bytes(tmp_path / "a.wav", bytes(data))).samples.shape == make_noise().shape


@pytest.mark.parametrize("name", ["a.flac", "a.ogg"])
def test_a_click_in_silence_is_sound_however_well_it_packs(tmp_path, name):
    samples = np.zeros((2, 10 * RATE), np.float32)
    samples[:, 1000] = 0.5
    path = write_sound(tmp_path / name, samples)
    assert path.stat().st_size < samples.size // 128
    assert read_audio(path, 10.0).samples.shape == samples.shape


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_mp3_of_constant_rate_needs_no_length_in_it(tmp_path, rate):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)[None]
    data = mp3_without_length(
        encode_sound(tmp_path / "a.mp3", tone, rate, bitrate_mode="CONSTANT", compression_level=0.5)
    )
    tags = b"ID3\4\0\0\0\0\1\0" + bytes(128), b"TAG" + bytes(125)
    for before, after in [(b"", b""), (tags[0], b""), (b"", tags[1]), tags]:
        samples = read_audio(write_bytes(tmp_path / "a.mp3", before + data + after), None, rate).samples
        assert samples.shape[1] % 576 == 0  # all frames, the encoder's delay included
        assert 0 <= samples.shape[1] - rate < 4000


def test_resample_without_a_change_gives_the_same_array():
    same = make_noise()
    assert resample(same, RATE, RATE) is same


@pytest.mark.slow
@pytest.mark.parametrize(
    ("from_rate", "to_rate"), [(48_000, 22_050), (44_100, 22_050), (96_000, 22_050), (8_000, 22_050)]
)
@pytest.mark.parametrize("frames", [48_000, 44_101, 12_345, 7])
def test_resample_equals_librosa(from_rate, to_rate, frames):
    samples = make_noise(2, frames)
    ours = resample(samples, from_rate, to_rate)
    theirs = librosa.resample(samples, orig_sr=from_rate, target_sr=to_rate, res_type="soxr_hq")
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, theirs)


def test_resample_keeps_a_clip_of_ten_seconds_ten_seconds_long():
    assert resample(make_noise(2, 480_000), 48_000, 22_050).shape == (2, 220_500)


def test_match_channels():
    left_right = np.float32([[1, 2, 3], [3, 4, -3]])
    assert match_channels(left_right, 2).tolist() == left_right.tolist()
    assert match_channels(left_right, 1).tolist() == [[2, 3, 0]]
    assert match_channels(left_right[:1], 2).tolist() == [[1, 2, 3], [1, 2, 3]]
    assert match_channels(np.arange(12).reshape(4, 3), 2).tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(AudioError, match=r"a\.wav: the recording has too few channels \(2 cannot give 4\)") as caught:
        match_channels(left_right, 4, "a.wav")
    assert caught.value.reason == "wrong_channels"


def test_reading_imports_neither_torch_nor_pandas():
    code = "import sys, asc_mrkd.audio.read; print(sorted({'torch', 'pandas', 'scipy', 'librosa'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "[]\n"


def test_sound_after_other_chunks_is_found(tmp_path):
    data = encode_sound(tmp_path / "a.wav", make_noise())
    extra = b"LIST" + struct.pack("<I", 5) + b"odd.." + b"\0"
    longer = data[:36] + extra + data[36:]
    assert read_audio(write_bytes(tmp_path / "a.wav", longer)).samples.shape == make_noise().shape
    with pytest.raises(AudioError) as caught:
        read_audio(write_bytes(tmp_path / "a.wav", longer[:-2]))
    assert caught.value.reason == "truncated"
