"""The meta file of a system, filled in from its run."""

from typing import Any

from asc_mrkd.config import AugmentConfig
from asc_mrkd.submission.check_meta import PLACEHOLDER
from asc_mrkd.submission.system import System, development_results
from asc_mrkd.submission.tasks import Task

MODELS = {"cp_resnet": "CP-ResNet", "cp_resnet_damped": "CP-ResNet with frequency damping"}
METHODS = {
    "ce": "cross entropy",
    "mrkd": "Memory-replay Knowledge Distillation",
    "pskd": "progressive self-knowledge distillation",
    "msd": "multi-branch self-distillation",
}
ABBREVIATIONS = {"ce": "CE", "mrkd": "MrKD", "pskd": "Self-KD", "msd": "MSD"}


def build_meta(system: System, task: Task, label: str) -> dict[str, Any]:
    """Return the content of the meta file; what only the author knows is `PLACEHOLDER`."""
    lastname, institute = label.split("_")[:2]
    method = system.experiment.method.name
    return {
        "submission": {
            "label": label,
            "name": _title(system),
            "abbreviation": ABBREVIATIONS.get(method, method)[:10],
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
            "description": _description(system, task),
            "complexity": _complexity(system, task),
            "external_datasets": [],
            "source_code": None,
        },
        "results": {"development_dataset": development_results(system.predictions)},
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


def _description(system: System, task: Task) -> dict[str, Any]:
    count = len(system.networks)
    description = {
        "input_sampling_rate": f"{system.frontend.sample_rate / 1000:g}kHz",
        "acoustic_features": f"perceptually weighted log-mel energies ({system.frontend.n_mels} bands)",
        "embeddings": None,
        "data_augmentation": _augmentation(system.experiment.augment),
        "machine_learning_method": _title(system),
        "ensemble_method_subsystem_count": count if count > 1 else None,
        "decision_making": "average of the probabilities" if count > 1 else None,
        "external_data_usage": None,
        "complexity_management": _complexity_management(system),
    }
    return {key: description[key] for key in task.description}


def _title(system: System) -> str:
    model, method = system.experiment.model.name, system.experiment.method.name
    return f"{MODELS.get(model, model)}, {METHODS.get(method, method)}"


def _augmentation(augment: AugmentConfig) -> str | None:
    used = {"mixup": augment.mixup, "rolling in time": augment.roll_frames, "random crops": augment.crop_frames}
    return ", ".join(name for name, value in used.items() if value) or None


def _complexity_management(system: System) -> str | None:
    measures = [f"weights stored as {system.precision}"] if system.precision else []
    if system.non_zero < system.parameters:
        measures.append("pruning")
    return ", ".join(measures) or None


def _complexity(system: System, task: Task) -> dict[str, Any]:
    complexity = {
        "total_parameters": system.parameters,
        "total_parameters_non_zero": system.non_zero,
        "model_size": system.bytes / 1024,  # KB
    }
    return {key: complexity[key] for key in task.complexity}
