"""Fill in the meta file of a submission from its runs."""

from collections.abc import Mapping
from typing import Any

from asc_mrkd.config import Experiment
from asc_mrkd.engine.augment import describe_augmentation
from asc_mrkd.methods import method_title
from asc_mrkd.models import MODELS
from asc_mrkd.submission.check_meta import MAX_ABBREVIATION, PLACEHOLDER
from asc_mrkd.submission.system import System, development_results
from asc_mrkd.submission.tasks import SIZE_UNITS, Task


def build_meta(systems: Mapping[str, System], task: Task, label: str) -> dict[str, Any]:
    """Return the content of the meta file; what only the author knows is `PLACEHOLDER`.

    Args:
        systems: one system for each of `task.parts`. The first stands for all in the description; complexity is that
            of the largest.
        task: task of the submission.
        label: label of the submission.
    """
    lastname, institute = label.split("_")[:2]
    first = systems[task.parts[0]]
    results = {part: development_results(systems[part].predictions, task) for part in task.parts}
    return {
        "submission": {
            "label": label,
            "name": f"{first.experiment.model.name}, {method_title(first.experiment.method)}",
            "abbreviation": method_title(first.experiment.method)[:MAX_ABBREVIATION].strip(),
            "authors": [
                {
                    "lastname": lastname,
                    "firstname": PLACEHOLDER,
                    "email": PLACEHOLDER,
                    "corresponding": True,
                    "affiliation": {"abbreviation": institute, "institute": PLACEHOLDER, "location": PLACEHOLDER},
                }
            ],
        },
        "system": {
            "description": describe_systems(systems, task),
            "complexity": largest_complexity(systems, task),
            "external_datasets": [],
            "source_code": None,
        },
        "results": {"development_dataset": results if task.splits else results[task.parts[0]]},
    }


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `changes` in their places, block by block.

    >>> merge({"system": {"source_code": None, "description": 1}}, {"system": {"source_code": "here"}})
    {'system': {'source_code': 'here', 'description': 1}}
    """
    merged = dict(base)
    for key, value in changes.items():
        old = base.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def describe_systems(systems: Mapping[str, System], task: Task) -> dict[str, Any]:
    """Return the block system.description: the first system in words, with the measures of all to make them small."""
    first = systems[task.parts[0]]
    count = len(first.networks)
    measures = list(dict.fromkeys(measure for system in systems.values() for measure in system.measures))
    description = {
        "input_sampling_rate": f"{first.frontend.sample_rate / 1000:g}kHz",
        "acoustic_features": first.frontend.description,
        "embeddings": None,
        "data_augmentation": ", ".join(describe_augmentation(first.experiment.augment)) or None,
        "machine_learning_method": describe_training(first.experiment),
        "ensemble_method_subsystem_count": count if count > 1 else None,
        "decision_making": "average of the probabilities" if count > 1 else None,
        "external_data_usage": None,
        "complexity_management": ", ".join(measures) or None,
        "pipeline": ", ".join(["training", *measures]),
        "framework": "PyTorch",
        "split_adaptations": PLACEHOLDER,
        "system_adaptations": PLACEHOLDER,
    }
    return {key: description[key] for key in task.description}


def describe_training(experiment: Experiment) -> str:
    """Return the network and the method of an experiment in words."""
    model = experiment.model.name
    summary = MODELS[model].summary if model in MODELS else "own network"
    return f"{summary} ({model}), {method_title(experiment.method)}"


def largest_complexity(systems: Mapping[str, System], task: Task) -> dict[str, Any]:
    """Return the block system.complexity: the largest of each figure over the systems."""
    size = max(system.complexity.bytes for system in systems.values())
    complexity: dict[str, Any] = {
        "total_parameters": max(system.complexity.parameters for system in systems.values()),
        "total_parameters_non_zero": max(system.complexity.non_zero for system in systems.values()),
        "macs": max(system.complexity.multiply_adds for system in systems.values()),
    }
    for key, unit in SIZE_UNITS.items():
        complexity[key] = size / unit if unit > 1 else size
    return {key: complexity[key] for key in task.complexity}
