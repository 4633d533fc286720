"""Headers that lie, contradict themselves or were never finished: the whole sound, or a true reason."""

import contextlib
import io
import os
import struct
from pathlib import Path
from struct import pack, unpack_from

import numpy as np
import pytest
import soundfile
from helpers.audio import RATE, encode_sound, make_noise, mp3_without_length, write_bytes, write_sound

from asc_mrkd.audio import SOUND_SUFFIXES
from asc_mrkd.audio.read import read_audio, read_shape
from asc_mrkd.errors import AudioError

NOISE = make_noise(frames=RATE // 10)
TONE = 0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE // 10) / RATE)
TAG = b"TAG" + bytes(range(125))
ID3 = b"ID3\4\0\0\0\0\1\0" + bytes(128)
NOTE = b"LIST" + pack("<I", 4) + b"INFO"


def read_bytes(folder: Path, content: bytes) -> np.ndarray:
    """Return the samples of a file with this content."""
    return read_audio(write_bytes(folder / "odd.bin", content)).samples


def refuse(folder: Path, content: bytes, reason: str, words: str = r"\(") -> AudioError:
    """Return the error for a file with this content, which must have this reason and these words."""
    with pytest.raises(AudioError, match=words) as caught:
        read_bytes(folder, content)
    assert caught.value.reason == reason
    return caught.value


def wav(folder: Path, subtype: str = "PCM_16", **options) -> bytes:
    """Return noise as a WAV file with 44 bytes of header, or more for other formats."""
    return encode_sound(folder / "honest.wav", NOISE, subtype=subtype, **options)


SIZES = {  # size of the file and of the sound, as writers leave them that cannot go back
    "sox": (0x7FFFF024, 0x7FFFF000),
    "sox, whole frames": (0x7FFFF020, 0x7FFFEFFC),
    "arecord": (0x80000024, 0x80000000),
    "ffmpeg": (0xFFFFFFFF, 0xFFFFFFFF),
    "lame": (0x7FFFFFFF + 36, 0x7FFFFFFF),
    "less the header": (0xFFFFFFFF, 0xFFFFFFFF - 36),
    "killed": (0, 0),
    "killed after the header": (36, 0),
}


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
@pytest.mark.parametrize(("total", "sound"), SIZES.values(), ids=SIZES)
def test_a1_placeholders_in_wav_mean_the_end_of_the_file(tmp_path, subtype, total, sound):
    honest = wav(tmp_path, subtype)
    size = honest.index(b"data") + 4
    odd = honest[:4] + pack("<I", total) + honest[8:size] + pack("<I", sound) + honest[size + 4 :]
    np.testing.assert_array_equal(read_bytes(tmp_path, odd), read_bytes(tmp_path, honest))


@pytest.mark.parametrize("value", [0, 2**64 - 1])
def test_a1_placeholders_of_64_bits(tmp_path, value):
    rf64 = wav(tmp_path, format="RF64")
    size = rf64.index(b"ds64") + 16
    odd = rf64[: size - 8] + pack("<QQ", value, value) + rf64[size + 8 :]
    np.testing.assert_array_equal(read_bytes(tmp_path, odd), read_bytes(tmp_path, rf64))
    w64 = encode_sound(tmp_path / "a.w64", NOISE, subtype="PCM_24")
    size = w64.index(b"data\xf3") + 16
    odd = w64[:16] + pack("<Q", value) + w64[24:size] + pack("<Q", value) + w64[size + 8 :]
    np.testing.assert_array_equal(read_bytes(tmp_path, odd), read_bytes(tmp_path, w64))


@pytest.mark.parametrize("value", [0, 8, 0x7F000008, 0x7FFFFFFF, 2**32 - 1])
def test_a1_placeholders_in_aiff(tmp_path, value):
    aiff = encode_sound(tmp_path / "a.aiff", NOISE, subtype="PCM_16")
    size = aiff.index(b"SSND") + 4
    odd = aiff[:4] + pack(">I", value) + aiff[8:size] + pack(">I", value) + aiff[size + 4 :]
    np.testing.assert_array_equal(read_bytes(tmp_path, odd), read_bytes(tmp_path, aiff))


@pytest.mark.parametrize("value", [0, 0x7FFFF000, 0x7FFFFFFF, 2**31, 2**32 - 1])
def test_a1_placeholders_in_au(tmp_path, value):
    au = encode_sound(tmp_path / "a.au", NOISE, subtype="PCM_16")
    odd = au[:8] + pack(">I", value) + au[12:]
    np.testing.assert_array_equal(read_bytes(tmp_path, odd), read_bytes(tmp_path, au))


@pytest.mark.parametrize("value", [2**64 - 1, 0, 4])
def test_a9_caf_of_unknown_length(tmp_path, value):
    caf = encode_sound(tmp_path / "a.caf", NOISE, subtype="PCM_24")
    size = caf.index(b"data") + 4
    odd = caf[:size] + pack(">Q", value) + caf[size + 8 :]
    np.testing.assert_array_equal(read_bytes(tmp_path, odd), read_bytes(tmp_path, caf))


def test_a1_a_file_without_sound_is_empty(tmp_path):
    honest = wav(tmp_path)
    refuse(tmp_path, honest[:40] + bytes(4), "empty")
    refuse(tmp_path, honest[:40] + bytes(4) + NOTE, "empty")
    refuse(tmp_path, honest[:4] + pack("<II", 0x7FFFF024, 0)[:4] + honest[8:40] + pack("<I", 0x7FFFF000), "empty")


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ALAW"])
@pytest.mark.parametrize("kind", ["wav", "rf64", "w64", "aiff", "au", "caf"])
def test_a3_sizes_that_are_too_small_leave_no_sound_out(tmp_path, kind, subtype):
    name, magic, size_format, skipped = {
        "wav": ("a.wav", b"data", "<I", 4),
        "rf64": ("a.rf64", b"ds64", "<Q", 16),
        "w64": ("a.w64", b"data\xf3", "<Q", 16),
        "aiff": ("a.aiff", b"SSND", ">I", 4),
        "au": ("a.au", b".snd", ">I", 8),
        "caf": ("a.caf", b"data", ">Q", 4),
    }[kind]
    honest = encode_sound(tmp_path / name, NOISE, subtype=subtype, **({"format": "RF64"} if kind == "rf64" else {}))
    size = honest.index(magic) + skipped
    field = struct.calcsize(size_format)
    odd = honest[:size] + pack(size_format, 1000) + honest[size + field :]
    error = refuse(tmp_path, odd, "damaged", "more follow")
    assert "ffmpeg" in error.hint


def test_a3_a_size_that_wrapped_at_4_gib_is_refused(tmp_path):
    path = write_bytes(tmp_path / "long.wav", wav(tmp_path))
    with path.open("r+b") as stream:
        stream.truncate(2**32 + 10_000)
        stream.seek(2**32 + 9_000)
        stream.write(b"\1" * 1000)
    with pytest.raises(AudioError) as caught:
        read_audio(path)
    assert caught.value.reason == "damaged"


@pytest.mark.parametrize("tail", [TAG, NOTE, NOTE + TAG, ID3, bytes(500), b"\0", b"LIST" + pack("<I", 99) + b"cut"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a3_tags_chunks_and_padding_behind_the_sound_are_accepted(tmp_path, tail, subtype):
    honest = wav(tmp_path, subtype)
    np.testing.assert_array_equal(read_bytes(tmp_path, honest + tail), read_bytes(tmp_path, honest))
    w64 = encode_sound(tmp_path / "a.w64", NOISE, subtype=subtype)
    np.testing.assert_array_equal(read_bytes(tmp_path, w64 + TAG), read_bytes(tmp_path, w64))


@pytest.mark.parametrize("excess", [8, 36, 44])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_a1_a_size_that_counts_the_header_is_not_a_cut_file(tmp_path, excess, subtype):
    honest = wav(tmp_path, subtype)
    at = honest.index(b"data") + 4
    (size,) = struct.unpack_from("<I", honest, at)
    odd = honest[:at] + pack("<I", size + excess) + honest[at + 4 :]
    np.testing.assert_array_equal(read_bytes(tmp_path, odd), read_bytes(tmp_path, honest))
    refuse(tmp_path, honest[:-excess], "truncated")


@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM", "GSM610"])
def test_a1_placeholders_in_compressed_wav(tmp_path, subtype):
    honest = encode_sound(tmp_path / "a.wav", NOISE[:1], 8000, subtype=subtype)
    at = honest.index(b"data") + 4
    fact = honest.index(b"fact") + 8
    for value in (0, 2**32 - 1, 0x7FFFF000):
        odd = honest[:fact] + pack("<I", 0) + honest[fact + 4 : at] + pack("<I", value) + honest[at + 4 :]
        samples = read_bytes(tmp_path, odd)
        expected = read_bytes(tmp_path, honest)
        assert samples.shape[1] >= expected.shape[1]
        written = NOISE.shape[1]  # the rest of the last block is arbitrary
        np.testing.assert_array_equal(samples[:, :written], expected[:, :written])


def test_a3_a_second_recording_behind_the_first_is_not_left_out(tmp_path):
    honest = wav(tmp_path)
    refuse(tmp_path, honest + honest, "damaged", "another recording")
    refuse(tmp_path, honest + honest[36:], "damaged", "another chunk of sound")
    refuse(tmp_path, honest + NOTE + honest[44:], "damaged", "not a chunk")


@pytest.mark.parametrize("kind", ["ogg", "opus", "flac", "oggflac"])
def test_a4_streams_that_follow_each_other_are_read_to_the_end(tmp_path, kind):
    links = [encode_stream(tmp_path, kind, NOISE), encode_stream(tmp_path, kind, NOISE[:, :3000])]
    parts = [read_bytes(tmp_path, link) for link in links]
    assert [part.shape[1] for part in parts] == [RATE // 10, 3000]
    np.testing.assert_array_equal(read_bytes(tmp_path, b"".join(links)), np.concatenate(parts, axis=1))
    mono = encode_stream(tmp_path, kind, NOISE[:1])
    refuse(tmp_path, links[0] + mono, "damaged", "different rates or channels")
    (tmp_path / "parts").write_bytes(links[0] + mono)
    with pytest.raises(AudioError, match="different rates or channels"):
        read_shape(tmp_path / "parts")


def encode_stream(folder: Path, kind: str, samples: np.ndarray) -> bytes:
    """Return a stream of Vorbis, Opus, FLAC or FLAC in Ogg."""
    if kind == "ogg":
        return encode_sound(folder / "a.ogg", samples, subtype="VORBIS")
    if kind == "opus":
        return encode_sound(folder / "a.ogg", samples, subtype="OPUS")
    flac = encode_sound(folder / "a.flac", samples)
    return flac if kind == "flac" else flac_in_ogg(flac)


def flac_in_ogg(flac: bytes) -> bytes:
    """Put a FLAC file into Ogg pages: a head, and the rest in packets of arbitrary size, as no reader cares."""
    packets = [b"\x7fFLAC\1\0\0\0" + flac[:42], *(flac[i : i + 5000] for i in range(42, len(flac), 5000))]
    pages = []
    for number, packet in enumerate(packets):
        flags = 2 if number == 0 else 4 if number == len(packets) - 1 else 0
        segments = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
        head = b"OggS" + pack("<BBqIII", 0, flags, 0, 7, number, 0) + bytes([len(segments)]) + segments
        pages.append(with_checksum(head + packet))
    return b"".join(pages)


def with_checksum(page: bytes) -> bytes:
    """Return an Ogg page with its checksum (RFC 3533: polynomial 0x04c11db7)."""
    page = page[:22] + bytes(4) + page[26:]
    checksum = 0
    for byte in page:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x04C11DB7 if checksum >> 31 else 0)) & 0xFFFFFFFF
    return page[:22] + pack("<I", checksum) + page[26:]


@pytest.mark.parametrize("kind", ["ogg", "opus", "oggflac"])
def test_a4_a_stream_without_end_mark_is_read_to_its_last_page(tmp_path, kind):
    honest = encode_stream(tmp_path, kind, NOISE)
    last = honest.rindex(b"OggS")
    page = bytearray(honest[last:])
    page[5] &= ~4
    unfinished = honest[:last] + with_checksum(bytes(page))
    np.testing.assert_array_equal(read_bytes(tmp_path, unfinished), read_bytes(tmp_path, honest))
    both = read_bytes(tmp_path, unfinished + unfinished)
    assert both.shape[1] == 2 * RATE // 10
    refuse(tmp_path, unfinished[:-1], "truncated")
    refuse(tmp_path, honest[: last + 20], "truncated")


def test_a4_missing_and_damaged_ogg_pages_are_named(tmp_path):
    honest = encode_sound(tmp_path / "a.ogg", make_noise(frames=RATE), subtype="VORBIS")
    pages = [at for at in range(len(honest)) if honest.startswith(b"OggS", at)]
    refuse(tmp_path, honest[: pages[3]] + honest[pages[4] :], "damaged", "pages are missing after page 2")
    flipped = bytearray(honest)
    flipped[pages[3] + 1000] ^= 0xFF
    refuse(tmp_path, bytes(flipped), "damaged")
    refuse(tmp_path, honest[: pages[3]] + b"junk" + honest[pages[3] :], "damaged", "between its Ogg pages")
    for tail in (TAG, bytes(300), b"junk" * 50):
        np.testing.assert_array_equal(read_bytes(tmp_path, honest + tail), read_bytes(tmp_path, honest))


def with_flac_length(flac: bytes, frames: int) -> bytes:
    """Rewrite the 36-bit frame count in the STREAMINFO block of a FLAC file."""
    word = int.from_bytes(flac[18:26], "big") >> 36 << 36 | frames
    return flac[:18] + word.to_bytes(8, "big") + flac[26:]


def test_a4_flac_whose_header_knows_no_length_is_read_to_its_end(tmp_path):
    honest = encode_sound(tmp_path / "a.flac", NOISE)
    unknown = with_flac_length(honest, 0)
    for content in (unknown, ID3 + unknown, unknown + TAG, flac_in_ogg(unknown)):
        np.testing.assert_array_equal(read_bytes(tmp_path, content), read_bytes(tmp_path, honest))
    refuse(tmp_path, unknown[:-1], "damaged")
    refuse(tmp_path, with_flac_length(honest, 1000), "damaged", "claims 1,000 frames, there are more")
    np.testing.assert_array_equal(read_bytes(tmp_path, honest + b"junk" * 99), read_bytes(tmp_path, honest))


def wav_of(format_chunk: bytes, data: bytes) -> bytes:
    """Return a WAV file with this `fmt ` chunk."""
    body = b"WAVEfmt " + pack("<I", len(format_chunk)) + format_chunk + b"data" + pack("<I", len(data)) + data
    return b"RIFF" + pack("<I", len(body)) + body


def make_format(tag: int, bits: int, block: int, per_second: int | None = None, valid: int = 0) -> bytes:
    """Return a `fmt ` chunk of a mono recording; `valid` makes it extensible."""
    plain = pack("<HHIIHH", tag, 1, RATE, RATE * block if per_second is None else per_second, block, bits)
    if not valid:
        return plain
    return plain + pack("<HHIH", 22, valid, 4, 1) + bytes.fromhex("000000001000800000aa00389b71")


INT24_IN_32 = (np.round(TONE * 2**23).astype("<i4") << 8).tobytes()
INT16_IN_32 = (np.round(TONE * 2**15).astype("<i4") << 16).tobytes()
INT16 = np.round(TONE * 2**15).astype("<i2").tobytes()
INT24 = b"".join(INT24_IN_32[i + 1 : i + 4] for i in range(0, len(INT24_IN_32), 4))
FLOAT = TONE.astype("<f4").tobytes()


@pytest.mark.parametrize(
    ("chunk", "data"),
    [
        (make_format(0xFFFE, 24, 4, valid=24), INT24_IN_32),
        (make_format(0xFFFE, 32, 4, valid=24), INT24_IN_32),
        (make_format(1, 24, 4), INT24_IN_32),
        (make_format(1, 24, 4, per_second=RATE * 3), INT24_IN_32),
        (make_format(1, 24, 4, per_second=RATE * 3), INT24),
        (make_format(1, 20, 3), INT24),
        (make_format(1, 16, 4), INT16),
        (make_format(1, 16, 4), INT16_IN_32),
        (make_format(1, 16, 4, per_second=RATE * 2), INT16),
        (make_format(0xFFFE, 16, 4, valid=16), INT16_IN_32),
        (make_format(1, 16, 0), INT16),
        (make_format(1, 16, 2, per_second=1), INT16),
        (make_format(3, 32, 8, per_second=RATE * 4), FLOAT),
    ],
)
def test_a5_headers_that_contradict_themselves_never_give_noise(tmp_path, chunk, data):
    samples = read_bytes(tmp_path, wav_of(chunk, data))
    np.testing.assert_allclose(samples, TONE[None], rtol=0, atol=2**-15)


@pytest.mark.parametrize("silence", [16_384, 200_000])
@pytest.mark.parametrize(("bits", "data"), [(16, INT16_IN_32), (24, INT24_IN_32)])
def test_a5_silence_at_the_start_says_nothing_about_the_layout(tmp_path, bits, data, silence):
    samples = read_bytes(tmp_path, wav_of(make_format(1, bits, 4), bytes(4 * silence) + data))
    assert samples.shape == (1, silence + len(TONE))
    assert not samples[:, :silence].any()
    np.testing.assert_allclose(samples[:, silence:], TONE[None], rtol=0, atol=2**-15)


@pytest.mark.parametrize(
    ("chunk", "data"),
    [
        (make_format(1, 8, 2), INT16),
        (make_format(1, 24, 2), INT16),
        (make_format(1, 0, 2), INT16),
        (make_format(1, 16, 3), INT24),
        (make_format(1, 24, 4), (np.round(TONE * 2**23).astype("<i4")).tobytes()),
        (make_format(1, 16, 4), np.random.default_rng(0).integers(-(2**28), 2**28, 9000, "<i4").tobytes()),
        (make_format(3, 16, 4), FLOAT),
        (make_format(3, 16, 2), INT16),
        (make_format(3, 24, 3), INT24),
        (pack("<HHIIHH", 1, 0, RATE, 0, 0, 16), INT16),
    ],
)
def test_a5_headers_that_leave_the_layout_open_are_refused(tmp_path, chunk, data):
    refuse(tmp_path, wav_of(chunk, data), "damaged", "its header contradicts itself")


def test_a8_every_kind_that_is_read_is_found_by_its_suffix_in_any_case(tmp_path):
    for name, options in [
        *[(f"a{end}", {"subtype": "PCM_16"}) for end in (".WAV", ".Aiff", ".AU", ".caf", ".w64", ".FLAC")],
        ("a.aif", {"subtype": "PCM_16", "format": "AIFF"}),
        *[(f"a{end}", {"subtype": "PCM_16", "format": "WAV"}) for end in (".wave", ".BWF")],
        ("a.snd", {"subtype": "PCM_16", "format": "AU"}),
        ("a.aifc", {"subtype": "ALAW", "format": "AIFF"}),
        ("a.rf64", {"subtype": "PCM_16", "format": "RF64"}),
        ("a.opus", {"subtype": "OPUS", "format": "OGG"}),
        ("a.oga", {"subtype": "VORBIS", "format": "OGG"}),
        ("a.mp3", {}),
    ]:
        path = write_sound(tmp_path / name, NOISE, **options)
        assert path.suffix.lower() in SOUND_SUFFIXES
        assert read_audio(path).samples.shape == NOISE.shape


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\0\0\0\x20ftypM4A " + bytes(2000), "MPEG-4"),
        (b"\x1a\x45\xdf\xa3" + bytes(200), "WebM"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(200), "Windows Media"),
        (b"\xff\xf1\x50\x80\x10\x1f\xfc" + bytes(range(200)), "AAC"),
        (b"\xff\xfd\xa4\x04" + bytes(764), "layer II"),
        (b"#!AMR\n" + bytes(200), "AMR"),
        (wav_of(make_format(0x161, 16, 2), INT16), "0x0161"),
        (with_checksum(b"OggS" + pack("<BBqIII", 0, 2, 0, 7, 0, 0) + b"\1\x50Speex   " + bytes(72)), "Speex"),
    ],
)
def test_a8_kinds_that_are_not_read_come_with_the_command_that_converts_them(tmp_path, content, kind):
    path = write_bytes(tmp_path / "d.m4a", content)
    with pytest.raises(AudioError, match=kind) as caught:
        read_audio(path)
    assert caught.value.reason == "other_kind"
    assert f"ffmpeg -i {path} {tmp_path / 'd.wav'}" in caught.value.hint


def test_a9_headers_that_specifications_allow_are_read(tmp_path):
    for subtype in ("PCM_24", "PCM_16", "ULAW"):
        honest = wav(tmp_path, subtype)
        samples = read_bytes(tmp_path, honest)
        odd = [
            honest[:12] + b"LIST" + pack("<I", 393_164) + bytes(393_164) + honest[12:],
            honest[:12] + b"bext" + pack("<I", 602) + bytes(602) + honest[12:],
            b"ID3\3\0\0\0\0\x02\0" + bytes(256) + honest,
            ID3 + ID3 + bytes(100) + honest,
            honest[:12] + b"LIST" + pack("<I", 5) + b"INFO!" + honest[12:],  # odd, without the byte of padding
            honest[:12] + b"LIST" + pack("<I", 5) + b"INFO!\0" + honest[12:],
        ]
        for content in odd:
            np.testing.assert_array_equal(read_bytes(tmp_path, content), samples)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
def test_a9_bw64_is_read(tmp_path, subtype):
    rf64 = wav(tmp_path, subtype, format="RF64")
    np.testing.assert_array_equal(read_bytes(tmp_path, b"BW64" + rf64[4:]), read_bytes(tmp_path, rf64))


def test_a9_mp3_within_wav_is_read(tmp_path):
    tone = np.float32([TONE.repeat(5)])
    mp3 = encode_sound(tmp_path / "a.mp3", tone)
    chunk = pack("<HHIIHHHHIHHH", 0x55, 1, RATE, 16_000, 1, 0, 12, 1, 2, 384, 1, 1393)
    samples = read_bytes(tmp_path, wav_of(chunk, mp3))
    assert samples.shape[1] >= tone.shape[1]
    np.testing.assert_array_equal(samples, read_bytes(tmp_path, mp3))
    noise = np.concatenate([1e-4 * make_noise(1, RATE), make_noise(1, RATE)], axis=1)  # the bit rate varies
    untold = mp3_without_length(encode_sound(tmp_path / "a.mp3", noise, bitrate_mode="VARIABLE"))
    error = refuse(tmp_path, wav_of(chunk, untold), "damaged", "there are more")
    assert "ffmpeg -i IN OUT.wav" in error.hint
    refuse(tmp_path, wav_of(chunk, mp3[:-100]), "truncated")


def test_a9_what_stands_in_place_of_a_recording_or_before_it_is_named(tmp_path):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    assert "git lfs pull" in refuse(tmp_path, pointer, "not_audio", "Git LFS").hint
    error = refuse(tmp_path, b"\r\n\r\n" + wav(tmp_path), "not_audio", "4 other bytes stand before a RIFF file")
    assert "tail -c +5" in error.hint
    mp3 = encode_sound(tmp_path / "a.mp3", NOISE)
    error = refuse(tmp_path, bytes(700) + mp3, "not_audio", "700 other bytes stand before an MP3")
    assert "tail -c +701" in error.hint
    refuse(tmp_path, mp3[100:], "not_audio", "other bytes stand before an MP3")  # begun in the middle of a frame


def test_a_second_chunk_of_sound_behind_an_empty_one_is_not_read_with_its_header(tmp_path):
    honest = wav(tmp_path)
    refuse(tmp_path, honest[:36] + b"data" + bytes(4) + honest[36:], "damaged", "another chunk of sound")


@pytest.mark.parametrize("zeros", [1000, 4096])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_zeros_behind_an_mp3_are_left_out(tmp_path, zeros, mode):
    mp3 = encode_sound(tmp_path / "a.mp3", NOISE, bitrate_mode=mode, compression_level=0.5)  # it states its length
    whole = mp3_without_length(mp3) if mode == "CONSTANT" else mp3
    np.testing.assert_array_equal(read_bytes(tmp_path, whole + bytes(zeros)), read_bytes(tmp_path, whole))


@pytest.mark.parametrize("subtype", ["MS_ADPCM", "IMA_ADPCM", "GSM610"])
def test_the_filling_of_the_last_compressed_block_is_left_out(tmp_path, subtype):
    sound = NOISE[:1, :5003]
    content = encode_sound(tmp_path / "a.wav", sound, subtype=subtype)
    decoded, _ = soundfile.read(io.BytesIO(content), always_2d=True, dtype="float32")
    (stated,) = unpack_from("<I", content, content.index(b"fact") + 8)
    samples = read_bytes(tmp_path, content)
    assert samples.shape == (1, min(stated, len(decoded)))
    np.testing.assert_array_equal(samples, decoded[: samples.shape[1]].T)


def test_a6_mp3_files_that_were_joined_are_not_read_in_part(tmp_path):
    mp3 = encode_sound(tmp_path / "a.mp3", NOISE)
    refuse(tmp_path, mp3 + mp3, "damaged", "there are more")
    refuse(tmp_path, mp3 + ID3 + mp3, "damaged", "there are more")
    refuse(tmp_path, mp3 + b"junk" + mp3, "damaged", "between its frames")
    for content in (mp3 + TAG, mp3 + ID3, mp3 + b"junk" * 99, ID3 + bytes(2000) + mp3):
        np.testing.assert_array_equal(read_bytes(tmp_path, content), read_bytes(tmp_path, mp3))


def test_kind_4_libraries_print_nothing(tmp_path, capfd):
    mp3 = bytearray(encode_sound(tmp_path / "a.mp3", make_noise(frames=RATE)))
    read_bytes(tmp_path, mp3 + os.urandom(3000))
    for position in range(2000, len(mp3), 997):
        mp3[position] ^= 0xFF
    with pytest.raises(AudioError):
        read_bytes(tmp_path, mp3[:9000])
    with contextlib.suppress(AudioError):
        read_bytes(tmp_path, bytes(mp3))
    assert capfd.readouterr() == ("", "")


def test_a6_a_tolerance_accepts_clips_of_nearly_the_expected_length(tmp_path):
    path = write_sound(tmp_path / "a.wav", NOISE)
    with pytest.raises(AudioError) as caught:
        read_audio(path, 0.09)
    assert caught.value.reason == "wrong_length"
    assert "`pad_or_trim: 0.01`" in caught.value.hint
    assert read_audio(path, 0.09, tolerance=0.01).samples.shape == NOISE.shape
