import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from asc_mrkd.errors import StoreError
from asc_mrkd.features import Frontend, extract, load_spec, open_store
from asc_mrkd.features.store import PENDING

SPEC = load_spec("pmel256").model_copy(update={"name": "small", "clip_seconds": 1.0, "n_mels": 40, "sample_rate": 16000,
                                               "fmax": 8000.0})  # fmt: skip


def data_set(root: Path, count: int = 10) -> pd.DataFrame:
    (root / "audio").mkdir(parents=True)
    rows, rng = [], np.random.default_rng(0)
    for i in range(count):
        name = f"audio/{'bus' if i % 2 else 'park'}-city-{i}-{i}-a.wav"
        x = rng.standard_normal((32_000, 2)) * 0.01 * (i + 1)
        soundfile.write(root / name, np.clip(x, -1, 1), 32_000, subtype="PCM_24")
        rows.append([name, "bus" if i % 2 else "park", f"city-{i}", "a", "train" if i < count * 0.7 else "test"])
    return pd.DataFrame(rows, columns=["filename", "label", "identifier", "source_label", "split"])


@pytest.fixture
def clips(tmp_path) -> pd.DataFrame:
    return data_set(tmp_path / "set")


def test_rows_are_the_features_of_their_files(tmp_path, clips):
    seen = []
    store = extract(clips, tmp_path / "set", SPEC, tmp_path / "store", on_clip=lambda: seen.append(1))
    assert len(seen) == 10
    assert store.features.shape == (10, 2, 40, 32)
    assert store.features.dtype == np.float16
    assert store.classes == ["bus", "park"]
    frontend = Frontend(SPEC)
    for row, name in zip(store.clips["row"], store.clips["filename"], strict=True):
        expected = frontend.from_file(tmp_path / "set" / name)
        np.testing.assert_allclose(store.features[row], expected, atol=0.01)


def test_statistics_are_those_of_the_training_rows(tmp_path, clips):
    store = extract(clips, tmp_path / "set", SPEC, tmp_path / "store")
    train = np.asarray(store.features[:7], dtype=np.float64).transpose(2, 0, 1, 3).reshape(40, -1)
    mean, std = store.statistics()
    np.testing.assert_allclose(mean, train.mean(1), rtol=1e-6)
    np.testing.assert_allclose(std, train.std(1, ddof=1), rtol=1e-6)


def test_bad_clips_are_marked_and_left_out(tmp_path, clips):
    (tmp_path / "set" / clips["filename"][2]).write_text("this is no audio")
    (tmp_path / "set" / clips["filename"][8]).unlink()
    store = extract(clips, tmp_path / "set", SPEC, tmp_path / "store")
    bad = store.clips[store.clips["status"] == "bad"]
    assert bad[["row", "reason"]].values.tolist() == [[2, "not_audio"], [8, "missing"]]
    assert len(store.rows("train")) == 6
    assert len(store.rows("test")) == 2


def test_finished_store_is_not_made_again(tmp_path, clips):
    extract(clips, tmp_path / "set", SPEC, tmp_path / "store")
    shutil.rmtree(tmp_path / "set")
    before = (tmp_path / "store" / "features.npy").stat().st_mtime_ns
    extract(clips, tmp_path / "set", SPEC, tmp_path / "store")
    assert (tmp_path / "store" / "features.npy").stat().st_mtime_ns == before


def test_other_spec_and_other_list_are_refused(tmp_path, clips):
    extract(clips, tmp_path / "set", SPEC, tmp_path / "store")
    with pytest.raises(StoreError, match="hop_length is 512 in the store and 256 there"):
        extract(clips, tmp_path / "set", SPEC.model_copy(update={"hop_length": 256}), tmp_path / "store")
    with pytest.raises(StoreError, match="another list"):
        extract(clips.iloc[::-1], tmp_path / "set", SPEC, tmp_path / "store")


@pytest.mark.parametrize("name", ["spec.yaml", "clips.csv", "features.npy", "stats.npz"])
def test_missing_and_damaged_parts_are_named(tmp_path, clips, name):
    extract(clips, tmp_path / "set", SPEC, tmp_path / "store")
    (tmp_path / "store" / name).unlink()
    with pytest.raises(StoreError, match="missing") as caught:
        open_store(tmp_path / "store")
    assert caught.value.hint


def test_torn_ledger_line_is_done_again(tmp_path, clips):
    whole = extract(clips, tmp_path / "set", SPEC, tmp_path / "whole")
    store = tmp_path / "store"
    extract(clips, tmp_path / "set", SPEC, store)
    table = whole.clips.assign(status=PENDING)
    table.to_csv(store / "clips.csv", index=False)
    np.lib.format.open_memmap(store / "features.npy", mode="r+")[4:] = 0
    (store / "ledger.csv").write_text("0,ok,\n1,ok,\n2,ok,\n3,ok,\n4,o")
    with pytest.raises(StoreError, match="not finished"):
        open_store(store)
    extract(clips, tmp_path / "set", SPEC, store)
    assert (store / "features.npy").read_bytes() == (tmp_path / "whole" / "features.npy").read_bytes()
    assert (store / "clips.csv").read_bytes() == (tmp_path / "whole" / "clips.csv").read_bytes()


@pytest.mark.slow
def test_killed_extraction_continues_to_the_same_bytes(tmp_path):
    clips = data_set(tmp_path / "set", count=60)
    extract(clips, tmp_path / "set", SPEC, tmp_path / "whole")
    clips.to_pickle(tmp_path / "clips.pkl")
    code = f"""
import pandas, pathlib
from asc_mrkd.features import extract
from asc_mrkd.features.spec import FrontendSpec
extract(pandas.read_pickle({str(tmp_path / "clips.pkl")!r}), pathlib.Path({str(tmp_path / "set")!r}),
        FrontendSpec(**{SPEC.model_dump()!r}), pathlib.Path({str(tmp_path / "store")!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    ledger = tmp_path / "store" / "ledger.csv"
    while process.poll() is None and not (ledger.exists() and ledger.read_text().count("\n") >= 5):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    extract(clips, tmp_path / "set", SPEC, tmp_path / "store")
    for name in ("features.npy", "clips.csv", "spec.yaml"):
        assert (tmp_path / "store" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_workers_never_change_a_byte(tmp_path, clips):
    for workers in (1, 2):
        extract(clips, tmp_path / "set", SPEC, tmp_path / f"store{workers}", workers=workers)
    one, two = ((tmp_path / f"store{workers}" / "features.npy").read_bytes() for workers in (1, 2))
    assert one == two
