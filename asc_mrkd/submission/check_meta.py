"""Checking the meta file of a system."""

import math
from collections.abc import Iterator
from typing import Any

import yaml

from asc_mrkd.complexity import RULES, format_bytes
from asc_mrkd.submission.problem import Problem
from asc_mrkd.submission.tasks import Task

MAX_ABBREVIATION = 10
PLACEHOLDER = "FILL-IN"
"""Stands in a new meta file for what only the author knows."""

AUTHOR = ("lastname", "firstname", "email", "affiliation")
DATASET = ("name", "url", "total_audio_length")
SCORES = ("accuracy", "logloss")
DEVELOPMENT = "results.development_dataset"

Fault = tuple[str, str, str]
"""Dotted key, code and message of a problem."""


def check_meta(file: str, text: str, task: Task, label: str) -> list[Problem]:
    """Check a meta file: YAML, required keys, numbers, authors, size limit, and the label of its folder."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        meta = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        return [Problem(file, line, "yaml", " ".join(filter(None, (error.context, error.problem))))]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return [Problem(file, None, "yaml", str(error))]
    faults = [*_missing_keys(meta, task), *_label_faults(meta, task, label), *_author_faults(meta)]
    faults += [*_dataset_faults(meta), *_number_faults(meta, task), *_size_faults(meta, task)]
    problems = [Problem(file, _line(node, key), code, message) for key, code, message in faults]
    for number, content in enumerate(text.splitlines(), start=1):
        if PLACEHOLDER in content:
            message = f"still to be filled in: {content.strip()}"
            problems.append(Problem(file, number, "placeholder", message, "warning"))
    return problems


def lookup(meta: Any, key: str) -> Any:
    """Return the value of a dotted key, or None where a part of it is missing.

    >>> lookup({"system": {"complexity": {"model_size": 450.1}}}, "system.complexity.model_size")
    450.1
    """
    for part in filter(None, key.split(".")):
        meta = meta.get(part) if isinstance(meta, dict) else None
    return meta


def _line(node: yaml.Node | None, key: str) -> int | None:
    """Line of a dotted key, or of the innermost block around it that exists."""
    line = None
    for part in key.split("."):
        if not isinstance(node, yaml.MappingNode):
            break
        entry = next(((k, v) for k, v in node.value if k.value == part), None)
        if entry is None:
            break
        line, node = entry[0].start_mark.line + 1, entry[1]
    return line


def required_keys(task: Task) -> dict[str, tuple[str, ...]]:
    """Return the keys that every block of the meta file must have, the outermost block first."""
    return {
        "": ("submission", "system", "results"),
        "submission": ("label", "name", "abbreviation", "authors"),
        "system": ("description", "complexity", "external_datasets", "source_code"),
        "system.description": task.description,
        "system.complexity": task.complexity,
        "results": ("development_dataset",),
        DEVELOPMENT: ("overall", "class_wise"),
        f"{DEVELOPMENT}.overall": SCORES,
        f"{DEVELOPMENT}.class_wise": task.classes,
        **{f"{DEVELOPMENT}.class_wise.{name}": SCORES for name in task.classes},
    }


def _missing_keys(meta: Any, task: Task) -> Iterator[Fault]:
    unusable: set[str] = set()
    for block, keys in required_keys(task).items():
        names = {key: f"{block}.{key}".lstrip(".") for key in keys}
        values = None if block in unusable else lookup(meta, block)
        if not isinstance(values, dict):
            if block not in unusable:
                yield block, "not-a-block", f"{block or 'the file'} must hold the keys {', '.join(keys)}"
            unusable.update(names.values())
            continue
        for key, name in names.items():
            if key not in values:
                unusable.add(name)
                yield name, "missing-key", f"{name} is missing"


def _label_faults(meta: Any, task: Task, label: str) -> Iterator[Fault]:
    stated = lookup(meta, "submission.label")
    if stated is not None and stated != label:
        yield "submission.label", "label-mismatch", f"submission.label is {stated} in the folder {label}"
    abbreviation = lookup(meta, "submission.abbreviation")
    if abbreviation is not None and len(str(abbreviation)) > MAX_ABBREVIATION:
        message = f"'{abbreviation}' has more than {MAX_ABBREVIATION} characters"
        yield "submission.abbreviation", "abbreviation-length", message


def _author_faults(meta: Any) -> Iterator[Fault]:
    key = "submission.authors"
    if not _has(meta, key):
        return  # reported as missing
    authors = lookup(meta, key)
    if not isinstance(authors, list) or not all(isinstance(author, dict) for author in authors):
        yield key, "not-a-list", "submission.authors must be a list with one block per author"
        return
    for number, author in enumerate(authors, start=1):
        for name in AUTHOR:
            if name not in author:
                yield key, "missing-key", f"author {number} has no {name}"
    corresponding = sum(author.get("corresponding") is True for author in authors)
    if corresponding != 1:
        message = f"{corresponding} authors have `corresponding: true`, it must be exactly one"
        yield key, "corresponding-author", message


def _dataset_faults(meta: Any) -> Iterator[Fault]:
    key = "system.external_datasets"
    datasets = lookup(meta, key) or []
    if not isinstance(datasets, list) or not all(isinstance(dataset, dict) for dataset in datasets):
        yield key, "not-a-list", f"{key} must be a list with one block per data set; [] when there are none"
        return
    for number, dataset in enumerate(datasets, start=1):
        for name in DATASET:
            if name not in dataset:
                yield key, "missing-key", f"external data set {number} has no {name}"


def _number_faults(meta: Any, task: Task) -> Iterator[Fault]:
    blocks = [f"{DEVELOPMENT}.overall", *(f"{DEVELOPMENT}.class_wise.{name}" for name in task.classes)]
    keys = [f"system.complexity.{name}" for name in task.complexity]
    for key in keys + [f"{block}.{score}" for block in blocks for score in SCORES]:
        if not _has(meta, key):
            continue  # reported as missing
        value = lookup(meta, key)
        if not _is_number(value):
            yield key, "not-a-number", f"{key} is {value!r}, not a number"
        elif ".total_parameters" in key and not isinstance(value, int):
            yield key, "not-a-number", f"{key} must be a whole number, not {value}"
        elif value < 0 or (key.endswith(".accuracy") and value > 100):
            yield key, "number-range", f"{key} cannot be {value}"


def _size_faults(meta: Any, task: Task) -> Iterator[Fault]:
    total, non_zero, size = (
        lookup(meta, f"system.complexity.{name}")
        for name in ("total_parameters", "total_parameters_non_zero", "model_size")
    )
    if _is_number(total) and _is_number(non_zero) and non_zero > total:
        message = f"{non_zero:,} non-zero parameters of {total:,}"
        yield "system.complexity.total_parameters_non_zero", "parameter-count", message
    if task.rule and _is_number(size) and size * 1024 > RULES[task.rule].limit:
        message = f"{size} KB is over the limit of {format_bytes(RULES[task.rule].limit)}"
        yield "system.complexity.model_size", "model-size", message


def _has(meta: Any, key: str) -> bool:
    block, _, name = key.rpartition(".")
    values = lookup(meta, block)
    return isinstance(values, dict) and name in values


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
