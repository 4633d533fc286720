"""`asc-mrkd extract-features` on a data set with a clip of every kind, good and bad, and its report."""

import json
from pathlib import Path

import numpy as np
import soundfile
from helpers.cli import run_cli
from helpers.store import RATE, extract_by_verb, write_recordings

from asc_mrkd.store import open_store

GOOD = {  # options of soundfile.write
    "8 bit": {"subtype": "PCM_U8"},
    "16 bit": {"subtype": "PCM_16"},
    "32 bit": {"subtype": "PCM_32"},
    "float": {"subtype": "FLOAT"},
    "wave extensible": {"format": "WAVEX"},
    "rf64": {"format": "RF64"},
    "flac": {"format": "FLAC"},
    "ogg": {"format": "OGG"},
    "mp3": {"format": "MP3"},
}
DAMAGES = {  # function of the path and the samples of a clip, and the expected reason
    "zero bytes": (lambda path, x: path.write_bytes(b""), "empty"),
    "text": (lambda path, x: path.write_text("words\n" * 99), "not_audio"),
    "html": (lambda path, x: path.write_text("<!DOCTYPE html><title>404</title>"), "not_audio"),
    "cut header": (lambda path, x: cut(path, 30), "damaged"),
    "half a wav": (lambda path, x: cut(path, path.stat().st_size // 2), "truncated"),
    "half a flac": (lambda path, x: (write(path, x, format="FLAC"), cut(path, path.stat().st_size // 2)), "damaged"),
    "nan": (lambda path, x: write(path, np.where(x == x[99], np.nan, x), subtype="FLOAT"), "non_finite"),
    "infinite": (lambda path, x: write(path, np.where(x == x[99], -np.inf, x), subtype="FLOAT"), "non_finite"),
    "all zero": (lambda path, x: write(path, 0 * x), "silent"),
    "wrong length": (lambda path, x: write(path, x[: len(x) // 2]), "wrong_length"),
    "vanished": (lambda path, x: path.unlink(), "missing"),
}


def write(path: Path, samples: np.ndarray, rate: int = RATE, **options: str) -> None:
    soundfile.write(path, samples, rate, **{"format": "WAV", **options})


def cut(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


def test_every_damage_is_quarantined_with_its_reason(tmp_path):
    root, clips = write_recordings(tmp_path / "set", len(DAMAGES) + 9)
    names = clips["filename"].tolist()
    for name, (damage, _) in zip(names, DAMAGES.values(), strict=False):
        damage(root / name, soundfile.read(root / name)[0])
    done = extract_by_verb(root, tmp_path / "store")
    assert done.code == 1
    assert f"{len(DAMAGES)} of {len(names)} clips cannot be used, more than --max-bad 0.01" in done.err
    expected = dict(zip(names, [reason for _, reason in DAMAGES.values()] + [""] * 9, strict=True))
    table = open_store(tmp_path / "store").clips
    assert dict(zip(table["filename"], table["reason"], strict=True)) == expected
    assert all(f"left out {name}: {reason}" in done.err for name, reason in expected.items() if reason)
    assert extract_by_verb(root, tmp_path / "store", "--max-bad", 0.6).code == 0


def test_every_good_kind_is_accepted(tmp_path):
    rates, channels = (8_000, 22_050, 44_100, 96_000), (1, 3, 8)
    root, clips = write_recordings(tmp_path / "set", len(GOOD) + len(rates) + len(channels))
    paths = [root / name for name in clips["filename"]]
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (RATE // 2, 2))
    for path, options in zip(paths, GOOD.values(), strict=False):
        write(path, noise, **options)
    for path, rate in zip(paths[len(GOOD) :], rates, strict=False):
        write(path, np.random.default_rng(1).uniform(-0.5, 0.5, (rate // 2, 2)), rate)
    for path, count in zip(paths[-len(channels) :], channels, strict=True):
        write(path, np.random.default_rng(2).uniform(-0.5, 0.5, (RATE // 2, count)))
    done = extract_by_verb(root, tmp_path / "store")
    assert done.code == 0, done.err
    assert "left out" not in done.err
    assert (open_store(tmp_path / "store").clips["status"] == "ok").all()


def test_other_rates_are_refused_where_resampling_is_not_allowed(tmp_path):
    root, clips = write_recordings(tmp_path / "set", 4)
    for name in clips["filename"][:3]:
        write(root / name, np.random.default_rng(0).uniform(-0.5, 0.5, (8_000, 2)), 16_000)
    assert extract_by_verb(root, tmp_path / "store", "--no-resample").code == 1
    assert open_store(tmp_path / "store").clips["reason"].tolist() == ["", "", "", "wrong_rate"]
    refused = extract_by_verb(root, tmp_path / "store")
    assert refused.code == 2
    assert "resample is False in the store and True here" in refused.err


def test_many_bad_clips_are_named_up_to_a_limit(tmp_path):
    root, clips = write_recordings(tmp_path / "set", 30)
    for name in clips["filename"][:25]:
        (root / name).unlink()
    done = extract_by_verb(root, tmp_path / "store")
    assert done.err.count("left out") == 20
    assert f"... and 5 more, see {tmp_path / 'store' / 'clips.csv'}" in done.err


def test_check_data_finds_a_flipped_bit_in_a_store(recordings, tmp_path):
    (recordings.root / recordings.clips["filename"][7]).unlink()
    extract_by_verb(recordings.root, tmp_path / "store")
    sound = run_cli("check-data", tmp_path / "store")
    assert sound.code == 0
    assert "0 of 10 rows are damaged" in sound.out
    assert "warning missing: 1" in sound.out
    path = tmp_path / "store" / "features.npy"
    data = bytearray(path.read_bytes())
    row = (len(data) - 128) // 10
    data[128 + 3 * row + 77] ^= 1
    path.write_bytes(data)
    done = run_cli("check-data", tmp_path / "store", "--json")
    assert done.code == 1
    report = json.loads(done.out)
    assert report["bad"] == [recordings.clips["filename"][3]]
    assert [finding["code"] for finding in report["findings"]] == ["checksum", "missing"]


def test_shards_are_extracted_and_joined_by_the_verbs(tmp_path):
    root, _ = write_recordings(tmp_path / "set", 5)
    for number in (1, 2):
        done = extract_by_verb(root, tmp_path / f"part{number}", "--shard", f"{number}/2")
        assert done.code == 0, done.err
    done = run_cli("join-stores", tmp_path / "part1", tmp_path / "part2", "--out", tmp_path / "store")
    assert done.code == 0, done.err
    assert "5 x 2 x 40 x 16 float16" in done.out
    assert run_cli("check-data", tmp_path / "store").code == 0
