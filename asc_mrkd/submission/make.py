"""Make a submission package from a run."""

import os
import zipfile
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import yaml

from asc_mrkd.deploy import Predictor
from asc_mrkd.errors import ConfigError, DataError, SubmissionError, require_bool, suggest
from asc_mrkd.files import atomic_writer, write_text
from asc_mrkd.progress import Progress, no_progress
from asc_mrkd.runs import Predictions
from asc_mrkd.submission.meta import build_meta, merge
from asc_mrkd.submission.system import System, load_system
from asc_mrkd.submission.tasks import META, Task, find_task
from asc_mrkd.texts import read_yaml

Run = str | os.PathLike[str]

INFERENCE = (
    "a Python package with predict, load_model, load_inputs and get_model_for_device, as in "
    "CPJKU/dcase2025_task1_inference, at the address system.inference_code of the meta file"
)
"""The inference package of 2025 in words."""


def tell_nothing(sentence: str) -> None:
    """Take the place of `tell` where nobody listens."""


def make_submission(
    run: Run | Mapping[int, Run],
    task: str,
    label: str,
    out: str | os.PathLike[str],
    *,
    audio: str | os.PathLike[str] | None = None,
    meta: str | os.PathLike[str] | None = None,
    precision: str | None = None,
    ensemble: bool = False,
    budget: str | None = None,
    unreadable: str = "prior",
    progress: Progress = no_progress,
    tell: Callable[[str], object] = tell_nothing,
) -> Path:
    """Write the output files and the meta file of a submission, and the zip to send; return the path of the zip.

    The files go to `out/task1/<label>/`. The zip, `out/<label without its number>.zip`, holds every submission there
    with the same name, institute and task, so that up to four share a package.

    Args:
        run: a run folder, or a seed folder to submit that seed. The task of 2024 asks for one per share of the
            training data instead: {5: run, 10: run, 25: run, 50: run, 100: run}.
        task: a key of `asc_mrkd.submission.TASKS`.
        label: Lastname_INSTITUTE_task_N, N from 1 to 4.
        out: folder to write to.
        audio: folder of the official evaluation recordings; None rehearses with the test clips of the run.
        meta: YAML file with the author's part of the meta file (authors, name, source_code, ...), in its layout.
        precision: precision at which the weights are stored, for the size; None for that of the model files.
        ensemble: average all finished seeds, and count all their parameters; otherwise take the first seed only.
        budget: a key of `asc_mrkd.budget.RULES` to keep besides that of the task.
        unreadable: probabilities of a recording in `audio` that cannot be used: `prior`, the shares of the classes in
            the test clips of the run, or `even`. The rules want a row for every recording.
        progress: reports the recordings that are predicted.
        tell: receives sentences: the seed that is taken, its accuracy and the alternatives; every recording that cannot
            be used, and why; what the task asks for besides the package.

    Raises:
        ConfigError: unknown task, precision, budget or `unreadable`, or a `meta` that cannot be used.
        RunError: no finished seed.
        SubmissionError: label, runs or classes do not fit the task.
        BudgetError: a system takes more than the task or `budget` allows.
        DataError: no recording in `audio` can be used.

    Example:
        make_submission("exp/ce", "dcase2018-task1a", "Doe_INST_task1a_1", "exp/submission")
    """
    require_bool(ensemble, "ensemble")
    rules = find_task(task)
    if unreadable not in UNREADABLE:
        raise ConfigError(f"unreadable recordings cannot be '{unreadable}'", suggest(unreadable, UNREADABLE))
    require_label(label, rules)
    changes = {} if meta is None else read_author_meta(meta)

    systems = {}
    for part, folder in runs_by_part(run, rules).items():
        systems[part] = load_system(folder, rules, precision, ensemble, budget)
    for system in systems.values():
        tell(system.choice)
    if rules.inference_code:
        tell(f"{rules.title} also asks for {INFERENCE}; it is yours to write")

    files = {}
    for part, suffix in zip(rules.parts, rules.outputs, strict=True):
        names, probabilities = predict_clips(systems[part], audio, unreadable, progress, tell)
        files[f"{label}{suffix}"] = output_text(names, probabilities, rules)
    content = merge(build_meta(systems, rules, label), changes)
    files[f"{label}{META}"] = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)

    for name, text in files.items():
        write_text(Path(out) / "task1" / label / name, text)
    return write_zip(Path(out), rules, label)


def require_label(label: str, task: Task) -> None:
    """Raise SubmissionError if `label` is empty or not a label of the task."""
    if task.is_label(label):
        return
    message = f"'{label}' is not a label of {task.title}"
    if not label:
        message = f"an entry needs a label: {message}"
    raise SubmissionError(message, f"--label Lastname_INSTITUTE_{task.tag}_N with N from 1 to 4")


def runs_by_part(run: Run | Mapping[int, Run], task: Task) -> dict[str, Path]:
    """Return the run folder of each of `task.parts`.

    Raises:
        SubmissionError: one run where the task asks for one per share of the training data, or the other way round.
    """
    if not task.splits:
        if isinstance(run, Mapping):
            raise SubmissionError(f"{task.title} asks for one run, not for one per split", "asc-mrkd submit make RUN")
        return {"": Path(run)}
    runs: dict[int, Path] = {}
    if isinstance(run, Mapping):
        runs = {percent: Path(folder) for percent, folder in run.items()}
    distinct = {folder.resolve() for folder in runs.values()}
    if set(runs) != set(task.splits) or len(distinct) < len(runs):
        percents = ", ".join(str(percent) for percent in task.splits)
        raise SubmissionError(
            f"{task.title} asks for a separate run for each of {percents} % of the training data",
            " ".join(f"--split {percent}=RUN" for percent in task.splits),
        )
    return {part: runs[percent] for part, percent in zip(task.parts, task.splits, strict=True)}


def read_author_meta(path: str | os.PathLike[str]) -> dict:
    """Read the author's part of a meta file.

    Raises:
        ConfigError: it cannot be read, or has a block that a meta file does not have.
    """
    blocks = ("submission", "system", "results")
    changes = read_yaml(path, f"--meta takes a YAML file with the blocks {', '.join(blocks)}")
    for key in changes:
        if key not in blocks:
            raise ConfigError(f"{path}: unknown key '{key}'", suggest(str(key), blocks))
    return changes


def predict_clips(
    system: System,
    audio: str | os.PathLike[str] | None,
    unreadable: str,
    progress: Progress,
    tell: Callable[[str], object],
) -> tuple[list[str], np.ndarray]:
    """Return the names of the clips and their probabilities (clip, class), averaged over the networks of a system.

    The clips are the recordings in `audio`, the unpacked evaluation set or its audio folder, named audio/<n>.wav. If it
    is None, they are the test clips of the run.

    Raises:
        DataError: the folder holds no recording, one twice, or none that can be used.
    """
    if audio is None:
        return list(system.predictions.table["filename"]), system.predictions.probabilities
    files = find_recordings(Path(audio))
    instead = UNREADABLE[unreadable](system.predictions)
    predictor = Predictor(system.networks)
    probabilities = []
    refused: list[DataError] = []
    with progress("predicting", len(files), "clips") as advance:
        for answer in predictor.predict_files(files, top=len(predictor.classes)):
            if isinstance(answer, DataError):
                refused.append(answer)
                probabilities.append(instead)
                tell(f"{answer}; its row has {DESCRIPTIONS[unreadable]}")
            else:
                found = dict(zip(answer.classes, answer.probabilities, strict=True))
                probabilities.append(np.array([found[name] for name in predictor.classes]))
            advance()
    if len(refused) == len(files):
        raise refused[0]
    return [f"audio/{file.stem}.wav" for file in files], np.array(probabilities)


def find_recordings(folder: Path) -> list[Path]:
    """List the .wav files of an unpacked evaluation set, or of its audio folder, by number; hidden files are left out.

    Raises:
        DataError: there is none, or two have the same name in capitals and in small letters.
    """
    if (folder / "audio").is_dir():
        folder = folder / "audio"
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder", "give the folder of the evaluation set as unpacked")
    files = [file for file in folder.iterdir() if file.suffix.lower() == ".wav" and not file.name.startswith(".")]
    if not files:
        raise DataError(f"{folder} holds no .wav file", "give the folder of the evaluation set as unpacked")
    files.sort(key=lambda file: (len(file.stem), file.stem, file.suffix))
    for first, second in pairwise(files):
        if first.stem == second.stem:
            raise DataError(f"{folder} holds both {first.name} and {second.name}", "leave one of them")
    return files


def class_shares(predictions: Predictions) -> np.ndarray:
    """Return the shares of the classes among the test clips of a run, (class,)."""
    counts = np.bincount(predictions.labels, minlength=len(predictions.classes))
    return counts / counts.sum()


def even_shares(predictions: Predictions) -> np.ndarray:
    """Return the same probability for every class, (class,)."""
    return np.full(len(predictions.classes), 1 / len(predictions.classes))


UNREADABLE: dict[str, Callable[[Predictions], np.ndarray]] = {"prior": class_shares, "even": even_shares}
"""Probabilities of a recording that cannot be used, by the name of the choice."""

DESCRIPTIONS = {"prior": "the shares of the classes in the test clips", "even": "the same probability for every class"}
"""The choices of `UNREADABLE` in words."""


def output_text(names: list[str], probabilities: np.ndarray, task: Task) -> str:
    """Return the content of an output file; `probabilities` is (clip, class), the classes in alphabetical order."""
    lines = ["\t".join(task.columns)] if task.probabilities else []
    for name, row in zip(names, probabilities, strict=True):
        cells = [name, task.classes[int(row.argmax())]]
        if task.probabilities:
            cells += [f"{probability:.6f}" for probability in row]
        lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"


def write_zip(out: Path, task: Task, label: str) -> Path:
    """Pack all submissions in `out` that share the package of `label`; return the path of the zip."""
    package = label.rpartition("_")[0]
    path = out / f"{package}.zip"
    with atomic_writer(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((out / "task1").glob(f"{package}_[1-4]/*")):
            if file.name.endswith((*task.outputs, META, ".pdf")):
                folder = task.layout.replace("<package>", package).replace("<label>", file.parent.name)
                archive.write(file, f"{folder}/{file.name}")
    return path
