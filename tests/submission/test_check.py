import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asc_mrkd.errors import ConfigError, SubmissionError
from asc_mrkd.submission import TASKS, check_submission
from asc_mrkd.submission.check import read_clip_list

TASK, LABEL = "dcase2020-task1b", "Kim_KETI_task1b_1"
OUTPUT, META = f"{LABEL}.output.csv", f"{LABEL}.meta.yaml"
SHARED_DATA = os.environ.get("ASC_MRKD_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data")
LISTS = Path(SHARED_DATA) / "official_meta"
CLASSES = TASKS[TASK].classes
CLIPS = [f"{index}.wav" for index in range(5)]
HEADER = "filename\tscene_label\tindoor\toutdoor\ttransportation"


def valid_output(clips=CLIPS, separator="\t"):
    rows = [separator.join((f"audio/{clip}", "outdoor", "0.2", "0.7", "0.1")) for clip in clips]
    return "\n".join([HEADER.replace("\t", separator), *rows]) + "\n"


def valid_meta():
    scores = {"accuracy": 90.5, "logloss": 0.4}
    return {
        "submission": {
            "label": LABEL,
            "name": "A system",
            "abbreviation": "MrKD",
            "authors": [
                {
                    "lastname": "Kim",
                    "firstname": "A",
                    "email": "a@b.c",
                    "corresponding": True,
                    "affiliation": {"institute": "KETI"},
                },
                {"lastname": "Lee", "firstname": "B", "email": "b@b.c", "affiliation": {"institute": "KETI"}},
            ],
        },
        "system": {
            "description": {
                "input_sampling_rate": "22.05kHz",
                "acoustic_features": "mel",
                "embeddings": None,
                "data_augmentation": "mixup",
                "machine_learning_method": "CNN",
                "ensemble_method_subsystem_count": None,
                "decision_making": None,
                "external_data_usage": None,
                "complexity_management": None,
            },
            "complexity": {
                "total_parameters": 245958,
                "total_parameters_non_zero": 245958,
                "model_size": 473.8125,
            },
            "external_datasets": [{"name": "n", "url": "u", "total_audio_length": 60}],
            "source_code": None,
        },
        "results": {"development_dataset": {"overall": scores, "class_wise": {name: dict(scores) for name in CLASSES}}},
    }


def valid_files():
    """The two files of a valid submission, as a name -> text mapping."""
    return {OUTPUT: valid_output(), META: yaml.safe_dump(valid_meta(), sort_keys=False)}


def write_zip(path, files, label=LABEL, prefix="package/task1"):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{prefix}/{label}/{name}", content)
    return path


@pytest.fixture
def clip_list(tmp_path):
    path = tmp_path / "fold1_test.csv"
    path.write_text("filename\n" + "".join(f"audio/{clip}\n" for clip in CLIPS))
    return path


@pytest.fixture
def check(tmp_path, clip_list):
    """Return a function that packs files and returns the problems."""
    return lambda files, **layout: check_submission(write_zip(tmp_path / "s.zip", files, **layout), TASK, clip_list)


def test_valid_zip_and_folder_have_no_problem(tmp_path, check, clip_list):
    assert check(valid_files()) == []
    folder = tmp_path / "out" / "task1" / LABEL
    folder.mkdir(parents=True)
    for name, text in valid_files().items():
        (folder / name).write_text(text)
    for path in (tmp_path / "out", tmp_path / "out" / "task1", folder):
        assert check_submission(path, TASK, clip_list) == []


def test_the_official_evaluation_set_has_8640_clips_without_padding(tmp_path):
    files = valid_files() | {OUTPUT: valid_output([f"{index}.wav" for index in range(8640)])}
    assert check_submission(write_zip(tmp_path / "s.zip", files), TASK) == []
    files[OUTPUT] = files[OUTPUT].replace("audio/8639.wav", "audio/8640.wav").replace("audio/7.wav", "audio/07.wav")
    problems = check_submission(write_zip(tmp_path / "s.zip", files), TASK)
    assert [(p.code, p.line) for p in problems] == [
        ("unknown-file", 9),
        ("unknown-file", 8641),
        ("missing-files", None),
    ]
    assert "7.wav, 8639.wav" in problems[-1].message


@pytest.mark.parametrize(
    "text",
    [
        valid_output().replace("audio/", ""),
        valid_output().replace("\n", "\r\n"),
        valid_output(CLIPS[::-1]),
        valid_output().replace("0.2\t0.7\t0.1", "2e-1\t.7\t0.1"),
        valid_output().replace("0.2\t0.7\t0.1", "0.5\t0.5\t0"),  # a tie may go either way
        valid_output().replace("0.2\t0.7\t0.1", "0.333\t0.334\t0.333"),
    ],
    ids=["no folder", "crlf", "any order", "number formats", "tie", "three decimals"],
)
def test_harmless_variants_are_accepted(check, text):
    assert check(valid_files() | {OUTPUT: text}) == []


def test_columns_may_come_in_any_order(check):
    lines = [line.split("\t") for line in valid_output().splitlines()]
    swapped = "\n".join("\t".join([row[4], row[1], row[0], row[3], row[2]]) for row in lines)
    assert check(valid_files() | {OUTPUT: swapped}) == []


def replace_line(number, new):
    lines = valid_output().splitlines()
    lines[number - 1] = new
    return "\n".join(lines) + "\n"


BAD_OUTPUTS = {
    "empty file": ("", "no-header", 1),
    "no header": (valid_output().split("\n", 1)[1], "no-header", 1),
    "comma separated": (valid_output(separator=","), "no-header", 1),
    "class column missing": (valid_output().replace("\tindoor", "", 1), "header-fields", 1),
    "unknown class column": (valid_output().replace("\tindoor", "\tinside", 1), "header-fields", 1),
    "column twice": (valid_output().replace("\toutdoor\t", "\tindoor\t", 1), "header-fields", 1),
    "too few columns": (replace_line(3, "audio/1.wav\toutdoor\t0.2\t0.8"), "column-count", 3),
    "too many columns": (replace_line(3, "audio/1.wav\toutdoor\t0.2\t0.7\t0.1\t0"), "column-count", 3),
    "blank line": (valid_output() + "\n", "column-count", 7),
    "spaces for tabs": (replace_line(4, "audio/2.wav outdoor 0.2 0.7 0.1"), "column-count", 4),
    "open quote": (replace_line(6, 'audio/4.wav\t"outdoor\t0.2\t0.7\t0.1'), "not-a-table", None),
    "duplicate clip": (valid_output([*CLIPS, "2.wav"]), "duplicate-file", 7),
    "duplicate clip, other folder": (valid_output() + "2.wav\toutdoor\t0.2\t0.7\t0.1\n", "duplicate-file", 7),
    "wrong extension": (valid_output().replace("3.wav", "3.flac"), "file-extension", 5),
    "no extension": (valid_output().replace("3.wav", "3"), "file-extension", 5),
    "index too large": (valid_output().replace("4.wav", "5.wav"), "unknown-file", 6),
    "negative index": (valid_output().replace("4.wav", "-1.wav"), "unknown-file", 6),
    "padded index": (valid_output().replace("4.wav", "0004.wav"), "unknown-file", 6),
    "other folder": (valid_output().replace("audio/4", "/data/audio/4"), "file-folder", 6),
    "clip missing": (valid_output(CLIPS[:-1]), "missing-files", None),
    "illegal scene": (valid_output().replace("audio/0.wav\toutdoor", "audio/0.wav\tpark"), "scene-label", 2),
    "scene in capitals": (valid_output().replace("audio/0.wav\toutdoor", "audio/0.wav\tOutdoor"), "scene-label", 2),
    "not numeric": (replace_line(2, "audio/0.wav\toutdoor\t0.2\thigh\t0.1"), "not-a-number", 2),
    "decimal comma": (replace_line(2, "audio/0.wav\toutdoor\t0,2\t0,7\t0,1"), "not-a-number", 2),
    "empty cell": (replace_line(2, "audio/0.wav\toutdoor\t\t0.7\t0.1"), "not-a-number", 2),
    "NaN": (replace_line(2, "audio/0.wav\toutdoor\t0.2\tnan\t0.1"), "probability-range", 2),
    "infinite": (replace_line(2, "audio/0.wav\toutdoor\t0.2\tinf\t0.1"), "probability-range", 2),
    "negative probability": (replace_line(2, "audio/0.wav\toutdoor\t-0.2\t1.0\t0.2"), "probability-range", 2),
    "probability above one": (replace_line(2, "audio/0.wav\toutdoor\t0.0\t1.2\t0.0"), "probability-range", 2),
    "sum below one": (replace_line(2, "audio/0.wav\toutdoor\t0.2\t0.6\t0.1"), "probability-sum", 2),
    "sum of percents": (replace_line(2, "audio/0.wav\toutdoor\t0.2\t0.9\t0.1"), "probability-sum", 2),
    "scene is not the most probable": (replace_line(2, "audio/0.wav\tindoor\t0.2\t0.7\t0.1"), "argmax", 2),
}


@pytest.mark.parametrize(("text", "code", "line"), BAD_OUTPUTS.values(), ids=BAD_OUTPUTS)
def test_bad_outputs_are_refused(check, text, code, line):
    problems = check(valid_files() | {OUTPUT: text})
    found = next((p for p in problems if p.code == code), None)
    assert found is not None, problems
    assert found.file.endswith(OUTPUT)
    assert found.severity == "error"
    if line is not None:
        assert found.line == line


def changed(key, value):
    """The valid meta file with one dotted key set, or removed where `value` is `...`."""
    meta = valid_meta()
    *blocks, last = key.split(".")
    block = meta
    for name in blocks:
        block = block[int(name)] if name.isdigit() else block[name]
    if value is ...:
        del block[last]
    else:
        block[last] = value
    return yaml.safe_dump(meta, sort_keys=False)


SCORES = "results.development_dataset"
BAD_METAS = {
    "no submission": (changed("submission", ...), "missing-key", "submission is missing"),
    "no system": (changed("system", ...), "missing-key", "system is missing"),
    "no results": (changed("results", ...), "missing-key", "results is missing"),
    "no abbreviation": (changed("submission.abbreviation", ...), "missing-key", "submission.abbreviation"),
    "no embeddings": (changed("system.description.embeddings", ...), "missing-key", "description.embeddings"),
    "no model size": (changed("system.complexity.model_size", ...), "missing-key", "complexity.model_size"),
    "no external data sets": (changed("system.external_datasets", ...), "missing-key", "external_datasets"),
    "no log loss": (changed(f"{SCORES}.overall.logloss", ...), "missing-key", "overall.logloss"),
    "no class": (changed(f"{SCORES}.class_wise.indoor", ...), "missing-key", "class_wise.indoor"),
    "no class accuracy": (changed(f"{SCORES}.class_wise.indoor.accuracy", ...), "missing-key", "indoor.accuracy"),
    "text for a block": (changed("system", "big"), "not-a-block", "system must hold"),
    "list for a block": (changed(f"{SCORES}.class_wise", [1]), "not-a-block", "class_wise must hold"),
    "other label": (changed("submission.label", "Kim_KETI_task1b_2"), "label-mismatch", "Kim_KETI_task1b_2"),
    "long abbreviation": (changed("submission.abbreviation", "MrKD-CPResNet"), "abbreviation-length", "10"),
    "no authors": (changed("submission.authors", []), "corresponding-author", "0 authors"),
    "authors are null": (changed("submission.authors", None), "not-a-list", "one block per author"),
    "authors not a list": (changed("submission.authors", "Kim"), "not-a-list", "list"),
    "no corresponding author": (changed("submission.authors.0.corresponding", ...), "corresponding-author", "0"),
    "corresponding: yes please": (
        changed("submission.authors.0.corresponding", "maybe"),
        "corresponding-author",
        "0 authors",
    ),
    "two corresponding authors": (changed("submission.authors.1.corresponding", True), "corresponding-author", "2"),
    "author without email": (changed("submission.authors.1.email", ...), "missing-key", "author 2 has no email"),
    "data set without url": (changed("system.external_datasets.0.url", ...), "missing-key", "data set 1 has no url"),
    "data sets not a list": (changed("system.external_datasets", "none"), "not-a-list", "external_datasets"),
    "parameters as text": (changed("system.complexity.total_parameters", "245k"), "not-a-number", "'245k'"),
    "parameters not whole": (changed("system.complexity.total_parameters", 245958.5), "not-a-number", "whole"),
    "more non-zero than all": (
        changed("system.complexity.total_parameters_non_zero", 245959),
        "parameter-count",
        "245,959",
    ),
    "size as text": (changed("system.complexity.model_size", "473 KB"), "not-a-number", "'473 KB'"),
    "size over the limit": (changed("system.complexity.model_size", 500.01), "model-size", "500 KB"),
    "accuracy is null": (changed(f"{SCORES}.class_wise.outdoor.accuracy", None), "not-a-number", "None"),
    "log loss is NaN": (changed(f"{SCORES}.overall.logloss", float("nan")), "not-a-number", "nan"),
    "accuracy of 120": (changed(f"{SCORES}.overall.accuracy", 120), "number-range", "120"),
    "a list": ("- 1\n", "not-a-block", "submission, system, results"),
    "empty": ("", "not-a-block", "submission, system, results"),
    "yaml with a tab": ("submission:\n\tlabel: x\n", "yaml", "cannot start any token"),
    "python object": ("submission: !!python/object/apply:os.system [exit]\n", "yaml", "constructor"),
    "control character": ("submission: \x00\n", "yaml", ""),
    "deep nesting": ("[" * 5000, "yaml", ""),
}


@pytest.mark.parametrize(("text", "code", "words"), BAD_METAS.values(), ids=BAD_METAS)
def test_bad_metas_are_refused(check, text, code, words):
    problems = check(valid_files() | {META: text})
    assert [(p.code, p.severity) for p in problems] == [(code, "error")]
    assert words in problems[0].message
    assert problems[0].file.endswith(META)


def test_meta_problems_name_their_line(check):
    text = valid_files()[META]
    (problem,) = check(valid_files() | {META: changed("system.complexity.model_size", 600)})
    assert text.splitlines()[problem.line - 1].strip() == "model_size: 473.8125"
    (problem,) = check(valid_files() | {META: changed("system.complexity.model_size", ...)})
    assert text.splitlines()[problem.line - 1].strip() == "complexity:"
    (problem,) = check(valid_files() | {META: "submission:\n  label: x\n  name: [\n"})
    assert problem.line == 4


def test_aliases_of_aliases_are_not_expanded(check):
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
    assert check(valid_files() | {META: valid_files()[META] + bomb}) == []


def test_500_kb_exactly_is_allowed(check):
    assert check(valid_files() | {META: changed("system.complexity.model_size", 500.0)}) == []


def test_placeholders_are_warnings_with_their_line(check):
    (problem,) = check(valid_files() | {META: changed("submission.authors.1.email", "FILL-IN")})
    assert (problem.code, problem.severity) == ("placeholder", "warning")
    assert "email: FILL-IN" in problem.message
    assert valid_files()[META].splitlines()[problem.line - 1].strip() == "email: b@b.c"


@pytest.mark.parametrize(
    ("files", "layout", "code"),
    [
        ({OUTPUT: valid_output()}, {}, "missing-meta"),
        ({META: valid_files()[META]}, {}, "missing-output"),
        ({"readme.txt": "x"}, {}, "no-submission"),
        ({}, {}, "no-submission"),
        ({"Other_KETI_task1b_1.output.csv": valid_output(), META: valid_files()[META]}, {}, "label-mismatch"),
        (valid_files() | {f"copy.of.{LABEL}.meta.yaml": valid_files()[META]}, {}, "label-mismatch"),
        (valid_files(), {"label": "Kim_KETI_task1b_2"}, "label-mismatch"),
        (valid_files(), {"label": "Kim_KETI_task1b"}, "label-pattern"),
        (valid_files(), {"label": "Kim_KETI_task1b_7"}, "label-pattern"),
        (valid_files(), {"label": "Kim_KETI_task1a_1"}, "label-pattern"),
        (valid_files(), {"prefix": "task1"}, "layout"),
        (valid_files(), {"prefix": "a/b/task1"}, "layout"),
        (valid_files(), {"prefix": "package/task2"}, "layout"),
        (valid_files() | {OUTPUT: valid_output().encode("utf-16")}, {}, "encoding"),
        (valid_files() | {OUTPUT: "\ufeff" + valid_output()}, {}, "encoding"),
        (valid_files() | {META: b"submission:\n  name: caf\xe9\n"}, {}, "encoding"),
        (valid_files(), {"prefix": "package/../../task1"}, "unsafe-path"),
        (valid_files(), {"prefix": "/package/task1"}, "unsafe-path"),
        (valid_files(), {"prefix": "C:/package/task1"}, "unsafe-path"),
        (valid_files(), {"prefix": "package\\task1"}, "unsafe-path"),
    ],
)
def test_bad_packages_are_refused(check, files, layout, code):
    problems = check(files, **layout)
    assert code in [p.code for p in problems if p.severity == "error"]


def test_encoding_problem_names_the_line(check):
    (problem,) = check(valid_files() | {META: b"submission:\n  name: caf\xe9\n"})
    assert (problem.code, problem.line) == ("encoding", 2)


def test_other_files_are_warned_about_but_the_report_is_not(check):
    assert check(valid_files() | {"report.pdf": "x"}) == []
    (problem,) = check(valid_files() | {"notes.txt": "x"})
    assert (problem.code, problem.severity) == ("unexpected-file", "warning")


def test_links_and_duplicates_in_the_zip(tmp_path):
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo(f"package/task1/{LABEL}/{META}")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert [p.code for p in check_submission(path, TASK)] == ["unsafe-path"]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"package/task1/{LABEL}/{META}", valid_files()[META])
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(f"package/task1/{LABEL}/{META}", "other")
    assert [p.code for p in check_submission(path, TASK)] == ["duplicate-member"]


def test_zip_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a/task1/b/c.csv", "w") as member:
        for _ in range(300):
            member.write(bytes(1024**2))
    assert path.stat().st_size < 1024**2
    assert [p.code for p in check_submission(path, TASK)] == ["package-size"]


@pytest.fixture(scope="module")
def valid_zip(tmp_path_factory):
    return write_zip(tmp_path_factory.mktemp("fuzz") / "s.zip", valid_files()).read_bytes()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_flipped_byte_never_ends_in_a_traceback(tmp_path, valid_zip, position, flip):
    damaged = bytearray(valid_zip)
    damaged[int(position * len(damaged))] ^= flip
    (tmp_path / "s.zip").write_bytes(damaged)
    assert isinstance(check_submission(tmp_path / "s.zip", TASK), list)


def test_every_truncation_is_damage(tmp_path, valid_zip):
    for length in np.linspace(0, len(valid_zip) - 1, 40, dtype=int):
        (tmp_path / "s.zip").write_bytes(valid_zip[:length])
        assert [p.code for p in check_submission(tmp_path / "s.zip", TASK)] == ["damaged-zip"]


def test_output_without_header_in_2018(tmp_path):
    label = "Kim_KETI_task1a_1"
    scenes = TASKS["dcase2018-task1a"].classes
    rows = [f"audio/{index}.wav\t{scenes[index % 10]}" for index in range(3600)]
    meta = valid_meta()
    meta["submission"]["label"] = label
    meta["system"]["complexity"] = {"total_parameters": 3_566_612}
    meta["results"]["development_dataset"]["class_wise"] = {s: {"accuracy": 50, "logloss": 1} for s in scenes}
    files = {f"{label}.output.csv": "\n".join(rows) + "\n", f"{label}.meta.yaml": yaml.safe_dump(meta)}

    def codes(output):
        path = write_zip(tmp_path / "s.zip", files | {f"{label}.output.csv": output}, label=label)
        return [(p.code, p.line) for p in check_submission(path, "dcase2018-task1a")]

    assert codes("\n".join(rows)) == []
    assert codes("\n".join(["filename\tscene_label", *rows])) == []
    assert codes("\n".join(rows[:-1])) == [("missing-files", None)]
    assert codes("\n".join([*rows[:-1], "audio/3599.wav\toffice"])) == [("scene-label", 3600)]


@pytest.mark.parametrize(
    "text",
    [
        "audio/0.wav\naudio/1.wav\naudio/2.wav\naudio/3.wav\naudio/4.wav\n",
        "filename\tscene_label\r\n" + "".join(f"audio/{clip}\toutdoor\r\n" for clip in CLIPS),
    ],
    ids=["2018 txt", "2020 csv with labels"],
)
def test_lists_of_every_year_are_read(tmp_path, text):
    (tmp_path / "list.txt").write_text(text)
    assert check_submission(write_zip(tmp_path / "s.zip", valid_files()), TASK, tmp_path / "list.txt") == []


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


def test_wrong_arguments(tmp_path, clip_list):
    with pytest.raises(SubmissionError, match="no such file"):
        check_submission(tmp_path / "nothing.zip", TASK)
    with pytest.raises(SubmissionError, match="cannot be read"):
        check_submission(write_zip(tmp_path / "s.zip", valid_files()), TASK, tmp_path / "nothing.csv")
    (tmp_path / "list.csv").write_text("id,label\n1,2\n")
    with pytest.raises(SubmissionError, match=r"not a list of \.wav"):
        check_submission(tmp_path / "s.zip", TASK, tmp_path / "list.csv")
    with pytest.raises(ConfigError, match="no task 'dcase1999'"):
        check_submission(tmp_path / "s.zip", "dcase1999")
