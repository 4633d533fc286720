"""The checks of the data and of the installation."""

import json
import shutil
from importlib.metadata import version

import numpy as np
import pytest
import torch
from helpers.cli import run_cli
from helpers.datasets import TREE_NAMES, write_tree
from helpers.progress import RecordedProgress
from helpers.store import write_recordings, write_spec

from asc_mrkd import __version__, check_data, doctor
from asc_mrkd.errors import DataError
from asc_mrkd.store import open_store
from asc_mrkd.store.layout import write_sums


@pytest.fixture
def copied_store(store, tmp_path):
    """A copy of the small store, 24 rows of three classes."""
    return shutil.copytree(store, tmp_path / "store")


def flip_bits(folder, row):
    """Change one value of a stored row and return the name of its clip."""
    features = np.load(folder / "features.npy", mmap_mode="r+")
    features[row, 0, 0, 0] += 1
    features.flush()
    return open_store(folder).clips["filename"][row]


def test_a_sound_store(store):
    shown = RecordedProgress()
    check = check_data(store, progress=shown)
    rows = len(open_store(store).clips)
    assert (check.layout, check.unit, check.total) == ("feature store tiny", "rows", rows)
    assert check.classes == ["bus", "park", "tram"]
    assert check.findings == []
    assert check.passes()
    assert shown.tasks == [("reading", rows, "rows", 0, [1] * rows)]


def test_a_damaged_row_of_a_store(copied_store):
    name = flip_bits(copied_store, row=5)
    check = check_data(copied_store)
    assert [(finding.code, finding.severity) for finding in check.findings] == [("checksum", "error")]
    assert check.findings[0].detail.startswith("row 5 has ")
    assert check.unusable == [name]
    assert not check.passes(max_bad=1.0), "no damaged row is allowed"


def test_a_clip_that_was_left_out_of_a_store_is_a_warning(copied_store):
    table = (copied_store / "clips.csv").read_text().splitlines()
    head = table[0].split(",")
    cells = table[3].split(",")
    cells[head.index("status")] = "bad"
    cells[head.index("reason")] = "silent"
    table[3] = ",".join(cells)
    (copied_store / "clips.csv").write_text("\n".join(table) + "\n")
    write_sums(copied_store)
    check = check_data(copied_store)
    expected = ("silent", cells[head.index("filename")], "left out at extraction", "warning")
    assert [(f.code, f.subject, f.detail, f.severity) for f in check.findings] == [expected]
    assert check.passes()


@pytest.fixture
def half_seconds(tmp_path):
    """Six recordings of 0.5 s at 32 kHz."""
    return write_recordings(tmp_path / "set", 6).root


def test_a6_the_usual_length_is_compared_with_the_default_front_end(half_seconds):
    check = check_data(half_seconds, workers=1)
    assert [(f.code, f.severity) for f in check.findings] == [("usual_length", "warning")]
    assert "0.5 s; the usual front ends take 10 s and would refuse them" in check.findings[0].detail
    assert "extract-features --clip-seconds 0.5 takes them" in check.findings[0].detail


def test_a6_recordings_that_the_front_end_refuses_are_errors(half_seconds, tmp_path):
    code, out, _ = run_cli("check-data", half_seconds, "--spec", "pmel256", "--workers", 1)
    assert code == 1
    assert "error wrong_length: 6" in out
    assert "0.5 s instead of 10" in out
    spec = write_spec(tmp_path / "half.yaml")
    assert check_data(half_seconds, spec=spec, workers=1).findings == []
    for key, value, codes in (
        ("resample: true", "resample: false", ["wrong_rate"] * 6),
        ("clip_seconds: 0.5", "clip_seconds: 0.49", ["wrong_length"] * 6),
        ("clip_seconds: 0.5", "clip_seconds: 0.49\npad_or_trim: 0.02", []),
    ):
        text = write_spec(tmp_path / "half.yaml").read_text().replace("pad_or_trim: 0.0\n", "")
        assert key in text
        spec.write_text(text.replace(key, value))
        check = check_data(half_seconds, spec=spec, workers=1)
        assert [finding.code for finding in check.findings] == codes
        assert check.passes() == (not codes)


def test_an_image_set(tmp_path):
    write_tree(tmp_path, TREE_NAMES)
    check = check_data(tmp_path)
    assert (check.layout, check.unit, check.splits) == ("image folder", "images", {"train": 6, "test": 6})
    assert check.classes == ["NA", "cat", "dog"]
    assert check.passes()


def test_a8_files_of_other_kinds_in_an_image_set(tmp_path):
    write_tree(tmp_path, TREE_NAMES)
    for name in ("train/dog/x.bmp", "train/cat/y.WebP", "test/dog/.hidden"):
        (tmp_path / name).touch()
    found = [(f.code, f.subject, f.detail) for f in check_data(tmp_path).findings if f.code == "other_files"]
    assert found == [("other_files", ".bmp, .webp", "2 files of other kinds were left out, such as train/cat/y.WebP")]


def test_a_folder_without_data(tmp_path):
    with pytest.raises(DataError, match="holds no data set"):
        check_data(tmp_path)


def test_the_verb_names_a_damaged_row(copied_store):
    name = flip_bits(copied_store, row=0)
    code, out, _ = run_cli("check-data", copied_store)
    first, code_line, subject, last = out.splitlines()
    assert code == 1
    assert first.startswith("feature store tiny: 24 rows (")
    assert code_line == "error checksum: 1"
    assert subject.startswith(f"    {name}: row 0 has ")
    assert last == "1 of 24 rows are damaged"


def test_the_installation():
    report = doctor.examine_installation()
    assert report["torch"] == torch.__version__
    assert report["librosa"] == version("librosa")
    assert report["free_disk_bytes"] > 0
    assert "command" not in report


def test_the_verb_prints_the_report():
    code, out, _ = run_cli("doctor", "--json")
    report = json.loads(out)
    assert (code, report["asc_mrkd"]) == (0, __version__)
    assert list(report) == list(doctor.examine_installation())
    code, out, _ = run_cli("doctor")
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    assert code == 0
    assert ["asc_mrkd", __version__] in cells
    extras = report.pop("extras")
    del report["free_disk_bytes"]
    assert [name for name, _ in cells if name] == [*report, "free disk", *(f"extra {name}" for name in extras)]


def test_f4_keys_have_no_blanks_and_sizes_are_numbers():
    report = json.loads(run_cli("doctor", "--json").out)
    assert not any(" " in key for key in report)
    assert isinstance(report["free_disk_bytes"], int)


def test_f4_optional_extras_are_named_with_what_is_there(monkeypatch):
    needed = ["numpy>=2", "no-such-library>=1; extra == 'deploy'", 'numpy>=2; extra == "deploy"', "x; extra == 'dev'"]
    needed.append("y>=0.dev20261023; (sys_platform == 'plan9' and platform_machine == 'mips') and extra == 'deploy'")
    monkeypatch.setattr(doctor, "requires", lambda name: needed)
    assert doctor.examine_installation()["extras"] == {"deploy": {"no-such-library": None, "numpy": np.__version__}}
    out = run_cli("doctor").out
    assert "without no-such-library: pip install 'asc-mrkd[deploy]'" in out
    assert "extra dev" not in out


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setattr(doctor, "requires", lambda name: ["no-such-library>=1", "dask>=1; extra == 'cluster'"])
    report = doctor.examine_installation()
    assert report["no-such-library"] == "missing: pip install no-such-library"
    assert "dask" not in report
