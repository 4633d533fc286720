"""Whatever is done to an accepted package, the check refuses it and names the fault.

Every row of the tables is one change of a package that `make_submission` has made, and what must be said of it.
"""

import json

import pytest
from helpers.cli import run_cli

B, A18, A20 = "dcase2020-task1b", "dcase2018-task1a", "dcase2020-task1a"
A21, A24 = "dcase2021-task1a", "dcase2024-task1"
A22, A23, A25 = "dcase2022-task1", "dcase2023-task1", "dcase2025-task1"
OUTPUT, META, SPLIT = ".output.csv", ".meta.yaml", ".output.split_25.csv"
RESULTS, DATA, AUTHORS = "results.development_dataset", "system.external_datasets", "submission.authors"
CLASSES, DEVICES = f"{RESULTS}.class_wise", f"{RESULTS}.device_wise"
SIZE, ABOUT = "system.complexity", "system.description"
ENERGY, CODE = "system.energy_consumption", "system.inference_code"
ONE, M, L, K = "corresponding-author", "missing-files", "label-mismatch", "missing-key"
GOOD = ("outdoor", "0.2", "0.7", "0.1")


def first(scene="outdoor", *numbers):
    """Replace the first row of 2020 1B, that of audio/0.wav."""
    return "row", 2, "audio/0.wav", scene, *(numbers or GOOD[1:])


# Task, name, change (a method of Package and its arguments), code of the fault, words of its message, its line (number,
# part of the text, or None), codes of what else it leads to.
OUTPUTS = [
    (B, "empty file", ("write", OUTPUT, ""), "no-header", "filename scene_label indoor", 1),
    (B, "no header", ("row", 1), "no-header", "line 1 must hold", 1),
    (B, "header in capitals", ("replace", "filename", "Filename"), "no-header", "filename scene_label", 1),
    (B, "comma separated", ("edit", lambda t: t.replace("\t", ",")), "no-header", "separated by tabs", 1),
    (B, "class column missing", ("replace", "\tindoor", ""), "header-fields", "it holds: filename scene_label out", 1),
    (B, "unknown class column", ("replace", "\tindoor", "\tinside"), "header-fields", "inside", 1),
    (B, "class column twice", ("replace", "\tindoor", "\toutdoor"), "header-fields", "outdoor outdoor", 1),
    (B, "extra column", ("replace", "\tindoor", "\tindoor\tcity"), "header-fields", "city", 1),
    (B, "too few cells", ("row", 3, "audio/1.wav", "outdoor", "0.2", "0.8"), "column-count", "4 columns", 3, M),
    (B, "too many cells", ("row", 3, "audio/1.wav", *GOOD, "0"), "column-count", "6 columns instead of 5", 3, M),
    (B, "blank line", ("edit", lambda t: t + "\n"), "column-count", "the line is empty", 11),
    (B, "spaces for tabs", ("row", 4, "audio/2.wav", *GOOD, {"separator": " "}), "column-count", "by tabs", 4, M),
    (B, "open quote", ("row", 6, "audio/4.wav", '"outdoor', *GOOD[1:]), "not-a-table", "tab-separated", 10),
    (B, "row twice", ("edit", lambda t: t + t.splitlines()[3] + "\n"), "duplicate-file", "2.wav is already", 11),
    (B, "clip twice", ("edit", lambda t: t + "\t".join(("2.wav", *GOOD))), "duplicate-file", "line 4", 11),
    (B, "wrong extension", ("replace", "3.wav", "3.flac"), "file-extension", "'audio/3.flac' does not", 5, M),
    (B, "extension in capitals", ("replace", "3.wav", "3.WAV"), "file-extension", "'audio/3.WAV'", 5, M),
    (B, "no extension", ("replace", "3.wav", "3"), "file-extension", "'audio/3'", 5, M),
    (B, "index too large", ("replace", "8.wav", "9.wav"), "unknown-file", "'audio/9.wav' is not a clip", 10, M),
    (B, "index below zero", ("replace", "4.wav", "-1.wav"), "unknown-file", "'audio/-1.wav'", 6, M),
    (B, "padded index", ("replace", "4.wav", "0004.wav"), "padded-name", "written as 4.wav", 6, M),
    (B, "space in a name", ("replace", "/4.wav", "/ 4.wav"), "unknown-file", "'audio/ 4.wav'", 6, M),
    (B, "backslash", ("replace", "audio/4", "audio\\4"), "unknown-file", "'audio\\4.wav'", 6, M),
    (B, "other folder", ("replace", "audio/4", "/data/audio/4"), "file-folder", "written as 4.wav or audio/4.wav", 6),
    (B, "clip missing", ("row", 10), "missing-files", "1 of 9 clips have no row: 8.wav", None),
    (B, "unknown scene", first("park"), "scene-label", "'park' is not one of indoor, outdoor, transportation", 2),
    (B, "scene in capitals", first("Outdoor"), "scene-label", "'Outdoor'", 2),
    (B, "space after a scene", first("outdoor "), "scene-label", "'outdoor '", 2),
    (B, "no scene", first(""), "scene-label", "''", 2),
    (B, "word for a number", first("outdoor", "0.2", "high", "0.1"), "not-a-number", "'high' in the column outdoor", 2),
    (B, "decimal comma", first("outdoor", "0,2", "0,7", "0,1"), "not-a-number", "'0,2'", 2),
    (B, "empty cell", first("outdoor", "", "0.7", "0.3"), "not-a-number", "column indoor", 2),
    (B, "underscore in a number", first("outdoor", "0.2", "0.7_0", "0.1"), "not-a-number", "'0.7_0'", 2),
    (B, "NaN", first("outdoor", "0.2", "nan", "0.1"), "probability-range", "audio/0.wav", 2),
    (B, "infinite", first("outdoor", "0.2", "inf", "0.1"), "probability-range", "outside 0..1", 2),
    (B, "negative probability", first("outdoor", "-0.2", "1.0", "0.2"), "probability-range", "outside 0..1", 2),
    (B, "probability above one", first("outdoor", "0.0", "1.2", "0.0"), "probability-range", "outside 0..1", 2),
    (B, "sum below one", first("outdoor", "0.2", "0.6", "0.1"), "probability-sum", "add up to 0.9000", 2),
    (B, "sum above one", first("outdoor", "0.2", "0.9", "0.1"), "probability-sum", "add up to 1.2000", 2),
    (B, "not the most probable", first("indoor"), "argmax", "is indoor but outdoor has the highest", 2),
    (B, "UTF-16", ("edit", lambda t: t.encode("utf-16")), "encoding", "not UTF-8", 1),
    (B, "byte order mark", ("edit", lambda t: "\ufeff" + t), "encoding", "byte order mark", 1),
    (B, "Latin-1", ("edit", lambda t: t.replace("4.wav", "caf\xe9.wav").encode("latin-1")), "encoding", "UTF-8", 6),
    (A18, "unknown scene", ("cell", 10, 1, "office"), "scene-label", "'office' is not one of airport, bus", 10),
    (A18, "probabilities", ("cell", 3, 1, "bus\t0.5"), "column-count", "3 columns instead of 2", 3, M),
    (A18, "comma separated", ("row", 3, "audio/1.wav,bus"), "column-count", "separated by tabs", 3, M),
    (A18, "wrong header", ("edit", lambda t: "filename\tscene\n" + t), "header-fields", "filename scene_label", 1),
    (A18, "clip missing", ("row", 1), "missing-files", "0.wav", None),
    (A20, "class column missing", ("replace", "\ttram", ""), "header-fields", "street_traffic tram", 1),
    (A20, "NaN", ("cell", 5, 11, "nan"), "probability-range", "audio/3.wav", 5),
    (A20, "three classes", ("cell", 5, 1, "indoor"), "scene-label", "'indoor'", 5),
    (A21, "percent", ("cell", 4, 2, "99.5"), "probability-range", "audio/2.wav", 4),
    (A21, "padded index", ("replace", "3.wav", "03.wav"), "padded-name", "3.wav", 5, M),
    (A22, "class column missing", ("replace", "\ttram", ""), "header-fields", "street_traffic tram", 1),
    (A22, "padded index", ("replace", "3.wav", "03.wav"), "padded-name", "3.wav", 5, M),
    (A25, "other folder", ("replace", "audio/4", "data/4"), "file-folder", "written as 4.wav or audio/4.wav", 6),
    (A25, "logits", ("cell", 4, 2, "-3.5"), "probability-range", "audio/2.wav", 4),
    (A24, "clip missing in one split", ("row", 6, {"suffix": SPLIT}), "missing-files", "4.wav", None),
    (A24, "sum in one split", ("cell", 3, 2, "1.0", {"suffix": SPLIT}), "probability-sum", "add up to", 3, "argmax"),
    (A24, "padded clip twice", ("cell", 3, 0, "00.wav", {"suffix": SPLIT}), "duplicate-file", "in line 2", 3, M),
    (A24, "index too large", ("cell", 3, 0, "audio/10.wav", {"suffix": SPLIT}), "unknown-file", "10.wav", 3, M),
]
METAS = [
    (B, "no submission", ("meta", "submission", ...), K, "submission is missing", None),
    (B, "no system", ("meta", "system", ...), K, "system is missing", None),
    (B, "no results", ("meta", "results", ...), K, "results is missing", None),
    (B, "no label", ("meta", "submission.label", ...), K, "submission.label is missing", "submission:"),
    (B, "no abbreviation", ("meta", "submission.abbreviation", ...), K, "abbreviation", "submission:"),
    (B, "no embeddings", ("meta", f"{ABOUT}.embeddings", ...), K, "embeddings", "description:"),
    (B, "no management", ("meta", f"{ABOUT}.complexity_management", ...), K, "complexity_management", "description:"),
    (B, "no size", ("meta", f"{SIZE}.model_size", ...), K, "complexity.model_size", "complexity:"),
    (B, "no external data", ("meta", DATA, ...), K, "external_datasets", "system:"),
    (B, "no log loss", ("meta", f"{RESULTS}.overall.logloss", ...), K, "overall.logloss", "overall:"),
    (B, "no class", ("meta", f"{CLASSES}.indoor", ...), K, "class_wise.indoor", "class_wise:"),
    (B, "no class accuracy", ("meta", f"{CLASSES}.indoor.accuracy", ...), K, "indoor.accuracy", "indoor:"),
    (B, "text for a block", ("meta", "system", "big"), "not-a-block", "system must hold", "system: big"),
    (B, "list for a block", ("meta", CLASSES, [1]), "not-a-block", "class_wise must hold", "class_wise:"),
    (B, "a list", ("write", META, "- 1\n"), "not-a-block", "submission, system, results", None),
    (B, "empty meta file", ("write", META, ""), "not-a-block", "the file must hold the keys submission", None),
    (B, "other label", ("meta", "submission.label", "Kim_KETI_task1b_2"), L, "Kim_KETI_task1b_2 in the", "label:"),
    (B, "label is null", ("meta", "submission.label", None), L, "None", "label:"),
    (B, "long abbreviation", ("meta", "submission.abbreviation", "MrKD-ResNet"), "abbreviation-length", "10", "MrKD-R"),
    (B, "no authors", ("meta", AUTHORS, []), ONE, "0 authors", "authors:"),
    (B, "authors are null", ("meta", AUTHORS, None), "not-a-list", "one block per author", "authors:"),
    (B, "author is text", ("meta", AUTHORS, "Kim"), "not-a-list", "one block per author", "authors:"),
    (B, "no corresponding author", ("meta", f"{AUTHORS}.0.corresponding", ...), ONE, "0 authors", "authors:"),
    (B, "maybe corresponding", ("meta", f"{AUTHORS}.0.corresponding", "maybe"), ONE, "0 authors", "authors:"),
    (B, "two corresponding", ("meta", f"{AUTHORS}.1.corresponding", True), ONE, "2 authors", "authors:"),
    (B, "author without email", ("meta", f"{AUTHORS}.1.email", ...), K, "author 2 has no email", "authors:"),
    (B, "data set without url", ("meta", f"{DATA}.0.url", ...), K, "data set 1 has no url", "external_datasets:"),
    (B, "data sets as text", ("meta", DATA, "none"), "not-a-list", "one block per data set", "external_datasets:"),
    (B, "parameters as text", ("meta", f"{SIZE}.total_parameters", "2k"), "not-a-number", "'2k'", "s: 2k"),
    (
        B,
        "400 digits",
        ("meta", f"{SIZE}.total_parameters", 10**400),
        "not-a-number",
        "not a number",
        "00000",
    ),
    (B, "half a parameter", ("meta", f"{SIZE}.total_parameters", 99999.5), "not-a-number", "whole", "99999.5"),
    (B, "too many non-zero", ("meta", f"{SIZE}.total_parameters_non_zero", 10**9), "parameter-count", "1,000,000", "0"),
    (B, "size as text", ("meta", f"{SIZE}.model_size", "473 KB"), "not-a-number", "'473 KB'", "473 KB"),
    (B, "size over the limit", ("meta", f"{SIZE}.model_size", 500.01), "model-size", "limit of 512,000", "500.01"),
    (B, "size below zero", ("meta", f"{SIZE}.model_size", -1), "number-range", "-1", "model_size"),
    (B, "class accuracy is null", ("meta", f"{CLASSES}.outdoor.accuracy", None), "not-a-number", "None", "accuracy:"),
    (B, "log loss is NaN", ("meta", f"{RESULTS}.overall.logloss", float("nan")), "not-a-number", "nan", "ss: .nan"),
    (B, "accuracy of 120", ("meta", f"{RESULTS}.overall.accuracy", 120), "number-range", "120", "accuracy: 120"),
    (B, "accuracy is true", ("meta", f"{RESULTS}.overall.accuracy", True), "not-a-number", "True", "accuracy: true"),
    (B, "key twice", ("edit", lambda t: t + "results: {}\n", META), "duplicate-key", "'results' is already", ": {}", K),
    (B, "tab in YAML", ("write", META, "submission:\n\tlabel: x\n"), "yaml", "(column 1)", "\tlabel"),
    (B, "bracket left open", ("write", META, "submission:\n  name: [\n"), "yaml", "column", 3),
    (
        B,
        "Python object",
        ("write", META, "x: !!python/object/apply:os.system [exit]\n"),
        "yaml",
        "tags such as !!int are not read",
        1,
    ),
    (B, "control character", ("write", META, "submission: \x00\n"), "yaml", "unacceptable character", None),
    (B, "deep nesting", ("write", META, "[" * 5000), "yaml", "more than 32 sections or lists", 1),
    (B, "Latin-1 in the meta file", ("write", META, b"submission:\n  name: caf\xe9\n"), "encoding", "not UTF-8", 2),
    (A18, "no parameters", ("meta", f"{SIZE}.total_parameters", ...), K, "total_parameters", "complexity:"),
    (A18, "class missing", ("meta", f"{CLASSES}.tram", ...), K, "class_wise.tram", "class_wise:"),
    (A20, "no devices", ("meta", DEVICES, ...), K, "device_wise is missing", "development_dataset:"),
    (A20, "device missing", ("meta", f"{DEVICES}.s6", ...), K, "device_wise.s6", "device_wise:"),
    (A20, "device without log loss", ("meta", f"{DEVICES}.b.logloss", ...), K, "b.logloss", "b:"),
    (A21, "size over the limit", ("meta", f"{SIZE}.model_size", 125.1), "model-size", "limit of 128,000", "125.1"),
    (A21, "non-zero missing", ("meta", f"{SIZE}.total_parameters_non_zero", ...), K, "non_zero", "complexity:"),
    (A22, "too many parameters", ("meta", f"{SIZE}.total_parameters", 128_001), "model-size", "128,001", "s: 128001"),
    (A22, "no memory", ("meta", f"{SIZE}.memory_use", ...), K, "complexity.memory_use", "complexity:"),
    (A22, "memory as text", ("meta", f"{SIZE}.memory_use", "65 KB"), "not-a-number", "'65 KB'", "memory_use: 65 KB"),
    (A22, "MACs over the limit", ("meta", f"{SIZE}.macs", 30_000_001), "multiply-adds", "30,000,001", "macs:"),
    (A22, "no framework", ("meta", f"{ABOUT}.framework", ...), K, "description.framework", "description:"),
    (A23, "no energy", ("meta", "system.energy_consumption", ...), K, "energy_consumption is missing", "system:"),
    (A23, "no energy of the baseline", ("meta", f"{ENERGY}.baseline_inference", ...), K, "baseline", "energy_con"),
    (A23, "energy as text", ("meta", f"{ENERGY}.training", "1 kWh"), "not-a-number", "'1 kWh'", "training: 1 kWh"),
    (A23, "energy below zero", ("meta", f"{ENERGY}.inference", -0.1), "number-range", "-0.1", "inference: -0.1"),
    (A23, "size over the limit", ("meta", f"{SIZE}.total_model_size", 128001), "model-size", "128,001 bytes", "128001"),
    (A25, "size over the limit", ("meta", f"{SIZE}.total_model_size", 128001), "model-size", "128,001 bytes", "128001"),
    (A25, "no inference code", ("meta", CODE, ...), K, "system.inference_code is missing", "system:"),
    (A25, "inference code is null", ("meta", CODE, None), "no-inference-code", "address", "inference_code:"),
    (A25, "inference code is a list", ("meta", CODE, ["x"]), "no-inference-code", "address", "inference_code:"),
    (A25, "no number of models", ("meta", f"{ABOUT}.num_models_at_inference", ...), K, "num_models", "description:"),
    (A25, "no general results", ("meta", f"{RESULTS}.general", ...), K, "dataset.general", "development_dataset:"),
    (A25, "no device", ("meta", f"{RESULTS}.general.device_wise.s4", ...), K, "device_wise.s4", "device_wise:"),
    (A25, "accuracy of 120", ("meta", f"{RESULTS}.general.overall.accuracy", 120), "number-range", "120", "cy: 120"),
    (A24, "size over the limit", ("meta", f"{SIZE}.total_model_size", 128001), "model-size", "128,001 bytes", "128001"),
    (A24, "MACs over the limit", ("meta", f"{SIZE}.macs", 30_000_001), "multiply-adds", "limit of 30,000,000", "macs:"),
    (A24, "MACs as text", ("meta", f"{SIZE}.macs", "29 M"), "not-a-number", "'29 M'", "macs: 29 M"),
    (A24, "no pipeline", ("meta", f"{ABOUT}.pipeline", ...), K, "description.pipeline", "description:"),
    (A24, "no results of a split", ("meta", f"{RESULTS}.split_50", ...), K, "dataset.split_50", "development_dataset:"),
    (A24, "no device", ("meta", f"{RESULTS}.split_5.device_wise.s4", ...), K, "device_wise.s4", "device_wise:"),
]
LABEL = "Kim_KETI_task1b"
PACKAGES = [
    (B, "no meta file", ("remove", META), "missing-meta", f"{LABEL}_1.meta.yaml is missing", None),
    (B, "no output file", ("remove", OUTPUT), "missing-output", f"{LABEL}_1.output.csv is missing", None),
    (B, "neither", ("rename", ".", "_"), "no-submission", "it holds neither <label>.output.csv", None),
    (B, "output of another label", ("rename", "_1.output", "_2.output"), L, f"folder, {LABEL}_1", None),
    (B, "second meta file", ("add", "copy.of.it.meta.yaml", b"1"), L, "label of its folder", None, "not-a-block"),
    (B, "other label in the file", ("rename", "_1", "_2"), L, f"{LABEL}_1 in the folder {LABEL}_2", "label:"),
    (B, "no number", ("rename", "task1b_1", "task1b"), "label-pattern", "N from 1 to 4", None, L),
    (B, "fifth system", ("rename", "task1b_1", "task1b_5"), "label-pattern", "Lastname_INSTITUTE_task1b_N", None, L),
    (B, "label of another task", ("rename", "task1b", "task1a"), "label-pattern", "DCASE 2020 task 1B reads", None, L),
    (B, "no package folder", ("rename", "Kim_KETI_task1b/", ""), "layout", "<package>/task1/<label>", None),
    (B, "folder too deep", ("rename", "/task1/", "/a/task1/"), "layout", "laid out as <package>/task1", None),
    (B, "other task folder", ("rename", "/task1/", "/task2/"), "layout", "<label>.output.csv", None),
    (B, "parent folder", ("rename", "/task1/", "/../../task1/"), "unsafe-path", "outside the folder", None),
    (B, "absolute path", ("rename", "Kim_KETI_task1b/", "/Kim/"), "unsafe-path", "'/Kim/task1", None),
    (B, "drive", ("rename", "Kim_KETI_task1b/", "C:/"), "unsafe-path", "'C:/task1", None),
    (B, "backslashes", ("rename", "/task1/", "\\task1/"), "unsafe-path", "\\task1/", None),
    (A20, "label of task 1B", ("rename", "task1a_1", "task1b_1"), "label-pattern", "_task1a_N", None, L),
    (A23, "label with a letter", ("rename", "_task1_", "_task1a_"), "label-pattern", "INSTITUTE_task1_N", None, L),
    (A23, "a folder around", ("rename", "task1/K", "Kim/task1/K"), "layout", "as task1/<label>/<label>", None),
    (A25, "no output file", ("remove", OUTPUT), "missing-output", "Kim_KETI_task1_1.output.csv is missing", None),
    (A24, "a split is missing", ("remove", SPLIT), "missing-output", "split_25.csv is missing", None),
    (A24, "one output for all", ("rename", SPLIT, OUTPUT), "missing-output", ".output.split_25.csv", None),
    (A24, "a folder around", ("rename", "task1/K", "Kim/task1/K"), "layout", "as task1/<label>/<label>", None),
    (A24, "label with a letter", ("rename", "_task1_", "_task1a_"), "label-pattern", "INSTITUTE_task1_N", None, L),
]


@pytest.mark.slow
@pytest.mark.parametrize("variant", OUTPUTS + METAS + PACKAGES, ids=lambda v: f"{v[0].removeprefix('dcase')}: {v[1]}")
def test_a_corrupted_package_is_refused(packages, tmp_path, variant):
    task, _, (method, *arguments), code, words, place, *further = variant
    package = packages[task].copy()
    options = arguments.pop() if isinstance(arguments[-1], dict) else {}
    getattr(package, method)(*arguments, **options)
    path = package.save(tmp_path / "package.zip")
    exit_code, out, _ = run_cli("submit", "check", path, "--task", task, "--files", package.clip_list, "--json")
    problems = [problem for problem in json.loads(out) if problem["severity"] == "error"]
    assert exit_code == 1
    assert {problem["code"] for problem in problems} == {code, *further}
    [problem, *_] = [problem for problem in problems if problem["code"] == code and words in problem["message"]]
    assert any(problem["file"] in name for name in ("package.zip", *package.files))
    if place is None or isinstance(place, int):
        assert problem["line"] == place
    else:
        assert place in package.files[problem["file"]].decode().splitlines()[problem["line"] - 1]


def test_no_two_variants_are_alike():
    names = [variant[:2] for variant in OUTPUTS + METAS + PACKAGES]
    assert len(set(names)) == len(names) >= 40
