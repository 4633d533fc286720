"""Making a submission package out of a run."""

import os
import zipfile
from pathlib import Path

import numpy as np
import yaml
from rich.console import Console
from rich.progress import track

from asc_mrkd.errors import ConfigError, DataError, SubmissionError, suggest
from asc_mrkd.files import atomic_writer, write_text
from asc_mrkd.schema import read_yaml
from asc_mrkd.submission.meta import build_meta, merge
from asc_mrkd.submission.package import META, OUTPUT
from asc_mrkd.submission.system import System, load_system
from asc_mrkd.submission.tasks import Task, find_task


def make_submission(
    run: str | os.PathLike[str],
    task: str,
    label: str,
    out: str | os.PathLike[str],
    *,
    audio: str | os.PathLike[str] | None = None,
    meta: str | os.PathLike[str] | None = None,
    precision: str | None = None,
    ensemble: bool = False,
) -> Path:
    """Write the output and meta file of a system and the zip that is sent; return the path of the zip.

    The files go to `out/<task folder>/<label>/`. The zip beside holds every submission there with the same name,
    institute and task, so that up to four systems share a package.

    Args:
        run: a run folder, or a seed folder to submit that seed.
        task: a key of `asc_mrkd.submission.TASKS`.
        label: Lastname_INSTITUTE_task_N, N from 1 to 4.
        out: folder to write to.
        audio: folder of the official evaluation recordings. None is a rehearsal on the test clips of the run.
        meta: YAML file with the author's part of the meta file (authors, name, source_code, ...), same layout.
        precision: precision at which the weights are stored, for the size; None as they are.
        ensemble: average all finished seeds, and count all their parameters; otherwise the first seed alone.

    Raises:
        ConfigError: unknown task or precision, unreadable `meta`.
        RunError: no finished seed.
        SubmissionError: label, classes or size do not fit the task.
        DataError: a recording cannot be used.
    """
    rules = find_task(task)
    if not rules.is_label(label):
        raise SubmissionError(
            f"'{label}' is not a label of {rules.title}",
            f"it reads Lastname_INSTITUTE_{rules.tag}_N with N from 1 to 4",
        )
    changes = {} if meta is None else _read_changes(meta)
    system = load_system(Path(run), rules, precision, ensemble)
    if audio is None:
        names, probabilities = list(system.predictions.table["filename"]), system.predictions.probabilities
    else:
        names, probabilities = predict_folder(system, Path(audio))
    folder = Path(out) / rules.folder / label
    write_text(folder / f"{label}{OUTPUT}", output_text(names, probabilities, rules))
    content = merge(build_meta(system, rules, label), changes)
    write_text(folder / f"{label}{META}", yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return _write_zip(Path(out), rules, label)


def _read_changes(path: str | os.PathLike[str]) -> dict:
    changes = read_yaml(path)
    blocks = ("submission", "system", "results")
    for key in changes:
        if key not in blocks:
            raise ConfigError(f"{path}: unknown key '{key}'", suggest(str(key), blocks))
    return changes


def predict_folder(system: System, folder: Path) -> tuple[list[str], np.ndarray]:
    """Return the names audio/<n>.wav of the recordings in `folder` and their probabilities (clip, class).

    `folder` is the unpacked evaluation set or its audio folder.

    Raises:
        DataError: there is no recording, or one cannot be used.
    """
    from asc_mrkd.deploy import Predictor

    folder = folder / "audio" if (folder / "audio").is_dir() else folder
    files = sorted(folder.glob("*.wav"), key=lambda file: (len(file.stem), file.stem))
    if not files:
        raise DataError(f"{folder} holds no .wav file", "give the folder of the evaluation set as unpacked")
    predictors = [Predictor(network) for network in system.networks]
    probabilities = [
        np.mean([predictor.predict_file(file) for predictor in predictors], axis=0)
        for file in track(files, "predicting", console=Console(stderr=True))
    ]
    return [f"audio/{file.name}" for file in files], np.array(probabilities)


def output_text(names: list[str], probabilities: np.ndarray, task: Task) -> str:
    """Return the content of an output file; `probabilities` is (clip, class), classes in alphabetical order."""
    lines = ["\t".join(task.columns)] if task.probabilities else []
    for name, row in zip(names, probabilities, strict=True):
        cells = [name, task.classes[int(row.argmax())]]
        lines.append("\t".join(cells + [f"{p:.6f}" for p in row] if task.probabilities else cells))
    return "\n".join(lines) + "\n"


def _write_zip(out: Path, task: Task, label: str) -> Path:
    package = label.rpartition("_")[0]
    path = out / f"{package}.zip"
    with atomic_writer(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((out / task.folder).glob(f"{package}_[1-4]/*")):
            if file.name.endswith((OUTPUT, META, ".pdf")):
                archive.write(file, f"{package}/{file.relative_to(out).as_posix()}")
    return path
