"""The feature store: its rows, statistics, classes and table, and the refusal of damaged or foreign stores."""

import errno
import os
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
from helpers.files import refusing
from helpers.progress import RecordedProgress
from helpers.store import differing_files, write_spec

from asc_mrkd.audio.containers import read_contents
from asc_mrkd.datasets import read_dataset
from asc_mrkd.errors import ConfigError, DataError, StoreError
from asc_mrkd.features import Frontend
from asc_mrkd.locks import exclusive_lock
from asc_mrkd.store import extract, extract_clips, open_store

pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture
def made(recordings, spec, tmp_path):
    """Store of the ten clips."""
    return extract_clips(recordings.clips, recordings.root, spec, tmp_path / "store")


def test_rows_are_the_features_of_their_files(tmp_path, recordings, spec):
    progress = RecordedProgress()
    store = extract_clips(recordings.clips, recordings.root, spec, tmp_path / "store", progress=progress)
    assert progress.tasks == [("features", 10, "clips", 0, [1] * 10)]
    assert store.features.shape == (10, 2, 40, 16)
    assert store.features.dtype == np.float16
    assert store.classes == ["bus", "park"]
    frontend = Frontend(spec)
    for row, name in zip(store.clips["row"], store.clips["filename"], strict=True):
        expected = frontend.from_file(recordings.root / name)
        np.testing.assert_array_equal(store.features[row], expected.astype(np.float16))


def test_statistics_are_those_of_the_training_rows(made):
    train = np.asarray(made.features[made.rows("train")["row"]], dtype=np.float64)
    values = train.transpose(2, 0, 1, 3).reshape(40, -1)
    mean, std = made.statistics()
    np.testing.assert_allclose(mean, values.mean(1), rtol=1e-6)
    np.testing.assert_allclose(std, values.std(1, ddof=1), rtol=1e-6)


def test_bad_clips_are_marked_and_left_out(tmp_path, recordings, spec):
    names = recordings.clips["filename"]
    (recordings.root / names[2]).write_text("these are words, not audio")
    (recordings.root / names[8]).unlink()
    store = extract_clips(recordings.clips, recordings.root, spec, tmp_path / "store")
    bad = store.clips[store.clips["status"] == "bad"]
    assert bad[["filename", "reason", "frames"]].values.tolist() == [
        [names[2], "not_audio", 0],
        [names[8], "missing", 0],
    ]
    assert len(store.rows("train")) + len(store.rows("test")) == 8


def test_bad_clips_are_tried_again_once_they_were_replaced(tmp_path, recordings, spec):
    extract_clips(recordings.clips, recordings.root, spec, tmp_path / "sound")
    wounded = recordings.root / recordings.clips["filename"][2]
    shutil.move(wounded, tmp_path / "good.wav")
    wounded.write_bytes(b"")
    arguments = (recordings.clips, recordings.root, spec, tmp_path / "store")
    assert extract_clips(*arguments).clips["reason"][2] == "empty"
    before = (tmp_path / "store" / "clips.csv").stat().st_mtime_ns
    extract_clips(*arguments)
    assert (tmp_path / "store" / "clips.csv").stat().st_mtime_ns == before
    shutil.copy2(tmp_path / "good.wav", wounded)
    assert extract_clips(*arguments).clips["status"].tolist() == ["ok"] * 10
    assert not differing_files(tmp_path / "store", tmp_path / "sound")


@pytest.mark.parametrize("fault", [OSError(errno.EIO, "Input/output error"), MemoryError()])
def test_what_the_system_fails_to_read_is_tried_again(tmp_path, recordings, spec, monkeypatch, fault):
    faults = iter([fault])

    def fail_once(stream):
        for error in faults:
            raise error
        return read_contents(stream)

    monkeypatch.setattr("asc_mrkd.audio.read.read_contents", fail_once)
    store = extract_clips(recordings.clips, recordings.root, spec, tmp_path / "store")
    assert store.clips["status"].tolist() == ["ok"] * 10
    assert next(faults, None) is None


def test_a_store_does_not_mix_with_the_recordings(recordings, spec):
    before = sorted(recordings.root.iterdir())
    with pytest.raises(StoreError, match="is not a feature store, and not empty: it holds audio, evaluation_setup"):
        extract(recordings.root, recordings.root / "audio" / "..", spec)
    assert sorted(recordings.root.iterdir()) == before


def test_clips_of_a_disk_that_was_not_mounted_are_tried_again(tmp_path, recordings, spec):
    arguments = (recordings.clips, recordings.root, spec, tmp_path / "store")
    audio = recordings.root / "audio"
    audio.rename(tmp_path / "elsewhere")
    assert set(extract_clips(*arguments).clips["reason"]) == {"missing"}
    (tmp_path / "elsewhere").rename(audio)  # the files in it are older than the store
    assert extract_clips(*arguments).clips["status"].tolist() == ["ok"] * 10


def test_finished_store_is_not_made_again(made, recordings, spec):
    shutil.rmtree(recordings.root)
    before = {path.name: path.stat().st_mtime_ns for path in made.folder.iterdir()}
    extract_clips(recordings.clips, recordings.root, spec, made.folder)
    assert {path.name: path.stat().st_mtime_ns for path in made.folder.iterdir()} == before


def test_a_store_that_another_process_has_just_finished_is_opened_as_it_is(recordings, spec, tmp_path, monkeypatch):
    arguments = (recordings.clips, recordings.root, spec, tmp_path / "store")
    times = {}

    @contextmanager
    def lock_after_another(folder, error):
        monkeypatch.undo()
        extract_clips(*arguments, workers=1)
        times.update({path.name: path.stat().st_mtime_ns for path in folder.iterdir()})
        with exclusive_lock(folder, error):
            yield

    monkeypatch.setattr("asc_mrkd.store.extraction.exclusive_lock", lock_after_another)
    store = extract_clips(*arguments, workers=1)
    assert store.is_finished
    assert {path.name: path.stat().st_mtime_ns for path in store.folder.iterdir()} == times


@pytest.mark.parametrize("name", ["features.npy", "clips.csv", "spec.yaml", "config.yaml"])
def test_a_store_is_not_made_among_files_of_others(recordings, spec, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    with pytest.raises(StoreError, match=f"out is not a feature store, and not empty: it holds {name}$"):
        extract_clips(recordings.clips, recordings.root, spec, out, workers=1)
    assert (out / name).read_text() == "mine"
    assert [path.name for path in out.iterdir()] == [name]


def test_a_folder_with_files_of_systems_only_is_empty(recordings, spec, tmp_path):
    for name in (".DS_Store", "desktop.ini", ".spec.yaml.0.tmp"):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / name).touch()
    assert extract_clips(recordings.clips, recordings.root, spec, tmp_path / "out", workers=1).is_finished


def test_another_spec_is_refused_with_the_option_that_takes_that_of_the_store(made, recordings, spec):
    with pytest.raises(StoreError, match="hop_length is 512 in the store and 256 here") as caught:
        extract_clips(recordings.clips, recordings.root, spec.model_copy(update={"hop_length": 256}), made.folder)
    assert f"--spec {made.folder / 'spec.yaml'}" in caught.value.hint
    assert extract(recordings.root, made.folder, made.folder / "spec.yaml").digest == made.digest


@pytest.mark.parametrize("name", ["spec.yaml", "clips.csv", "features.npy", "stats.npz"])
def test_missing_and_damaged_parts_are_named(made, name):
    (made.folder / name).unlink()
    with pytest.raises(StoreError, match="missing") as caught:
        open_store(made.folder)
    assert caught.value.hint


def test_the_hint_for_a_damaged_definition_is_about_the_store(made):
    (made.folder / "spec.yaml").write_text("[1, 2]")
    with pytest.raises(ConfigError, match=r"spec\.yaml holds no keys with values") as caught:
        open_store(made.folder)
    assert caught.value.hint == "remove the store and extract again"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(",crc32", ",md5"), "has no column crc32: another version"),
        (lambda text: text.replace(",ok,", ",ok,,"), "clips.csv is damaged"),
        (lambda text: text.replace(",16,ok", ",x,ok"), "clips.csv is damaged"),
        (lambda text: "", "clips.csv is damaged"),
        (lambda text: text[: text.rindex("\n", 0, -1) + 1], "do not belong together"),
    ],
)
def test_a_wrong_table_is_refused(made, change, message):
    path = made.folder / "clips.csv"
    path.write_text(change(path.read_text()))
    with pytest.raises(StoreError, match=message):
        open_store(made.folder)


def test_the_torch_back_end_fills_a_store_in_batches(made, recordings, spec, tmp_path, monkeypatch):
    monkeypatch.setattr("asc_mrkd.store.extraction.Frontend", lambda spec, device: Frontend(spec, backend="torch"))
    batched = extract_clips(recordings.clips, recordings.root, spec, tmp_path / "batched")
    np.testing.assert_allclose(batched.features, made.features, rtol=0, atol=0.01)
    assert batched.clips["status"].tolist() == ["ok"] * 10


def test_clips_a_few_samples_off_fill_their_row(recordings, spec, tmp_path):
    import soundfile

    path = recordings.root / recordings.clips["filename"][0]
    samples, rate = soundfile.read(path)
    soundfile.write(path, samples[:-3], rate, subtype="PCM_24")
    store = extract_clips(recordings.clips, recordings.root, spec, tmp_path / "store")
    assert store.clips["status"][0] == "ok"
    assert np.isfinite(store.features[0]).all()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_may_only_be_read_is_opened(made, recordings, spec):
    made.folder.chmod(0o500)
    assert extract_clips(recordings.clips, recordings.root, spec, made.folder).is_finished
    made.folder.chmod(0o700)


def test_a_store_on_a_disk_that_only_reads_is_opened_by_the_function_of_the_verb(made, recordings, monkeypatch):
    """Such a disk refuses to remove even what is not there."""
    monkeypatch.setattr(os, "unlink", refusing(errno.EROFS))
    assert extract(recordings.root, made.folder, made.folder / "spec.yaml", workers=1).digest == made.digest


def test_the_function_of_the_verb_reads_the_folder(made, recordings, tmp_path):
    spec = write_spec(tmp_path / "small.yaml")
    store = extract(recordings.root, tmp_path / "verb", spec, workers=1)
    assert not differing_files(store.folder, made.folder)
    strict = extract(recordings.root, tmp_path / "strict", spec, workers=1, resample=False)
    assert (strict.clips["reason"] == "wrong_rate").all()
    with pytest.raises(ConfigError, match="device=nothing"):
        extract(recordings.root, tmp_path / "device", spec, device="nothing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda clips: clips.drop(columns="source_label"), "has no column source_label"),
        (lambda clips: clips[:0], "the list of clips is empty"),
        (lambda clips: clips.iloc[[0, 1, 0]], "audio/bus-city-0-0-a.wav is listed twice"),
    ],
)
def test_a_table_that_is_not_a_list_of_clips_is_refused_before_anything_is_written(
    recordings, spec, tmp_path, change, message
):
    with pytest.raises(DataError, match=message):
        extract_clips(change(recordings.clips), recordings.root, spec, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_classes_are_written_once_and_read_ever_after(made, recordings, spec, tmp_path):
    assert (made.folder / "classes.txt").read_text() == "bus\npark\n"
    buses = recordings.clips[recordings.clips["label"] == "bus"].reset_index(drop=True)
    classes = read_dataset(recordings.root).classes
    store = extract_clips(buses, recordings.root, spec, tmp_path / "buses", classes=classes, workers=1)
    assert store.classes == open_store(store.folder).classes == ["bus", "park"]
    (store.folder / "classes.txt").unlink()
    with pytest.raises(StoreError, match=r"classes\.txt: No such file") as caught:
        open_store(store.folder)
    assert "the same extract-features command again: it repairs" in caught.value.hint
    extract_clips(buses, recordings.root, spec, store.folder, classes=classes, workers=1)
    assert open_store(store.folder).classes == ["bus", "park"]
