"""The challenge tasks as data: classes, clips, keys of the meta file, and limits."""

import re
from dataclasses import dataclass
from typing import Literal

from asc_mrkd.datasets.dcase import COARSE_LABELS, SIMULATED_DEVICES
from asc_mrkd.errors import require_known

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """A fault of a submission, and its place.

    >>> print(Problem("a.output.csv", 7, "duplicate-file", "3.wav was listed in line 2"))
    a.output.csv, line 7: [duplicate-file] 3.wav was listed in line 2
    """

    file: str
    line: int | None
    """Line in `file`, counted from 1; None for the file as a whole."""
    code: str
    message: str
    severity: Severity = "error"
    """An error keeps the submission from being sent; a warning is for the author to decide."""

    def __str__(self) -> str:
        line = "" if self.line is None else f", line {self.line}"
        return f"{self.file}{line}: [{self.code}] {self.message}"


META = ".meta.yaml"
DEVELOPMENT = "results.development_dataset"

TEN_SCENES = tuple(sorted(COARSE_LABELS))
DEVICES = ("a", "b", "c", *SIMULATED_DEVICES)
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
"""Keys of system.description in the tasks of 2018 to 2023."""

PIPELINE = ("complexity_management", "pipeline", "framework")
"""Further keys of system.description since 2022."""

SHORT_DESCRIPTION = (
    "input_sampling_rate",
    "acoustic_features",
    "data_augmentation",
    "machine_learning_method",
    "external_data_usage",
    *PIPELINE,
)
"""Keys of system.description since 2024."""

SIZE_UNITS = {"model_size": 1024, "total_model_size": 1}
"""Bytes in the unit of a key for the size: KB of 1024 bytes in 2020 and 2021, bytes since 2023."""


@dataclass(frozen=True)
class Task:
    """A challenge task, after its rules and the validator of its organisers.

    A package holds, in the folder of each label, `<label>.meta.yaml` and one output file per system.
    """

    name: str
    title: str
    tag: str
    """Third part of every submission label."""
    classes: tuple[str, ...]
    clips: int
    """Clips of the official evaluation set, named 0.wav to clips-1.wav without zero padding."""
    description: tuple[str, ...]
    """Keys of the block system.description in the meta file."""
    complexity: tuple[str, ...]
    """Keys of the block system.complexity."""
    energy: tuple[str, ...] = ()
    """Keys of the block system.energy_consumption, in kWh; empty for a meta file without this block."""
    inference_code: bool = False
    """Whether the meta file links a Python package with which the organisers run the system."""
    rule: str | None = None
    """Rule of `asc_mrkd.budget.RULES` that a system must keep; None for no limit."""
    probabilities: bool = True
    """Whether the output has a header and one probability column per class after the scene label."""
    devices: tuple[str, ...] = ()
    """Recording devices that results are reported for, besides the classes."""
    splits: tuple[int, ...] = ()
    """Shares of the training data in percent, each with a separate system; empty for one system."""
    device_models: bool = False
    """Whether results are given for one network for all devices and for a network per device, each where it exists."""
    layout: str = "<package>/task1/<label>"
    """Folder of a submission in the zip."""
    any_name: bool = False
    """Whether leading zeros of a clip number and any folder before a clip name are accepted."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the output file."""
        return ("filename", "scene_label", *(self.classes if self.probabilities else ()))

    @property
    def official_files(self) -> list[str]:
        """Names of the official evaluation clips, without folder."""
        return [f"{index}.wav" for index in range(self.clips)]

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the systems of one submission: "split_5" and so on, or one empty name."""
        return tuple(f"split_{percent}" for percent in self.splits) or ("",)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Endings of the output file names after the label, in the order of `parts`.

        >>> TASKS["dcase2024-task1"].outputs[0], TASKS["dcase2020-task1b"].outputs
        ('.output.split_5.csv', ('.output.csv',))
        """
        return tuple(f".output.{part}.csv" if part else ".output.csv" for part in self.parts)

    @property
    def result_blocks(self) -> tuple[str, ...]:
        """Names of the blocks in results.development_dataset; one empty name if its keys are there directly."""
        return ("general", "device_specific") if self.device_models else self.parts

    @property
    def results(self) -> tuple[str, ...]:
        """Dotted keys of the blocks of results in the meta file, in the order of `result_blocks`."""
        return tuple(f"{DEVELOPMENT}.{block}".rstrip(".") for block in self.result_blocks)

    def is_label(self, label: str) -> bool:
        """Return whether `label` reads <Lastname>_<Institute>_<tag>_<1-4>.

        >>> TASKS["dcase2020-task1b"].is_label("Koutini_CPJKU_task1b_2")
        True
        """
        return re.fullmatch(rf"[^_./\\\s]+_[^_./\\\s]+_{self.tag}_[1-4]", label) is not None

    def clip_name(self, filename: str) -> str:
        """Return the name in `official_files` of a clip that an output file lists.

        >>> TASKS["dcase2024-task1"].clip_name("data/007.wav"), TASKS["dcase2020-task1b"].clip_name("audio/007.wav")
        ('7.wav', '007.wav')
        """
        name = filename.rpartition("/")[2]
        return re.sub(r"^0+(?=[0-9]+\.wav$)", "", name) if self.any_name else name


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="dcase2018-task1a",
            title="DCASE 2018 task 1A",
            tag="task1a",
            classes=TEN_SCENES,
            clips=3600,
            description=DESCRIPTION,
            complexity=("total_parameters",),
            probabilities=False,
        ),
        Task(
            name="dcase2020-task1a",
            title="DCASE 2020 task 1A",
            tag="task1a",
            classes=TEN_SCENES,
            clips=11_880,
            description=DESCRIPTION,
            complexity=("total_parameters",),
            devices=DEVICES,
        ),
        Task(
            name="dcase2020-task1b",
            title="DCASE 2020 task 1B",
            tag="task1b",
            classes=tuple(sorted(set(COARSE_LABELS.values()))),
            clips=8640,
            description=(*DESCRIPTION, "complexity_management"),
            complexity=("total_parameters", "total_parameters_non_zero", "model_size"),
            rule="dcase2020-task1b",
        ),
        Task(
            name="dcase2021-task1a",
            title="DCASE 2021 task 1A",
            tag="task1a",
            classes=TEN_SCENES,
            clips=7920,
            description=(*DESCRIPTION, "complexity_management"),
            complexity=("total_parameters", "total_parameters_non_zero", "model_size"),
            rule="dcase2021-task1a",
            devices=DEVICES,
        ),
        # toni-heittola/dcase2022_task1_submission_validator, main.py.
        Task(
            name="dcase2022-task1",
            title="DCASE 2022 task 1",
            tag="task1",
            classes=TEN_SCENES,
            clips=118_800,
            description=(*DESCRIPTION, *PIPELINE),
            complexity=("total_parameters", "total_parameters_non_zero", "memory_use", "macs"),
            rule="dcase2022-task1",
            devices=DEVICES,
            layout="task1/<label>",
        ),
        # toni-heittola/dcase2023_task1_submission_validator, main.py. Energy in kWh: task1_inference.py of the baseline
        # of 2023, in marmoi/dcase2022_task1_baseline.
        Task(
            name="dcase2023-task1",
            title="DCASE 2023 task 1",
            tag="task1",
            classes=TEN_SCENES,
            clips=118_800,
            description=(*DESCRIPTION, *PIPELINE),
            complexity=("total_model_size", "total_parameters", "total_parameters_non_zero", "memory_use", "macs"),
            energy=("training", "inference", "baseline_inference"),
            rule="dcase2023-task1",
            devices=DEVICES,
            layout="task1/<label>",
        ),
        Task(
            name="dcase2024-task1",
            title="DCASE 2024 task 1",
            tag="task1",
            classes=TEN_SCENES,
            clips=135_730,
            description=(*SHORT_DESCRIPTION, "split_adaptations", "system_adaptations"),
            complexity=("total_model_size", "total_parameters", "macs"),
            rule="dcase2024-task1",
            devices=DEVICES,
            splits=(5, 10, 25, 50, 100),
            layout="task1/<label>",
            any_name=True,
        ),
        # Output and label: README.md and evaluate_submission.py of CPJKU/dcase2025_task1_inference. Clips: the list of
        # the evaluation set, evaluation_setup/fold1_test.csv, which ends with audio/178929.wav. Keys: the template of
        # the meta file. The folders in the zip are those of 2022 to 2024: no validator of 2025 is known.
        Task(
            name="dcase2025-task1",
            title="DCASE 2025 task 1",
            tag="task1",
            classes=TEN_SCENES,
            clips=178_930,
            description=(
                *SHORT_DESCRIPTION,
                "device_information",
                "num_models_at_inference",
                "model_weight_sharing",
            ),
            complexity=("total_model_size", "total_parameters", "macs"),
            inference_code=True,
            rule="dcase2025-task1",
            devices=DEVICES,
            device_models=True,
            layout="task1/<label>",
        ),
    )
}


def find_task(name: str) -> Task:
    """Return the task with that name.

    Raises:
        ConfigError: unknown task, with a suggestion.
    """
    require_known(name, TASKS, "task")
    return TASKS[name]
