"""Damaged feature stores: every file is checked when a store is opened, every row when it is read or by check-data."""

import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.cli import run_cli

from asc_mrkd.config import StoreConfig
from asc_mrkd.doctor import check_data
from asc_mrkd.engine.data.samples import open_data
from asc_mrkd.errors import AscMrkdError, StoreError
from asc_mrkd.store import extract_clips, open_store
from asc_mrkd.store.layout import CLASSES, CLIPS, FEATURES, REPAIR_ROWS, SPEC, STATS, SUMMED, SUMS, write_sums

Damage = Callable[[Path], None]


@pytest.fixture
def damaged(store, tmp_path) -> Path:
    """A copy of the small store, to be damaged."""
    return shutil.copytree(store, tmp_path / "store")


def replace(name: str, old: str, new: str, count: int = 1) -> Damage:
    def damage(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, count))

    return damage


def move_lines(order: Callable[[list[str]], list[str]]) -> Damage:
    def damage(folder: Path) -> None:
        first, *rows = (folder / CLIPS).read_text().splitlines()
        (folder / CLIPS).write_text("\n".join([first, *order(rows)]) + "\n")

    return damage


def statistics(**changes: object) -> Damage:
    def damage(folder: Path) -> None:
        with np.load(folder / STATS) as arrays:
            values = {name: arrays[name] for name in arrays} | changes
        np.savez(folder / STATS, **{name: value for name, value in values.items() if value is not None})

    return damage


def write(name: str, content: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(content) and None


def cut(name: str, share: float) -> Damage:
    return lambda folder: os.truncate(folder / name, int(share * (folder / name).stat().st_size))


def flip(name: str) -> Damage:
    """Change a bit in the middle of a file."""

    def damage(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)

    return damage


def with_sums(damage: Damage) -> Damage:
    """Make a damage that has the right checksums, as another program might write it."""

    def damage_and_sum(folder: Path) -> None:
        damage(folder)
        write_sums(folder)

    return damage_and_sum


def in_features(change: Callable[[np.ndarray], None]) -> Damage:
    def damage(folder: Path) -> None:
        features = np.load(folder / FEATURES, mmap_mode="r+")
        change(features)
        features.flush()

    return damage


NAN = float("nan")
ROW_DAMAGES = {
    "a row over another": in_features(lambda rows: rows.__setitem__(3, rows[4])),
    "two rows swapped": in_features(lambda rows: rows.__setitem__([1, 2], rows[[2, 1]])),
    "a training row of zeros": in_features(lambda rows: rows.__setitem__(0, 0)),
    "all rows zero": in_features(lambda rows: rows.__setitem__(slice(None), 0)),
    "a test row of NaN": in_features(lambda rows: rows.__setitem__(7, NAN)),
    "one value infinite": in_features(lambda rows: rows.__setitem__((5, 0, 0, 0), np.inf)),
    "channels swapped": in_features(lambda rows: rows.__setitem__(2, rows[2, ::-1].copy())),
    "a bit": flip(FEATURES),
}
"""Damages of rows, which opening does not read."""

DAMAGES = {
    **{f"{name} is missing": lambda folder, name=name: (folder / name).unlink() for name in (*SUMMED, FEATURES, SUMS)},
    **{f"{name} is empty": write(name, b"") for name in (*SUMMED, FEATURES, SUMS)},
    **{f"half of {name}": cut(name, 0.5) for name in (*SUMMED, FEATURES, SUMS)},
    **{f"a bit of {name}": flip(name) for name in (*SUMMED, SUMS)},
    "a further line in SHA256SUMS": replace(SUMS, "  clips.csv\n", "  clips.csv\n0000  clips\n"),
    "row -1": replace(CLIPS, "\n0,", "\n-1,"),
    "row 999": replace(CLIPS, "\n5,", "\n999,"),
    "a label": replace(CLIPS, ",bus,", ",park,"),
    "an unknown label": replace(CLIPS, ",bus,", ",buss,"),
    "a split": replace(CLIPS, ",train,", ",test,"),
    "trian": replace(CLIPS, ",train,", ",trian,"),
    "a class in test only": replace(CLIPS, ",tram,vienna-0,a,train", ",tram,vienna-0,a,test"),
    "a status": replace(CLIPS, ",ok,", ",bad,"),
    "a clip twice": move_lines(lambda rows: [rows[0], *rows]),
    "a clip less": move_lines(lambda rows: rows[:-1]),
    "two clips swapped": move_lines(lambda rows: [rows[1], rows[0], *rows[2:]]),
    "another city": replace(CLIPS, "vienna-", "milan-"),
    "fmax": replace(SPEC, "fmax: 4000.0", "fmax: 3000.0"),
    "hop_length": replace(SPEC, "hop_length: 128", "hop_length: 127"),
    "sample_rate": replace(SPEC, "sample_rate: 8000", "sample_rate: 16000"),
    "an unknown key": replace(SPEC, "n_mels", "mels"),
    "classes in another order": write(CLASSES, b"park\nbus\ntram\n"),
    "a class more": write(CLASSES, b"bus\npark\ntram\nzoo\n"),
    "std -1": statistics(std=np.full(24, -1.0)),
    "std 0": statistics(std=np.zeros(24)),
    "another mean": statistics(mean=np.zeros(24)),
    "a mean of NaN": statistics(mean=np.full(24, NAN)),
    "statistics of fewer bins": statistics(mean=np.zeros(23), std=np.ones(23)),
    "no std": statistics(std=None),
    "features of another type": lambda folder: np.save(folder / FEATURES, np.load(folder / FEATURES).astype("f4")),
    "a row more": lambda folder: np.save(folder / FEATURES, np.load(folder / FEATURES)[[0, *range(24)]]),
    "bytes after the rows": lambda folder: (folder / FEATURES).write_bytes((folder / FEATURES).read_bytes() + b"12"),
}
"""Damages that are named when a store is opened."""


def test_f1_6_the_number_of_damages():
    assert len(DAMAGES) + len(ROW_DAMAGES) >= 57


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_f1_6_a_damaged_file_is_named_when_the_store_is_opened(damaged, damage):
    damage(damaged)
    with pytest.raises(AscMrkdError, match=str(damaged)) as caught:
        open_store(damaged)
    assert caught.value.hint


@pytest.mark.parametrize("damage", ROW_DAMAGES.values(), ids=ROW_DAMAGES)
def test_f1_6_a_damaged_row_is_named_when_it_is_read(damaged, damage, monkeypatch):
    damage(damaged)
    data = open_data(StoreConfig(store=str(damaged)))
    with pytest.raises(StoreError, match=r"row \d+ \(audio/.*\) is damaged") as caught:
        data.load(torch.device("cpu"))
    assert caught.value.hint == REPAIR_ROWS
    assert not check_data(damaged).passes()
    monkeypatch.setattr("asc_mrkd.engine.data.samples._free_bytes", lambda device: 0)
    with pytest.raises(StoreError, match="is damaged"):
        [samples.gather(slice(None)) for samples in data.load(torch.device("cpu"))]


@pytest.mark.parametrize("name", ["fmax", "a label", "std -1", "stats.npz is missing", "classes.txt is missing"])
def test_f1_6_the_verbs_name_the_damage(damaged, conf, tmp_path, name):
    DAMAGES[name](damaged)
    for command in (["check-data", damaged], ["train", conf, f"data.store={damaged}", "--out", tmp_path / "run"]):
        code, _, err = run_cli(*command)
        assert code == 2
        assert err.startswith(f"error: {damaged}/")
        assert "hint: run the same extract-features command again: it repairs the store" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("row -1", "is not at its row"),
        ("row 999", "is not at its row"),
        ("trian", "has a split that is not one of train, test, unused"),
        ("an unknown label", "has a label that is not among the classes"),
        ("a clip twice", "is not at its row"),
        ("features.npy is empty", "features.npy is damaged: EOFError"),
        ("bytes after the rows", "do not belong together"),
    ],
)
def test_f3_3_odd_content_with_right_checksums(damaged, name, message):
    with_sums(DAMAGES[name])(damaged)
    with pytest.raises(StoreError, match=message):
        open_store(damaged)


@pytest.mark.parametrize(
    "name",
    [
        "half of stats.npz",
        "stats.npz is empty",
        "std -1",
        "std 0",
        "a mean of NaN",
        "statistics of fewer bins",
        "no std",
    ],
)
def test_f3_3_odd_statistics_with_right_checksums(damaged, name):
    with_sums(DAMAGES[name])(damaged)
    store = open_store(damaged)
    message = "mel bin 0, 1.* has the same value" if name.startswith("std") else "stats.npz is (missing or )?damaged"
    with pytest.raises(StoreError, match=message):
        store.statistics()


def test_f1_2_the_digest_is_that_of_the_content(store, damaged, tmp_path):
    digest = open_store(store).digest
    assert len(digest) == 64
    moved = damaged.rename(tmp_path / "moved")
    for path in moved.iterdir():
        os.utime(path, (1, 1))
    assert open_store(moved).digest == open_data(StoreConfig(store=str(moved))).digest == digest
    table = open_store(moved).clips
    features = np.load(moved / FEATURES, mmap_mode="r+")
    features[3] += 1
    table.loc[3, "crc32"] = zlib.crc32(features[3].tobytes())
    table.to_csv(moved / CLIPS, index=False, lineterminator="\n")
    write_sums(moved)
    assert open_store(moved).digest != digest


def test_sha256sum_agrees(store):
    import subprocess

    done = subprocess.run(["sha256sum", "--check", SUMS], cwd=store, capture_output=True, text=True)
    assert done.stdout.splitlines() == [f"{name}: OK" for name in SUMMED]


@pytest.mark.parametrize("damage", ["std -1", "classes.txt is missing", "SHA256SUMS is missing"])
@pytest.mark.usefixtures("in_this_process")
def test_f1_6_the_same_extraction_repairs_a_store(recordings, spec, tmp_path, damage):
    arguments = (recordings.clips, recordings.root, spec, tmp_path / "store")
    digest = extract_clips(*arguments, workers=1).digest
    shutil.rmtree(recordings.root / "audio")  # the rows are still good: no recording is read
    DAMAGES[damage](tmp_path / "store")
    assert extract_clips(*arguments, workers=1).digest == digest


@pytest.mark.usefixtures("in_this_process")
def test_f1_6_a_damaged_row_is_made_again_as_the_hint_says(recordings, spec, tmp_path):
    arguments = (recordings.clips, recordings.root, spec, tmp_path / "store")
    digest = extract_clips(*arguments, workers=1).digest
    ROW_DAMAGES["two rows swapped"](tmp_path / "store")
    assert len(check_data(tmp_path / "store").unusable) == 2
    (tmp_path / "store" / SUMS).unlink()
    assert extract_clips(*arguments, workers=1).digest == digest
    assert check_data(tmp_path / "store").passes()


def test_a_class_that_lost_its_training_clips_is_a_warning(damaged):
    text = (damaged / CLIPS).read_text().splitlines()
    text = [line.replace(",ok,", ",bad,silent") if ",tram," in line and ",train," in line else line for line in text]
    (damaged / CLIPS).write_text("\n".join(text) + "\n")
    write_sums(damaged)
    codes = [(finding.code, finding.subject) for finding in check_data(damaged).findings]
    assert ("class_not_in_train", "tram") in codes
