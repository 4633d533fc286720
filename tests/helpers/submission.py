"""Runs written without training, and submission packages in memory."""

import csv
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import yaml

from asc_mrkd.config import Experiment, save_experiment
from asc_mrkd.deploy.model_file import ModelFile, save_model
from asc_mrkd.features.spec import FrontendSpec, load_spec
from asc_mrkd.models import build_model
from asc_mrkd.schema import parse
from asc_mrkd.submission import TASKS, Problem, check_submission, make_submission

DEVICES = ["a", "b", "c", "s1", "s2", "s3", "s4", "s5", "s6"]
SMALL = {"width": 4, "rho": 3, "blocks": [2, 1, 0]}
TINY = FrontendSpec(
    name="tiny", sample_rate=8000, channels=2, clip_seconds=0.5, n_fft=256, hop_length=128, n_mels=24, fmax=4000.0
)
AUTHORS = """
submission:
  name: Our system
  authors:
    - {lastname: Kim, firstname: A, email: a@b.c, corresponding: true, affiliation: {institute: KETI}}
    - {lastname: Lee, firstname: B, email: b@b.c, affiliation: {institute: KETI}}
system:
  source_code: somewhere
  external_datasets: [{name: Sounds, url: here, total_audio_length: 60}]
"""
ADDITIONS = {
    "dcase2022-task1": "  complexity: {memory_use: 65280}\n",
    "dcase2023-task1": "  complexity: {memory_use: 65280}\n"
    "  energy_consumption: {training: 1.5, inference: 0.2, baseline_inference: 0.3}\n",
    "dcase2024-task1": "  description: {split_adaptations: none, system_adaptations: none}\n",
    "dcase2025-task1": "  inference_code: https://example.org/Kim_KETI_task1\n",
}
"""Author's part of the block system, besides AUTHORS, by task."""


def write_predictions(path: Path, classes: list[str], clips: int, seed: int, devices: list[str]) -> None:
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(len(classes)), size=clips)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["filename", "label", "identifier", "source_label", "prediction", *classes])
        for i, row in enumerate(probabilities):
            label, device = classes[i % len(classes)], devices[i % len(devices)]
            writer.writerow([f"audio/{i}.wav", label, f"lyon-{i}", device, classes[int(row.argmax())], *row])


def write_run(
    run: Path,
    task: str = "dcase2020-task1b",
    clips: int = 6,
    seeds: Mapping[str, int] = MappingProxyType({"seed0": 0}),
    zeros: int = 0,
    small: bool = False,
    devices: Sequence[str] = ("a",),
    train: Mapping[str, Any] | None = None,
) -> Path:
    """Write a run folder: a network of constants per seed, with some zeros, and random predictions.

    The network is a damped CP-ResNet, or a tiny one if `small`. `seeds` maps a seed folder to the random seed of its
    predictions.
    """
    classes = list(TASKS[task].classes)
    name, options = ("cp_resnet", SMALL) if small else ("cp_resnet_damped", {})
    settings = {
        "data": {"store": "store"},
        "model": {"name": name, "options": options},
        "method": {"name": "mrkd"},
        "augment": {"mixup": 0.3},
        "train": {"epochs": 2, "batch_size": 2, **(train or {})},
    }
    run.mkdir(parents=True)
    save_experiment(parse(Experiment, settings, "test"), run / "config.yaml")
    network = build_model(name, num_classes=len(classes), **options)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.01)
        next(network.parameters()).view(-1)[:zeros] = 0.0
    architecture = {"name": name, "num_classes": len(classes), "options": options}
    spec = TINY if small else load_spec("pmel256")
    mean, std = np.zeros((1, spec.n_mels, 1)), np.ones((1, spec.n_mels, 1))
    for seed, number in seeds.items():
        (run / seed).mkdir()
        write_predictions(run / seed / "predictions.csv", classes, clips, number, list(devices))
        save_model(
            run / seed / "model.safetensors", ModelFile(network, architecture, classes, spec.shape, mean, std, spec)
        )
    return run


@dataclass
class Package:
    """A submission in memory: the content of every member of its zip.

    Its methods change it. They find a file by the end of its name; lines are counted from 1.
    """

    task: str
    clip_list: Path
    files: dict[str, bytes] = field(default_factory=dict)

    def copy(self) -> "Package":
        return Package(self.task, self.clip_list, dict(self.files))

    def save(self, path: Path) -> Path:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in self.files.items():
                archive.writestr(name, content)
        return path

    def check(self, folder: Path) -> list[Problem]:
        return check_submission(self.save(folder / "package.zip"), self.task, self.clip_list)

    def name(self, suffix: str) -> str:
        [name] = [name for name in self.files if name.endswith(suffix)]
        return name

    def text(self, suffix: str) -> str:
        return self.files[self.name(suffix)].decode()

    def write(self, suffix: str, content: str | bytes) -> None:
        self.files[self.name(suffix)] = content if isinstance(content, bytes) else content.encode()

    def edit(self, function: Callable[[str], str | bytes], suffix: str = ".output.csv") -> None:
        self.write(suffix, function(self.text(suffix)))

    def replace(self, old: str, new: str, suffix: str = ".output.csv") -> None:
        assert old in self.text(suffix)
        self.edit(lambda text: text.replace(old, new, 1), suffix)

    def row(self, number: int, *cells: str, suffix: str = ".output.csv", separator: str = "\t") -> None:
        """Replace a line; without cells remove it."""
        lines = self.text(suffix).splitlines(keepends=True)
        lines[number - 1 : number] = [separator.join(cells) + "\n"] if cells else []
        self.write(suffix, "".join(lines))

    def cell(self, number: int, column: int, value: str, suffix: str = ".output.csv") -> None:
        cells = self.text(suffix).splitlines()[number - 1].split("\t")
        self.row(number, *cells[:column], value, *cells[column + 1 :], suffix=suffix)

    def meta(self, key: str, value: Any) -> None:
        """Set a dotted key of the meta file, or remove it where the value is `...`."""
        content = yaml.safe_load(self.text(".meta.yaml"))
        *blocks, last = key.split(".")
        block = content
        for name in blocks:
            block = block[int(name)] if name.isdigit() else block[name]
        block[last] = value
        if value is ...:
            del block[last]
        self.write(".meta.yaml", yaml.safe_dump(content, sort_keys=False))

    def rename(self, old: str, new: str) -> None:
        self.files = {name.replace(old, new): content for name, content in self.files.items()}

    def remove(self, suffix: str) -> None:
        del self.files[self.name(suffix)]

    def add(self, name: str, content: bytes = b"") -> None:
        self.files[f"{self.name('.meta.yaml').rpartition('/')[0]}/{name}"] = content


def make_package(folder: Path, name: str) -> Package:
    """Make a package of a task with `make_submission` from small runs; the check accepts it."""
    task = TASKS[name]
    count = max(9, len(task.classes))
    parts = [f"part{percent}" for percent in task.splits] or ["part"]
    runs = [
        write_run(folder / part, name, count, {"seed0": number}, small=True, devices=DEVICES)
        for number, part in enumerate(parts)
    ]
    (folder / "authors.yaml").write_text(AUTHORS + ADDITIONS.get(name, ""))
    (folder / "clips.csv").write_text("filename\n" + "".join(f"audio/{i}.wav\n" for i in range(count)))
    run = dict(zip(task.splits, runs, strict=True)) if task.splits else runs[0]
    label = f"Kim_KETI_{task.tag}_1"
    archive = make_submission(run, name, label, folder / "out", meta=folder / "authors.yaml")
    with zipfile.ZipFile(archive) as members:
        files = {member: members.read(member) for member in members.namelist()}
    return Package(name, folder / "clips.csv", files)
