"""What each challenge task wants in a submission, as data."""

import re
from dataclasses import dataclass

from asc_mrkd.data.dcase import SCENES
from asc_mrkd.errors import ConfigError, suggest

DESCRIPTION = (
    "input_sampling_rate",
    "acoustic_features",
    "embeddings",
    "data_augmentation",
    "machine_learning_method",
    "ensemble_method_subsystem_count",
    "decision_making",
    "external_data_usage",
)


@dataclass(frozen=True)
class Task:
    """One task. A package holds `<package>/<folder>/<label>/<label>.output.csv` and `<label>.meta.yaml`."""

    name: str
    title: str
    tag: str
    """Third part of every submission label."""
    folder: str
    classes: tuple[str, ...]
    probabilities: bool
    """Whether the output has a header and one probability column per class after the scene label."""
    clips: int
    """Clips of the official evaluation set, named 0.wav to clips-1.wav without zero padding."""
    description: tuple[str, ...]
    """Keys of the block system.description in the meta file."""
    complexity: tuple[str, ...]
    """Keys of the block system.complexity."""
    rule: str | None
    """Size rule of `asc_mrkd.complexity.RULES` that the system must keep."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the output file."""
        return ("filename", "scene_label", *(self.classes if self.probabilities else ()))

    @property
    def official_files(self) -> list[str]:
        """Names of the official evaluation clips, without folder."""
        return [f"{index}.wav" for index in range(self.clips)]

    def is_label(self, label: str) -> bool:
        """Tell whether `label` reads <Lastname>_<Institute>_<tag>_<1-4>.

        >>> TASKS["dcase2020-task1b"].is_label("Koutini_CPJKU_task1b_2")
        True
        """
        return re.fullmatch(rf"[^_./\\\s]+_[^_./\\\s]+_{self.tag}_[1-4]", label) is not None


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="dcase2018-task1a",
            title="DCASE 2018 task 1A",
            tag="task1a",
            folder="task1",
            classes=tuple(sorted(SCENES)),
            probabilities=False,
            clips=3600,
            description=DESCRIPTION,
            complexity=("total_parameters",),
            rule=None,
        ),
        Task(
            name="dcase2020-task1b",
            title="DCASE 2020 task 1B",
            tag="task1b",
            folder="task1",
            classes=tuple(sorted(set(SCENES.values()))),
            probabilities=True,
            clips=8640,
            description=(*DESCRIPTION, "complexity_management"),
            complexity=("total_parameters", "total_parameters_non_zero", "model_size"),
            rule="dcase2020-task1b",
        ),
    )
}


def find_task(name: str) -> Task:
    """Look a task up by name.

    Raises:
        ConfigError: no such task, with a suggestion.
    """
    if name in TASKS:
        return TASKS[name]
    raise ConfigError(f"there is no task '{name}'", suggest(name, TASKS))
