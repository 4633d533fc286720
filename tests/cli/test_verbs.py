"""Every verb on the built-in scenes, end to end, within this process."""

import errno
import json
import os
import re
import stat
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from helpers.cli import run_cli, run_json
from helpers.data import link_scenes

import asc_mrkd
from asc_mrkd import locks

pytestmark = pytest.mark.slow

SPEC = """
{name: small, sample_rate: 8000, channels: 2, clip_seconds: 10, n_fft: 512, hop_length: 512, n_mels: 32, fmax: 4000}
"""
CONF = """
data: {store: not-this-one}
model: {name: cp_resnet, options: {width: 4, rho: 3, blocks: [2, 1, 0]}}
method: {name: mrkd, interval: 4}
train: {epochs: 9, batch_size: 5, optimizer: {name: adam, lr: 0.003}}
"""
LABEL = "Doe_INST_task1a_1"


@pytest.fixture(scope="module")
def place(few_scenes, tmp_path_factory) -> Path:
    """A folder with scenes, a store of them and two runs, all made by the verbs, except for most of the scenes."""
    place = tmp_path_factory.mktemp("place")
    (place / "small.yaml").write_text(SPEC)
    (place / "conf.yaml").write_text(CONF)
    scenes, store, conf = place / "scenes", place / "store", place / "conf.yaml"
    next(link_scenes(few_scenes, scenes).glob("audio/*.wav")).unlink()
    for command in (
        ["make-scenes", scenes, "--clips-per-class", 2, "--workers", 1],
        ["extract-features", "--data", scenes, "--spec", place / "small.yaml", "--out", store, "--workers", 1],
        ["train", conf, f"data.store={store}", "train.epochs=2", "--out", place / "mrkd", "--seeds", "0-1"],
        ["train", conf, f"data.store={store}", "train.epochs=2", "method=ce", "--out", place / "ce", "--seeds", "1,3"],
    ):
        code, _, err = run_cli(*command)
        assert code == 0, err
    return place


def test_settings_are_checked_and_printed_without_a_training(tmp_path):
    conf = tmp_path / "conf.yaml"
    conf.write_text(CONF)
    command = ["train", conf, "method=ce", "train.epochs=7", "--seeds", "3-4"]
    done = run_cli(*command, "--print-config")
    assert done.code == 0
    assert run_cli(*command, "--print-config", "--out", tmp_path / "run") == done
    experiment = asc_mrkd.load_experiment(conf, ["method=ce", "train.epochs=7", "seeds=[3, 4]"])
    (tmp_path / "whole.yaml").write_text(done.out)
    assert asc_mrkd.load_experiment(tmp_path / "whole.yaml") == experiment
    assert not (tmp_path / "run").exists()
    code, _, err = run_cli(*command)
    assert (code, err) == (2, "error: a training needs a run folder to write\nhint: name it, as in --out exp/my_run\n")


def test_chain_leaves_the_documented_files(place):
    names = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file() and path.suffix != ".wav"}
    store = {"features.npy", "clips.csv", "classes.txt", "spec.yaml", "stats.npz", "recordings.txt", "SHA256SUMS"}
    assert {name for name in names if name.startswith("store")} == {f"store/{name}" for name in store}
    run = {"README.md", "config.yaml", "environment.json", "metrics.jsonl"}
    results = ("model.safetensors", "model.safetensors.sha256", "predictions.csv", "predictions.csv.sha256")
    seed = ("checkpoint.pt", "checkpoint.previous.pt", "settings.json", *results)
    run |= {f"seed{k}/{name}" for k in (0, 1) for name in seed}
    assert {name for name in names if name.startswith("mrkd")} == {f"mrkd/{name}" for name in run}
    assert sorted(path.name for path in place.glob("ce/seed*")) == ["seed1", "seed3"]
    assert np.load(place / "store/features.npy").shape == (20, 2, 32, 157)


def test_the_same_command_does_nothing_twice(place):
    files = [*place.glob("store/*"), *place.glob("mrkd/seed*/*")]
    before = [path.stat().st_mtime_ns for path in files]
    arguments = "--data", place / "scenes", "--spec", place / "small.yaml", "--out", place / "store"
    assert run_cli("extract-features", *arguments).code == 0
    overrides = f"data.store={place / 'store'}", "train.epochs=2"
    assert run_cli("train", place / "conf.yaml", *overrides, "--out", place / "mrkd", "--seeds", "0,1").code == 0
    assert [path.stat().st_mtime_ns for path in files] == before


def test_check_data(place):
    code, out, _ = run_cli("check-data", place / "scenes", "--workers", 1)
    assert code == 0
    assert "TUT 2018: 20 clips (10 train, 10 test), 10 classes" in out
    assert "0 of 20 clips cannot be used" in out
    code, found = run_json("check-data", place / "scenes", "--workers", 1)
    assert (code, found["clips"], found["splits"], found["bad"]) == (0, 20, {"train": 10, "test": 10}, [])


def test_check_data_fails_on_damaged_clips(place, tmp_path):
    source = place / "scenes/TUT-urban-acoustic-scenes-2018-development"
    for path in source.rglob("*"):
        copy = tmp_path / path.relative_to(source)
        copy.mkdir(parents=True) if path.is_dir() else copy.symlink_to(path)
    damaged = next((tmp_path / "audio").glob("bus-*"))
    damaged.unlink()
    damaged.write_text("no sound")
    code, found = run_json("check-data", tmp_path, "--workers", 1)
    assert (code, found["bad"]) == (1, [f"audio/{damaged.name}"])
    assert "not_audio" in {finding["code"] for finding in found["findings"]}
    assert run_json("check-data", tmp_path, "--workers", 1, "--max-bad", 0.05)[0] == 0


def accuracies(run: Path) -> np.ndarray:
    """Share of the right decisions of every seed, from its file."""
    tables = [pd.read_csv(path) for path in sorted(run.glob("seed*/predictions.csv"))]
    return np.array([(table["prediction"] == table["label"]).mean() for table in tables])


def in_percent(values: np.ndarray) -> str:
    return f"{100 * values.mean():.2f} ± {100 * values.std(ddof=1):.2f}"


def test_evaluate(place):
    code, out, _ = run_cli("evaluate", place / "mrkd")
    expected = accuracies(place / "mrkd")
    assert code == 0
    assert re.search(rf"^mean ± std +{in_percent(expected)} ", out, re.MULTILINE)
    assert re.search(r"^shopping_mall +1 +\d", out, re.MULTILINE), "one test clip per class"
    code, record = run_json("evaluate", place / "mrkd")
    assert code == 0
    assert record["accuracy"] == {"mean": pytest.approx(expected.mean()), "std": pytest.approx(expected.std(ddof=1))}
    assert [row["accuracy"] for row in record["per_seed"]] == pytest.approx(expected.tolist())
    assert json.loads((place / "mrkd/evaluation.json").read_text()) == record
    assert (place / "mrkd/confusion.png").read_bytes().startswith(b"\x89PNG")


def test_report(place, tmp_path, monkeypatch):
    page = tmp_path / "new" / "report.html"
    code, out, _ = run_cli("report", place / "ce", place / "mrkd", "--out", page)
    expected = [in_percent(accuracies(place / name)) for name in ("ce", "mrkd")]
    assert code == 0
    assert re.search(rf"^1 +CE +2 +{expected[0]} ", out, re.MULTILINE)
    assert re.search(rf"^2 +MrKD +2 +{expected[1]} ", out, re.MULTILINE)
    assert str(page) in out.replace("\n", "")
    text = page.read_text()
    assert all(f'<td class="number">{figure}</td>' in text for figure in expected)
    assert text.rstrip().endswith("</html>")
    monkeypatch.setattr("asc_mrkd.report.plots.png", lambda figure: b"")  # the words alone, from here on
    code, records = run_json("report", place / "ce", place / "mrkd", "--out", page)
    assert code == 0
    assert [record["accuracy"]["mean"] for record in records] == pytest.approx(
        [accuracies(place / name).mean() for name in ("ce", "mrkd")]
    )


@pytest.mark.parametrize(("precision", "code", "size"), [("float16", 0, 485_184), ("float32", 1, 970_368)])
def test_check_budget_of_a_name(precision, code, size):
    arguments = "check-budget", "cp_resnet_damped:num_classes=3", "--precision", precision
    assert run_cli(*arguments).code == code
    assert f"{size:,} bytes ({size / 1024:.1f} KB)" in run_cli(*arguments).out
    answer, record = run_json(*arguments)
    assert (answer, record["bytes"], record["within"], record["limit"]) == (code, size, code == 0, 512_000)


def test_check_budget_of_a_run(place):
    code, of_run = run_json("check-budget", place / "ce")
    assert code == 0
    assert of_run["parameters"] == of_run["non_zero"] > 0
    assert run_json("check-budget", place / "ce/seed1/model.safetensors") == (0, of_run)


@pytest.fixture(scope="module")
def recordings(place) -> Path:
    """A folder with recordings of other rates, channel counts and lengths, one of them damaged."""
    folder = place / "recordings" / "monday"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    sf.write(folder / "short.wav", 0.1 * rng.standard_normal((4000, 1)), 16_000)
    sf.write(folder / "wide.flac", 0.1 * rng.standard_normal((44_100 * 12, 2)), 44_100)
    (folder / "notes.wav").write_text("no sound")
    return folder.parent


def test_predict_a_file(place, recordings):
    code, out, _ = run_cli("predict", place / "mrkd", recordings / "monday/short.wav", "--top", 2)
    assert code == 0
    name, *scenes = out.split()
    assert name.endswith("short.wav")
    assert len(scenes) == 4
    code, [record] = run_json("predict", place / "mrkd", recordings / "monday/wide.flac", "--top", 99)
    probabilities = [scene["probability"] for scene in record["scenes"]]
    assert code == 0
    assert len(probabilities) == 10
    assert sum(probabilities) == pytest.approx(1)
    assert probabilities == sorted(probabilities, reverse=True)


def test_predict_a_folder_leaves_out_what_cannot_be_used(place, recordings):
    code, out, err = run_cli("predict", place / "mrkd/seed1", recordings, "--json")
    assert code == 1
    assert [Path(record["file"]).name for record in json.loads(out)] == ["short.wav", "wide.flac"]
    assert "notes.wav: this is not a sound file" in err


def test_predict_several_files(place, recordings):
    names = ["monday/short.wav", "monday/wide.flac"]
    code, out, _ = run_cli("predict", place / "mrkd/seed1", *(recordings / name for name in names), "--json")
    assert code == 0
    assert [record["file"] for record in json.loads(out)] == [str(recordings / name) for name in names]


def test_submit(place, tmp_path):
    make = "submit", "make", place / "mrkd", "--task", "dcase2018-task1a", "--label", LABEL, "--out", tmp_path
    code, out, _ = run_cli(*make)
    assert code == 0
    package = Path(out.strip())
    assert package == tmp_path / "Doe_INST_task1a.zip"
    clips = place / "scenes/TUT-urban-acoustic-scenes-2018-development/evaluation_setup/fold1_test.txt"
    check = "--task", "dcase2018-task1a", "--files", clips
    for path in (package, tmp_path):
        code, out, _ = run_cli("submit", "check", path, *check)
        assert (code, "accepted" in out) == (0, True)
    output = tmp_path / "task1" / LABEL / f"{LABEL}.output.csv"
    output.write_text(output.read_text().replace("\tbus\n", "\tbuss\n").replace("\ttram\n", "\ttrain\n")[:-20])
    code, out, _ = run_cli("submit", "check", tmp_path, *check)
    assert (code, "refused" in out) == (1, True)
    code, problems = run_json("submit", "check", tmp_path, *check)
    assert code == 1
    assert "error" in {problem["severity"] for problem in problems}
    assert run_json("submit", "check", package, "--task", "dcase2018-task1a")[0] == 1, "3600 clips are wanted"


def test_t6_verbs_work_where_the_disk_has_no_modes_no_locks_and_no_flush_of_folders(
    conf, tmp_path, monkeypatch, undrawn
):
    """As on SMB, on Lustre without flock, and on some FUSE mounts; warnings say that there are no locks."""

    def refuse(number, *arguments, **options):
        raise OSError(number, os.strerror(number))

    fsync = os.fsync

    def flush_files_alone(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            refuse(errno.EINVAL)
        fsync(descriptor)

    monkeypatch.setattr(os, "chmod", partial(refuse, errno.EOPNOTSUPP))
    monkeypatch.setattr(os, "fsync", flush_files_alone)
    monkeypatch.setattr(locks.locks_of_unix, "flock", partial(refuse, errno.ENOSYS))
    run = tmp_path / "run"
    for command in (
        ["train", conf, "train.epochs=1", "method=ce", "--out", run, "--seeds", "0"],
        ["evaluate", run],
        ["report", run, "--out", tmp_path / "report.html"],
        ["compress", run, "float16", "--rule", "dcase2020-task1b", "--out", tmp_path / "half"],
        ["recipes", "cp", "cifar10", tmp_path / "recipes"],
    ):
        code, _, err = run_cli(*command)
        assert code == 0, err
        assert "error" not in err
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".tmp" or path.name == locks.LOCK]


def test_version_and_help():
    assert run_cli("--version") == (0, f"{asc_mrkd.__version__}\n", "")
    for arguments in (["--help"], ["-h"], ["train", "-h"], ["submit", "make", "-h"]):
        code, out, _ = run_cli(*arguments)
        assert code == 0
        assert "Usage" in out
