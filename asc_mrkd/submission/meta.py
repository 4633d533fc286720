"""Fill in the meta file of a submission from its runs."""

from collections.abc import Mapping
from typing import Any

from asc_mrkd.config import Experiment
from asc_mrkd.engine.data.augment import describe_augmentation
from asc_mrkd.errors import ConfigError
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
        "system": describe_systems(systems, task),
        "results": {"development_dataset": results_by_block(systems, task)},
    }


def describe_systems(systems: Mapping[str, System], task: Task) -> dict[str, Any]:
    """Return the block system."""
    block: dict[str, Any] = {
        "description": describe_in_words(systems, task),
        "complexity": largest_complexity(systems, task),
        "external_datasets": [],
        "source_code": None,
    }
    if task.energy:
        block["energy_consumption"] = dict.fromkeys(task.energy, PLACEHOLDER)
    if task.inference_code:
        block["inference_code"] = PLACEHOLDER
    return block


def results_by_block(systems: Mapping[str, System], task: Task) -> dict[str, Any]:
    """Return the block results.development_dataset. A run is one network for all devices: others have no scores."""
    results = {part: development_results(systems[part].predictions, task) for part in task.parts}
    if task.splits:
        return results
    only = results[task.parts[0]]
    if task.device_models:
        return {"general": only, "device_specific": without_scores(only)}
    return only


def without_scores(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return a block of results with null for every score.

    >>> without_scores({"overall": {"accuracy": 57.5, "logloss": 1.2}})
    {'overall': {'accuracy': None, 'logloss': None}}
    """
    return {key: without_scores(value) if isinstance(value, Mapping) else None for key, value in results.items()}


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `changes` in their places, block by block.

    Raises:
        ConfigError: a value in `changes` would take the place of a whole block.

    >>> merge({"system": {"source_code": None, "description": 1}}, {"system": {"source_code": "here"}})
    {'system': {'source_code': 'here', 'description': 1}}
    """
    merged = dict(base)
    for key, value in changes.items():
        old = base.get(key)
        if isinstance(old, dict) and not isinstance(value, dict):
            raise ConfigError(
                f"'{key}' of the meta file is a block of keys, not {value!r}",
                f"write keys below '{key}' in --meta, or leave it out",
            )
        merged[key] = merge(old, value) if isinstance(old, dict) else value
    return merged


def describe_in_words(systems: Mapping[str, System], task: Task) -> dict[str, Any]:
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
        "device_information": None,
        "num_models_at_inference": count,
        "model_weight_sharing": "fully shared",
    }
    return {key: description[key] for key in task.description}


def describe_training(experiment: Experiment) -> str:
    """Return the network and the method of an experiment in words."""
    model = experiment.model.name
    summary = MODELS[model].summary if model in MODELS else "own network"
    return f"{summary} ({model}), {method_title(experiment.method)}"


def largest_complexity(systems: Mapping[str, System], task: Task) -> dict[str, Any]:
    """Return the block system.complexity: the largest of each figure over the systems.

    `memory_use` of 2022 and 2023 is left to the author: the sources of these tasks do not define it.
    """
    size = max(system.complexity.bytes for system in systems.values())
    complexity: dict[str, Any] = {
        "total_parameters": max(system.complexity.parameters for system in systems.values()),
        "total_parameters_non_zero": max(system.complexity.non_zero for system in systems.values()),
        "memory_use": PLACEHOLDER,
        "macs": max(system.complexity.multiply_adds for system in systems.values()),
    }
    for key, unit in SIZE_UNITS.items():
        complexity[key] = size / unit if unit > 1 else size
    return {key: complexity[key] for key in task.complexity}
