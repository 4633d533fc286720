"""Hostile sound files: headers that lie and headers changed at random give an AudioError, in little time and memory.

They are read in a separate process, so that a crash, a hang and the memory of libsndfile show.
"""

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.audio import RATE, encode_sound, make_noise

pytestmark = pytest.mark.slow

MAX_PEAK_MIB = 500


def encode(folder: Path, kind: str, frames: int = RATE, **options: str) -> bytes:
    """Return noise as the bytes of a sound file."""
    return encode_sound(folder / f"honest.{kind}", make_noise(frames=frames), **options)


def run(program: str, *arguments: object, seconds: int = 120) -> list[str]:
    """Run a Python program, check its peak memory, which it prints last, and return the other lines it printed.

    VmHWM is the peak of the process (KiB), with libsndfile; ru_maxrss would count the process that started it.
    """
    program += """
import re
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr[-4000:]}"
    *lines, peak = done.stdout.splitlines()
    assert int(peak) < MAX_PEAK_MIB
    return lines


def with_flac_header(data: bytes, frames: int, rate: int | None = None) -> bytes:
    """Rewrite the 36-bit frame count, and the 20-bit rate, in the STREAMINFO block of a FLAC file."""
    word = int.from_bytes(data[18:26], "big") >> 36 << 36 | frames
    if rate is not None:
        word = word & (2**44 - 1) | rate << 44
    return data[:18] + word.to_bytes(8, "big") + data[26:]


def with_ogg_length(data: bytes, frames: int) -> bytes:
    """Rewrite the granule position of the last Ogg page, and its checksum (RFC 3533: polynomial 0x04c11db7)."""
    start = data.rindex(b"OggS")
    page = data[start : start + 6] + struct.pack("<q", frames) + data[start + 14 : start + 22]
    page += bytes(4) + data[start + 26 :]
    checksum = 0
    for byte in page:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x04C11DB7 if checksum >> 31 else 0)) & 0xFFFFFFFF
    return data[:start] + page[:22] + struct.pack("<I", checksum) + page[26:]


def with_mp3_length(data: bytes, frames: int) -> bytes:
    """Rewrite the number of MPEG frames in the Xing tag."""
    start = max(data.find(b"Xing"), data.find(b"Info")) + 8
    return data[:start] + struct.pack(">I", frames) + data[start + 4 :]


def lying_files(folder: Path) -> list[tuple[str, bytes, str]]:
    """Files whose headers lie about the length or the rate: name, content and the reason to refuse them."""
    flac, ogg, mp3, wav, au, caf = (encode(folder, kind) for kind in ("flac", "ogg", "mp3", "wav", "au", "caf"))
    opus = encode(folder, "ogg", subtype="OPUS")
    rf64 = encode(folder, "wav", format="RF64")
    size = rf64.index(b"ds64") + 16
    data = caf.index(b"data") + 4
    return [
        *[(f"{n}.flac", with_flac_header(flac, n), "damaged") for n in (RATE - 1, RATE + 1, 2**28, 2**36 - 1)],
        ("rate.flac", with_flac_header(flac, RATE, 3), "damaged"),
        *[(f"{n}.ogg", with_ogg_length(ogg, n), "truncated") for n in (2 * RATE, 2**26)],
        *[(f"{n}.ogg", with_ogg_length(ogg, n), "damaged") for n in (2**40, 2**63 - 1, -(2**63))],
        *[(f"{n}.opus", with_ogg_length(opus, n), "truncated") for n in (2 * RATE, 2**25)],
        *[(f"{n}.opus", with_ogg_length(opus, n), "damaged") for n in (0, 2**40, 2**63 - 1, -(2**63))],
        *[(f"{n}.mp3", with_mp3_length(mp3, n), "truncated") for n in (100, 2**16)],
        *[(f"{n}.mp3", with_mp3_length(mp3, n), "damaged") for n in (0, 1, 5, 2**20, 2**32 - 1)],
        ("untold.mp3", mp3[mp3.index(mp3[:2], 4) :], "damaged"),  # the bit rate varies: libsndfile guesses too little
        ("4-GB.wav", wav[:40] + struct.pack("<I", 2**32 - 2) + wav[44:], "truncated"),
        ("exabytes.rf64", rf64[:size] + struct.pack("<Q", 2**63 - 1) + rf64[size + 8 :], "truncated"),
        ("4-GB.au", au[:8] + struct.pack(">I", 2**32 - 2) + au[12:], "truncated"),
        ("exabytes.caf", caf[:data] + struct.pack(">Q", 2**62) + caf[data + 8 :], "truncated"),
    ]


READ_ALL = """
import sys
from pathlib import Path
from asc_mrkd.errors import AudioError
from asc_mrkd.audio.read import read_audio
for path in map(Path, sys.argv[1:]):
    try:
        print(path.name, read_audio(path).samples.shape[1])
    except AudioError as error:
        print(path.name, error.reason)
"""


def test_headers_that_lie_cost_neither_time_nor_memory(tmp_path):
    cases = lying_files(tmp_path)
    for name, content, _ in cases:
        (tmp_path / name).write_bytes(content)
    lines = run(READ_ALL, *[tmp_path / name for name, _, _ in cases], seconds=60)
    assert lines == [f"{name} {reason}" for name, _, reason in cases]


SOURCES = [  # kind and options of soundfile
    *[("wav", {"subtype": kind}) for kind in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")],
    *[("wav", {"subtype": kind}) for kind in ("IMA_ADPCM", "MS_ADPCM", "ULAW")],
    *[("wav", {"subtype": "PCM_24", "format": kind}) for kind in ("WAVEX", "RF64")],
    *[("aiff", {"subtype": kind}) for kind in ("PCM_16", "FLOAT", "IMA_ADPCM")],
    *[("caf", {"subtype": kind}) for kind in ("PCM_16", "ALAC_16")],
    *[("flac", {"subtype": kind}) for kind in ("PCM_16", "PCM_24")],
    *[("ogg", {"subtype": kind}) for kind in ("VORBIS", "OPUS")],
    *[(kind, {}) for kind in ("au", "w64", "mp3")],
]

READ_MUTATED = """
import signal, sys
from pathlib import Path
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from asc_mrkd.errors import AudioError
from asc_mrkd.audio.read import read_audio

folder = Path(sys.argv[1])
sources = [path.read_bytes() for path in sorted(folder.glob("source-*"))]
mutated, seen = folder / "mutated", set()
extremes = [value.to_bytes(8, order)[part] for value in (0, 1, 2**15, 2**20, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)
            for order, part in (("little", slice(4)), ("little", slice(8)), ("big", slice(4, 8)), ("big", slice(8)))]
position = st.integers(0, 120) | st.integers(0, 5000)
change = st.tuples(position, st.integers(0, 4), st.binary(max_size=4) | st.sampled_from(extremes))


def compare(samples):
    try:
        theirs, _ = soundfile.read(mutated, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, TypeError, ValueError):  # it does not read what is read here: no size, BW64, ...
        return
    if theirs.shape == samples.T.shape:
        assert (samples == theirs.T).all()
        seen.add("same")


@settings(max_examples=2000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sources), st.lists(change, min_size=1, max_size=5), st.none() | st.integers(0, 5000))
def read_mutated(source, changes, cut):
    data = bytearray(source)
    for start, removed, new in changes:
        data[start : start + (removed or len(new))] = new
    mutated.write_bytes(data[:cut])
    signal.alarm(10)
    try:
        samples = read_audio(mutated).samples
        assert samples.any() and abs(samples).max() <= 100
        seen.add("sound")
    except AudioError as error:
        seen.add(error.reason)
    else:
        compare(samples)
    signal.alarm(0)


read_mutated()
print(*sorted(seen))
"""
"""The alarm ends the process: a file that takes 10 s is a failure. The file that did it is left as `mutated`."""


def test_two_thousand_mutated_headers_give_sound_or_an_audio_error(tmp_path):
    for number, (kind, options) in enumerate(SOURCES):
        content = encode(tmp_path, kind, 3000 if kind in ("mp3", "ogg") else 300, **options)
        (tmp_path / f"source-{number:02}").write_bytes(content)
    (seen,) = run(READ_MUTATED, tmp_path)
    assert {"sound", "same", "damaged", "truncated", "not_audio"} <= set(seen.split())
