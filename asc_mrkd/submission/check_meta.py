"""Check the meta file of a submission."""

import math
from collections.abc import Iterator
from typing import Any

import yaml

from asc_mrkd.budget import PRECISIONS, RULES, exact_size
from asc_mrkd.submission.tasks import DEVELOPMENT, SIZE_UNITS, Problem, Severity, Task
from asc_mrkd.texts import compose_yaml

SCORES = ("accuracy", "logloss")
"""Macro accuracy of a set of clips in percent, and the log loss of all its clips in nats."""


MAX_ABBREVIATION = 10

LARGEST_NUMBER = 1e300
"""Bound of the numbers in a meta file."""

PLACEHOLDER = "FILL-IN"
"""Text in a new meta file in place of values that only the author knows."""

MEASURED = ("system.complexity.memory_use", "system.energy_consumption.")
"""Beginnings of the dotted keys of numbers that only the author knows."""

AUTHOR = ("lastname", "firstname", "email", "affiliation")
DATASET = ("name", "url", "total_audio_length")
WARNINGS = {"no-clips", "placeholder"}
"""Codes of faults that do not keep a submission from being sent."""

Fault = tuple[str, str, str]
"""Dotted key, code and message of a problem."""


def required_keys(task: Task) -> dict[str, tuple[str, ...]]:
    """Return the keys that every block of the meta file must have, the outermost block first."""
    groups = {"class_wise": task.classes}
    if task.devices:
        groups["device_wise"] = task.devices
    keys: dict[str, tuple[str, ...]] = {
        "": ("submission", "system", "results"),
        "submission": ("label", "name", "abbreviation", "authors"),
        "system": ("description", "complexity", "external_datasets", "source_code"),
        "system.description": task.description,
        "system.complexity": task.complexity,
        "results": ("development_dataset",),
    }
    if task.energy:
        keys["system"] += ("energy_consumption",)
        keys["system.energy_consumption"] = task.energy
    if task.inference_code:
        keys["system"] += ("inference_code",)
    if task.result_blocks != ("",):
        keys[DEVELOPMENT] = task.result_blocks
    for block in task.results:
        keys[block] = ("overall", *groups)
        keys[f"{block}.overall"] = SCORES
        for group, names in groups.items():
            keys[f"{block}.{group}"] = names
            keys.update({f"{block}.{group}.{name}": SCORES for name in names})
    return keys


def score_keys(task: Task) -> list[str]:
    """Return the dotted keys of all scores in the results."""
    blocks = [block for block, keys in required_keys(task).items() if keys == SCORES]
    return [f"{block}.{key}" for block in blocks for key in SCORES]


def lookup(meta: Any, key: str) -> Any:
    """Return the value of a dotted key, or None where a part of it is missing.

    >>> lookup({"system": {"complexity": {"model_size": 450.1}}}, "system.complexity.model_size")
    450.1
    """
    if not key:
        return meta
    for part in key.split("."):
        if not isinstance(meta, dict):
            return None
        meta = meta.get(part)
    return meta


def has_key(meta: Any, key: str) -> bool:
    """Return whether a dotted key exists, even if its value is null."""
    block, _, name = key.rpartition(".")
    values = lookup(meta, block)
    return isinstance(values, dict) and name in values


def line_of(node: yaml.Node | None, key: str) -> int | None:
    """Return the line of a dotted key, or of the innermost block around it that exists."""
    line = None
    for part in key.split("."):
        if not isinstance(node, yaml.MappingNode):
            break
        entries = [entry for entry in node.value if entry[0].value == part]
        if not entries:
            break
        name, node = entries[0]
        line = name.start_mark.line + 1
    return line


def repeated_keys(root: yaml.Node | None) -> Iterator[tuple[int, str, int]]:
    """Yield line, name and earlier line of each key that its block holds twice; YAML readers drop the earlier one."""
    waiting = [root]
    seen = set()
    while waiting:
        node = waiting.pop()
        if not isinstance(node, yaml.CollectionNode) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
            continue
        lines: dict[str, int] = {}
        for key, value in node.value:
            waiting.append(value)
            name = str(key.value)
            line = key.start_mark.line + 1
            if name in lines:
                yield line, name, lines[name]
            else:
                lines[name] = line


def check_meta(file: str, text: str, task: Task, label: str) -> list[Problem]:
    """Check a meta file: YAML, required keys, numbers, authors, limits of the task, and the label of its folder."""
    try:
        node = compose_yaml(text)
        meta = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" (column {mark.column + 1})" if mark else ""
        message = " ".join(filter(None, (error.context, error.problem))) + where
        return [Problem(file, mark.line + 1 if mark else None, "yaml", message)]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return [Problem(file, None, "yaml", str(error))]
    faults = [
        *_missing_keys(meta, task),
        *_label_faults(meta, label),
        *_author_faults(meta),
        *_dataset_faults(meta),
        *_code_faults(meta, task),
        *_number_faults(meta, task),
        *_limit_faults(meta, task),
    ]
    found = [(line_of(node, key), code, message) for key, code, message in faults]
    for repeated_line, key, earlier in repeated_keys(node):
        found.append((repeated_line, "duplicate-key", f"'{key}' is already in line {earlier}"))
    for number, content in enumerate(text.splitlines(), start=1):
        if PLACEHOLDER in content:
            found.append((number, "placeholder", f"still to be filled in: {content.strip()}"))
    problems = []
    for line, code, message in found:
        severity: Severity = "warning" if code in WARNINGS else "error"
        problems.append(Problem(file, line, code, message, severity))
    return problems


def _missing_keys(meta: Any, task: Task) -> Iterator[Fault]:
    unusable: set[str] = set()
    for block, keys in required_keys(task).items():
        names = {key: f"{block}.{key}".lstrip(".") for key in keys}
        if block in unusable:
            unusable.update(names.values())
            continue
        values = lookup(meta, block)
        if not isinstance(values, dict):
            yield block, "not-a-block", f"{block or 'the file'} must hold the keys {', '.join(keys)}"
            unusable.update(names.values())
            continue
        for key, name in names.items():
            if key not in values:
                unusable.add(name)
                yield name, "missing-key", f"{name} is missing"


def _label_faults(meta: Any, label: str) -> Iterator[Fault]:
    stated = lookup(meta, "submission.label")
    if has_key(meta, "submission.label") and stated != label:
        yield "submission.label", "label-mismatch", f"submission.label is {stated} in the folder {label}"
    abbreviation = lookup(meta, "submission.abbreviation")
    if abbreviation is not None and len(str(abbreviation)) > MAX_ABBREVIATION:
        message = f"'{abbreviation}' has more than {MAX_ABBREVIATION} characters"
        yield "submission.abbreviation", "abbreviation-length", message


def _author_faults(meta: Any) -> Iterator[Fault]:
    key = "submission.authors"
    if not has_key(meta, key):
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


def _code_faults(meta: Any, task: Task) -> Iterator[Fault]:
    key = "system.inference_code"
    address = lookup(meta, key)
    if task.inference_code and has_key(meta, key) and not (isinstance(address, str) and address.strip()):
        yield key, "no-inference-code", f"{key} must be the address of the inference package"


def _number_faults(meta: Any, task: Task) -> Iterator[Fault]:
    keys = [f"system.complexity.{name}" for name in task.complexity]
    keys += [f"system.energy_consumption.{name}" for name in task.energy]
    for key in keys + score_keys(task):
        value = lookup(meta, key)
        if not has_key(meta, key):
            continue  # reported as missing
        if value == PLACEHOLDER and key.startswith(MEASURED):
            continue  # reported as still to be filled in
        if value is None and task.device_models and key.startswith(DEVELOPMENT):
            continue  # the template of the meta file allows results in part
        if value is None and ".device_wise." in key:
            yield key, "no-clips", f"{key} is empty, as if no test clip were of that device"
        elif not _is_number(value):
            yield key, "not-a-number", f"{key} is {value!r}, not a number"
        elif ".total_parameters" in key and not isinstance(value, int):
            yield key, "not-a-number", f"{key} must be a whole number, not {value}"
        elif value < 0 or (key.endswith(".accuracy") and value > 100):
            yield key, "number-range", f"{key} cannot be {value}"


def _limit_faults(meta: Any, task: Task) -> Iterator[Fault]:
    complexity = {name: lookup(meta, f"system.complexity.{name}") for name in task.complexity}
    numbers = {name: value for name, value in complexity.items() if _is_number(value)}
    total = numbers.get("total_parameters")
    non_zero = numbers.get("total_parameters_non_zero")
    if total is not None and non_zero is not None and non_zero > total:
        message = f"{non_zero:,} non-zero parameters of {total:,}"
        yield "system.complexity.total_parameters_non_zero", "parameter-count", message
    if task.rule is None:
        return
    rule = RULES[task.rule]
    sizes = {name: numbers[name] * unit for name, unit in SIZE_UNITS.items() if name in numbers}
    if rule.stored_as is not None and total is not None:
        sizes["total_parameters"] = total * PRECISIONS[rule.stored_as]
    for name, size in sizes.items():
        if size > rule.limit:
            message = f"{exact_size(math.ceil(size))} is over the limit of {exact_size(rule.limit)}"
            yield f"system.complexity.{name}", "model-size", message
    if rule.multiply_adds is not None and numbers.get("macs", 0) > rule.multiply_adds:
        message = f"{numbers['macs']:,} multiply-adds are over the limit of {rule.multiply_adds:,}"
        yield "system.complexity.macs", "multiply-adds", message


def _is_number(value: Any) -> bool:
    """Return whether a value is a number that can be computed with; YAML has whole numbers of any length."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST_NUMBER
