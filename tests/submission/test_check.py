"""Packages that the check accepts or warns about; test_corruptions.py has those that it refuses."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from asc_mrkd.errors import ConfigError, SubmissionError
from asc_mrkd.submission import TASKS, check_submission
from asc_mrkd.submission.check import read_clip_list

TASK, LABEL = "dcase2020-task1b", "Kim_KETI_task1b_1"
OUTPUT, META = ".output.csv", ".meta.yaml"
SHARED_DATA = os.environ.get("ASC_MRKD_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data")
LISTS = Path(SHARED_DATA) / "official_meta"


@pytest.fixture
def package(packages):
    """A valid package of DCASE 2020 task 1B."""
    return packages[TASK].copy()


def found(problems):
    return [(problem.code, problem.severity, problem.line) for problem in problems]


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_what_make_writes_is_accepted(packages, tmp_path, task):
    assert packages[task].check(tmp_path) == []


@pytest.mark.parametrize("task", [TASK, "dcase2024-task1"])
def test_the_folder_of_a_package_is_checked_too(packages, tmp_path, task):
    package = packages[task]
    with zipfile.ZipFile(package.save(tmp_path / "s.zip")) as archive:
        for member in archive.infolist():
            archive.extract(member, tmp_path / "out")
    folder = next((tmp_path / "out").rglob(f"*{META}")).parent
    for path in (tmp_path / "out", folder.parent, folder):
        assert check_submission(path, task, package.clip_list) == []
    next(folder.glob("*.csv")).unlink()
    assert found(check_submission(folder, task, package.clip_list)) == [("missing-output", "error", None)]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("audio/", ""),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: "".join([text.splitlines(True)[0], *text.splitlines(True)[:0:-1]]),
        lambda text: "\n".join("\t".join(np.array(line.split("\t"))[[4, 1, 0, 3, 2]]) for line in text.splitlines()),
    ],
    ids=["no folder", "CRLF", "no last line end", "any order of rows", "any order of columns"],
)
def test_harmless_variants_are_accepted(package, tmp_path, change):
    package.edit(change)
    assert package.check(tmp_path) == []


@pytest.mark.parametrize(
    "numbers",
    [("2e-1", ".7", "+0.1"), ("0.5", "0.5", "0"), ("0.333", "0.334", "0.333")],
    ids=["number formats", "a tie may go either way", "three decimals"],
)
def test_harmless_numbers_are_accepted(package, tmp_path, numbers):
    package.row(2, "audio/0.wav", "outdoor", *numbers)
    assert package.check(tmp_path) == []


@pytest.mark.parametrize("name", ["3.wav", "audio/3.wav", "0003.wav", "data/audio/0003.wav"])
def test_the_names_of_2024_may_take_other_forms(packages, tmp_path, name):
    package = packages["dcase2024-task1"].copy()
    package.replace("audio/3.wav", name, ".output.split_5.csv")
    assert package.check(tmp_path) == []


@pytest.mark.parametrize(
    ("task", "key", "value"),
    [
        (TASK, "model_size", 500.0),
        ("dcase2021-task1a", "model_size", 125.0),
        ("dcase2022-task1", "total_parameters", 128_000),
        ("dcase2022-task1", "macs", 30_000_000),
        ("dcase2023-task1", "total_model_size", 128_000),
        ("dcase2024-task1", "total_model_size", 128_000),
        ("dcase2024-task1", "macs", 30_000_000),
    ],
)
def test_a_limit_itself_is_allowed(packages, tmp_path, task, key, value):
    package = packages[task].copy()
    package.meta(f"system.complexity.{key}", value)
    assert package.check(tmp_path) == []


def test_a_2018_output_may_have_a_header(packages, tmp_path):
    package = packages["dcase2018-task1a"].copy()
    package.edit(lambda text: "filename\tscene_label\n" + text)
    assert package.check(tmp_path) == []


def test_no_external_data(package, tmp_path):
    for nothing in ([], None):
        package.meta("system.external_datasets", nothing)
        assert package.check(tmp_path) == []


def test_a_device_without_clips_is_a_warning(packages, tmp_path):
    package = packages["dcase2020-task1a"].copy()
    package.meta("results.development_dataset.device_wise.s4", {"accuracy": None, "logloss": None})
    problems = package.check(tmp_path)
    assert [(problem.code, problem.severity) for problem in problems] == [("no-clips", "warning")] * 2
    assert "device_wise.s4.accuracy" in problems[0].message


@pytest.mark.parametrize("block", ["general", "device_specific"])
def test_results_of_2025_may_be_partial(packages, tmp_path, block):
    package = packages["dcase2025-task1"].copy()
    nothing = {"accuracy": None, "logloss": None}
    package.meta(f"results.development_dataset.{block}.overall", nothing)
    package.meta(f"results.development_dataset.{block}.class_wise.tram", nothing)
    assert package.check(tmp_path) == []


@pytest.mark.parametrize(
    ("task", "key"),
    [
        ("dcase2022-task1", "complexity.memory_use"),
        ("dcase2023-task1", "energy_consumption.training"),
        ("dcase2025-task1", "inference_code"),
    ],
)
def test_what_only_the_author_knows_is_a_warning_until_it_is_filled_in(packages, tmp_path, task, key):
    package = packages[task].copy()
    package.meta(f"system.{key}", "FILL-IN")
    [problem] = package.check(tmp_path)
    assert (problem.code, problem.severity) == ("placeholder", "warning")


def test_aliases_of_aliases_are_named_and_not_expanded(package, tmp_path):
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
    package.edit(lambda text: text + bomb, META)
    [problem] = package.check(tmp_path)
    assert problem.code == "yaml"
    assert "more than 10,000 values" in problem.message


def test_placeholders_are_warnings_with_their_line(package, tmp_path):
    package.meta("submission.authors.1.email", "FILL-IN")
    [problem] = package.check(tmp_path)
    assert (problem.code, problem.severity) == ("placeholder", "warning")
    assert package.text(META).splitlines()[problem.line - 1].strip() == "email: FILL-IN"


def test_other_files_are_warned_about_but_the_report_is_not(package, tmp_path):
    package.add("report.pdf")
    assert package.check(tmp_path) == []
    package.add("notes.txt")
    assert found(package.check(tmp_path)) == [("unexpected-file", "warning", None)]


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"audio/{i}.wav\n" for i in range(9)),
        "filename\tscene_label\r\n" + "".join(f"audio/{i}.wav\toutdoor\r\n" for i in range(9)),
    ],
    ids=["2018 txt", "2020 csv with labels"],
)
def test_lists_of_every_year_are_read(package, tmp_path, text):
    (tmp_path / "list.txt").write_text(text)
    assert check_submission(package.save(tmp_path / "s.zip"), TASK, tmp_path / "list.txt") == []


@pytest.mark.skipif(not LISTS.is_dir(), reason="needs the official lists, see ASC_MRKD_SHARED_DATA")
@pytest.mark.parametrize(
    ("path", "clips"),
    [
        ("TUT-urban-acoustic-scenes-2018-development/evaluation_setup/fold1_test.txt", 2518),
        ("TAU-urban-acoustic-scenes-2020-3class-development/evaluation_setup/fold1_test.csv", 4185),
        ("TAU-urban-acoustic-scenes-2020-3class-development/evaluation_setup/fold1_evaluate.csv", 4185),
    ],
)
def test_official_lists(path, clips):
    assert len(set(read_clip_list(LISTS / path))) == clips


def test_wrong_arguments(package, tmp_path):
    path = package.save(tmp_path / "s.zip")
    with pytest.raises(SubmissionError, match="no such file"):
        check_submission(tmp_path / "nothing.zip", TASK)
    with pytest.raises(SubmissionError, match="cannot be read"):
        check_submission(path, TASK, tmp_path / "nothing.csv")
    (tmp_path / "list.csv").write_text("id,label\n1,2\n")
    with pytest.raises(SubmissionError, match=r"not a list of \.wav"):
        check_submission(path, TASK, tmp_path / "list.csv")
    with pytest.raises(ConfigError, match="no task 'dcase1999'"):
        check_submission(path, "dcase1999")
