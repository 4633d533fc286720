"""Where things stand in a meta file: its required keys, and dotted keys in its values and lines."""

from collections.abc import Iterator
from typing import Any

import yaml

from asc_mrkd.submission.tasks import DEVELOPMENT, Task

SCORES = ("accuracy", "logloss")
"""Macro accuracy of a set of clips in percent, and the log loss of all its clips in nats."""


def required_keys(task: Task) -> dict[str, tuple[str, ...]]:
    """Return the keys that every block of the meta file must have, the outermost block first."""
    groups = {"class_wise": task.classes, **({"device_wise": task.devices} if task.devices else {})}
    keys: dict[str, tuple[str, ...]] = {
        "": ("submission", "system", "results"),
        "submission": ("label", "name", "abbreviation", "authors"),
        "system": ("description", "complexity", "external_datasets", "source_code"),
        "system.description": task.description,
        "system.complexity": task.complexity,
        "results": ("development_dataset",),
    }
    if task.splits:
        keys[DEVELOPMENT] = task.parts
    for block in task.results:
        keys[block] = ("overall", *groups)
        keys[f"{block}.overall"] = SCORES
        for group, names in groups.items():
            keys[f"{block}.{group}"] = names
            keys.update({f"{block}.{group}.{name}": SCORES for name in names})
    return keys


def score_keys(task: Task) -> list[str]:
    """Return the dotted keys of all figures in the results."""
    return [f"{block}.{key}" for block, keys in required_keys(task).items() if keys == SCORES for key in keys]


def lookup(meta: Any, key: str) -> Any:
    """Return the value of a dotted key, or None where a part of it is missing.

    >>> lookup({"system": {"complexity": {"model_size": 450.1}}}, "system.complexity.model_size")
    450.1
    """
    for part in filter(None, key.split(".")):
        meta = meta.get(part) if isinstance(meta, dict) else None
    return meta


def has_key(meta: Any, key: str) -> bool:
    """Tell whether a dotted key is there, be its value null."""
    block, _, name = key.rpartition(".")
    values = lookup(meta, block)
    return isinstance(values, dict) and name in values


def line_of(node: yaml.Node | None, key: str) -> int | None:
    """Return the line of a dotted key, or of the innermost block around it that exists."""
    line = None
    for part in key.split("."):
        if not isinstance(node, yaml.MappingNode):
            break
        entry = next(((k, v) for k, v in node.value if k.value == part), None)
        if entry is None:
            break
        line, node = entry[0].start_mark.line + 1, entry[1]
    return line


def repeated_keys(root: yaml.Node | None) -> Iterator[tuple[int, str, int]]:
    """Yield line, name and earlier line of every key that its block holds twice; YAML readers drop the earlier."""
    waiting, seen = [root], set()
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
            line = key.start_mark.line + 1
            if str(key.value) in lines:
                yield line, str(key.value), lines[str(key.value)]
            lines.setdefault(str(key.value), line)
