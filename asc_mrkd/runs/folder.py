"""The paths of a run folder: the resolved experiment, the log, the environment, and one folder per seed."""

import difflib
import json
import os
import platform
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from asc_mrkd import __version__
from asc_mrkd.config import RUNTIME_KEYS, Experiment, decisive_settings, load_experiment, save_experiment
from asc_mrkd.errors import SHOWN, DamagedFileError, RunError, shell_command, shown
from asc_mrkd.files import checksum_file, write_text
from asc_mrkd.locks import LOCK, exclusive_lock
from asc_mrkd.schema import differing_key
from asc_mrkd.texts import read_json

SEED = "seed"
"""Start of the name of a seed folder; the seed follows in decimal digits."""

FOLD = "fold"
"""Start of the name of the run folder of a fold, inside that of its cross-validation; the number follows, from 1."""

TRAIN = "asc-mrkd train CONF.yaml --out RUNDIR"
"""Hint for a folder that is not a run."""

ANOTHER_WRITER = "wait for it, give other --seeds, or choose another --out"
"""Hint for a seed that another process trains."""


NOT_A_RUN = ("README.md", "metrics.jsonl", "environment.json", "predictions.csv", "checkpoint.pt", "clips.csv")
"""Files by which a folder without a config.yaml is known to be something else, such as a project or a feature store."""


class _Folder:
    """A folder that stands for its path."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __fspath__(self) -> str:
        """Return the path, so that `open`, `Path` and the functions of the library take it as it is."""
        return str(self.path)

    def __str__(self) -> str:
        """Return the path, as messages show it."""
        return str(self.path)

    def __repr__(self) -> str:
        """Return the kind of the folder and its path, as a notebook shows it."""
        return f"{type(self).__name__}({str(self)!r})"


class SeedFolder(_Folder):
    """The files of one trained seed.

    >>> seed = SeedFolder("exp/ce/seed3")
    >>> seed.seed, seed.predictions.name
    (3, 'predictions.csv')
    """

    @property
    def run(self) -> "RunFolder":
        """The run folder around this seed."""
        return RunFolder(self.path.absolute().parent)

    @property
    def seed(self) -> int:
        """The seed, from the name of the folder."""
        return int(self.path.absolute().name.removeprefix(SEED))

    @property
    def checkpoint(self) -> Path:
        """State of an unfinished training."""
        return self.path / "checkpoint.pt"

    @property
    def previous_checkpoint(self) -> Path:
        """State before the last one, for the case that the last file is damaged."""
        return self.path / "checkpoint.previous.pt"

    @property
    def predictions(self) -> Path:
        """Class probabilities of all test clips or images; its checksum lies next to it."""
        return self.path / "predictions.csv"

    @property
    def model(self) -> Path:
        """The trained network; its checksum lies next to it."""
        return self.path / "model.safetensors"

    @property
    def onnx(self) -> Path:
        """The trained network as ONNX, of a run that was compressed to int8."""
        return self.path / "model.onnx"

    @property
    def settings(self) -> Path:
        """The seed, and the settings that decided its numbers, by dotted key."""
        return self.path / "settings.json"

    @property
    def compression(self) -> Path:
        """Record of the compression steps, of a run that was compressed."""
        return self.path / "compression.json"

    @property
    def is_scored(self) -> bool:
        """Whether the predictions are written, as they are after the last epoch."""
        return self.predictions.is_file()

    @property
    def is_trained(self) -> bool:
        """Whether predictions and network are written: training has nothing left to do."""
        return self.is_scored and self.model.is_file()

    def write_settings(self, experiment: Experiment) -> None:
        """Write the seed and the settings that decide its numbers."""
        settings = {"seed": self.seed, **decisive_settings(experiment)}
        write_text(self.settings, json.dumps(settings, indent=2) + "\n")

    def require_own(self) -> None:
        """Refuse a seed whose folder was renamed, or copied from another run: its settings are not those of the run.

        A seed outside a run folder is taken as it is, and so is one of an earlier version, which has no settings.

        Raises:
            RunError: the first setting that differs, or the seed.
            DamagedFileError: the settings cannot be read.
            ConfigError: config.yaml of the run does not fit the schema.
        """
        if not self.settings.is_file() or not self.run.config_file.is_file():
            return
        hint = f"delete {self} and train its seed with the same `asc-mrkd train` command"
        kept = read_json(self.settings, DamagedFileError, hint)
        if not isinstance(kept, dict):
            raise DamagedFileError(f"{self.settings} holds no settings", hint)
        name = self.path.absolute().name
        own_name = f"{SEED}{kept.get('seed')}"
        if "seed" in kept and own_name != name and name.removeprefix(SEED).isdecimal():
            raise RunError(f"{self} is of another seed: it was called {shown(own_name)}", "give it back its name")
        settings = decisive_settings(self.run.experiment)
        if settings["data.digest"] is None:  # the run takes any data
            del settings["data.digest"]
        for key, value in settings.items():
            if key in kept and kept[key] != value:
                difference = f"{key} is {shown(kept[key])} in it and {shown(value)} in {self.run.config_file}"
                raise RunError(f"{self} is of another run: {difference}", hint)

    def compression_steps(self) -> list[str]:
        """Return the steps by which the network was compressed, in their order; [] if it was not.

        Raises:
            DamagedFileError: their record cannot be read.
        """
        if not self.compression.is_file():
            return []
        hint = "asc-mrkd compress writes it"
        values = read_json(self.compression, DamagedFileError, hint)
        steps = values.get("steps") if isinstance(values, dict) else None
        if not isinstance(steps, list) or not all(isinstance(step, str) for step in steps):
            raise DamagedFileError(f"{self.compression} cannot be read: it names no steps", hint)
        return steps


class RunFolder(_Folder):
    """The files of one run: an experiment, trained with one or more seeds.

    A cross-validation is a run whose predictions are those of its folds, joined; each fold is a run inside it.

    >>> run = RunFolder("exp/ce")
    >>> run.config_file.name, run.seed_folder(3).predictions.parent.name
    ('config.yaml', 'seed3')
    """

    @property
    def config_file(self) -> Path:
        """The experiment with every default."""
        return self.path / "config.yaml"

    @property
    def metrics_file(self) -> Path:
        """Log with one line per seed and epoch."""
        return self.path / "metrics.jsonl"

    @property
    def environment_file(self) -> Path:
        """Versions and hardware of the last training."""
        return self.path / "environment.json"

    @property
    def card_file(self) -> Path:
        """The model card, for people."""
        return self.path / "README.md"

    @property
    def experiment(self) -> Experiment:
        """The experiment of this run, read from its file.

        Raises:
            RunError: the folder is not a run folder.
            ConfigError: config.yaml does not fit the schema.
        """
        if not self.config_file.is_file():
            raise RunError(f"{self.path} is not a run folder: {self.config_file.name} is missing", self.likely_meant())
        return load_experiment(self.config_file)

    def likely_meant(self) -> str:
        """Return the hint for a path that is not a run folder: the run around it, those in it, or a similar name."""
        for around in self.path.absolute().parents[:2]:
            if RunFolder(around).config_file.is_file():
                return f"the run folder is {around}"
        if self.path.is_dir():
            runs = sorted(file.parent.name for file in self.path.glob(f"*/{self.config_file.name}"))
            return f"it holds run folders: {', '.join(runs[:SHOWN])}" if runs else TRAIN
        similar = difflib.get_close_matches(self.path.name, [path.name for path in self.path.parent.glob("*/")], n=1)
        return f"did you mean {self.path.with_name(similar[0])}?" if similar else TRAIN

    def seed_folder(self, seed: int) -> SeedFolder:
        """Return the folder of one seed, whether it exists or not."""
        return SeedFolder(self.path / f"{SEED}{seed}")

    def fold_run(self, fold: int) -> "RunFolder":
        """Return the run folder of one fold of a cross-validation, whether it exists or not."""
        return RunFolder(self.path / f"{FOLD}{fold}")

    def seeds(self) -> list[int]:
        """List the seeds that have a folder, in ascending order."""
        names = [path.name.removeprefix(SEED) for path in self.path.glob(f"{SEED}*/")]
        return sorted(int(name) for name in names if name.isdecimal() and name == str(int(name)))

    def finished_seeds(self) -> list[int]:
        """List the seeds whose predictions are written, in ascending order."""
        return [seed for seed in self.seeds() if self.seed_folder(seed).is_scored]

    def require_finished_seeds(self) -> list[int]:
        """List the finished seeds, of which there is at least one.

        Raises:
            RunError: no seed is finished, the predictions of one are a copy of another's, one is of another run, or
                they were not compressed by the same steps.
        """
        seeds = self.finished_seeds()
        if not seeds:
            raise RunError(
                f"{self.path}: no seed is finished, there is no {SEED}*/predictions.csv",
                "continue with the same `asc-mrkd train` command",
            )
        self._refuse_copies(seeds)
        for seed in seeds:
            self.seed_folder(seed).require_own()
        self._refuse_different_steps(seeds)
        return seeds

    def _refuse_different_steps(self, seeds: Iterable[int]) -> None:
        """Refuse seeds that were compressed by different steps: together they would be figures of no network."""
        first, *others = map(self.seed_folder, seeds)
        steps = first.compression_steps()
        for other in others:
            found = other.compression_steps()
            if found != steps:
                texts = [", ".join(names) or "none" for names in (found, steps)]
                raise RunError(
                    f"{other} and {first} are different networks: they were compressed by the steps "
                    f"{texts[0]} and {texts[1]}",
                    f"move {other} into another run folder",
                )

    def _refuse_copies(self, seeds: Iterable[int]) -> None:
        """Refuse predictions with the checksum of another seed's: a copied folder would count twice."""
        owners: dict[bytes, Path] = {}
        for seed in seeds:
            path = self.seed_folder(seed).predictions
            with suppress(OSError):
                owner = owners.setdefault(checksum_file(path).read_bytes(), path)
                if owner != path:
                    raise RunError(
                        f"{path} is a copy of {owner}",
                        f"delete {path.parent} and train its seed with the same `asc-mrkd train` command",
                    )

    def pending_seeds(self, seeds: Iterable[int]) -> list[int]:
        """List those of some seeds that training has to start, to continue, or to repeat for a missing model file."""
        return [seed for seed in seeds if not self.seed_folder(seed).is_trained]

    def require_free(self, seeds: Iterable[int]) -> None:
        """Refuse seeds that another process trains right now.

        Raises:
            RunError: the message names the process.
        """
        for seed in seeds:
            folder = self.seed_folder(seed).path
            if (folder / LOCK).exists():
                with exclusive_lock(folder, RunError, ANOTHER_WRITER):
                    pass  # the lock was left by a process that was killed

    def require_same(self, experiment: Experiment) -> None:
        """Refuse to train another experiment in this folder.

        Raises:
            RunError: the folder holds another experiment, whose differing key is named, seeds of an unknown one, or
                files of something else than a run, or it was trained on other data.
        """
        if not self.config_file.exists():
            if self.finished_seeds():
                raise RunError(
                    f"{self.path} holds trained seeds, but {self.config_file.name}, the experiment, is missing",
                    "bring the file back, or choose another --out",
                )
            for name in NOT_A_RUN:
                if (self.path / name).exists():
                    raise RunError(
                        f"{self.path} holds {name} and is not a run folder: a run would be written over its files",
                        "choose another --out",
                    )
            return
        kept = load_experiment(self.config_file)
        before, now = kept.data.digest, experiment.data.digest
        if before and now and before != now:
            raise RunError(
                f"{self.path} was trained on other data than {experiment.data.folder} holds now: their SHA-256 was "
                f"{before[:12]} and is {now[:12]}",
                "choose another --out, or bring the former data back; they may lie elsewhere",
            )
        ignored = [*RUNTIME_KEYS, "data.digest"]
        if experiment.train.precision == "auto":  # training takes the precision of the folder
            ignored.append("train.precision")
        difference = differing_key(kept, experiment, ignored, places=("in it", "here"))
        if difference:
            raise RunError(f"{self.path} holds another experiment: {difference}", "choose another --out")

    def create(self, experiment: Experiment, environment: dict[str, Any]) -> None:
        """Make the folder, or write the files of an existing one again: the experiment and its environment.

        The seeds are added to those that the folder has; other processes may train them at the same time.

        Raises:
            RunError: as from `require_same`.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(self.path, RunError, wait=True):
            self.require_same(experiment)
            seeds = set(experiment.seeds)
            if self.config_file.exists():
                seeds |= set(self.experiment.seeds)
            save_experiment(experiment.model_copy(update={"seeds": sorted(seeds)}), self.config_file)
            write_text(self.environment_file, json.dumps(environment, indent=2) + "\n")


def environment(threads: int | None = None, gpu: str | None = None) -> dict[str, Any]:
    """Describe everything besides the experiment that the numbers of a run may depend on.

    Args:
        threads: number of CPU threads of torch, from `torch.get_num_threads()`.
        gpu: name of the GPU; None without one.
    """
    try:
        torch_version = version("torch")
    except PackageNotFoundError:
        torch_version = None
    return {
        "asc_mrkd": __version__,
        "python": platform.python_version(),
        "torch": torch_version,
        "platform": platform.platform(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": threads,
        "gpu": gpu,
        "command": shell_command(_program(), *sys.argv[1:]),
    }


def _program() -> str:
    """Return the name of the running program, which is another one where a script or a notebook calls the library."""
    name = Path(sys.argv[0] or "python").name
    return "asc-mrkd" if name == "__main__.py" else name


def processor_name() -> str:
    """Return the name of the processor, or its kind where the system does not say the name."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def find_scored_seeds(path: str | os.PathLike[str]) -> list[SeedFolder]:
    """Find the seed folders with predictions that a path stands for: a seed folder itself, or all of a run folder.

    Raises:
        RunError: no seed is finished there, or one is of another run.
    """
    folder = SeedFolder(Path(path).resolve())
    if folder.is_scored:
        folder.require_own()
        return [folder]
    run = RunFolder(folder.path)
    return [run.seed_folder(seed) for seed in run.require_finished_seeds()]


def find_model(path: str | os.PathLike[str]) -> Path:
    """Find the model file that a path stands for: the file itself, that of a seed folder, or of a run's lowest seed.

    Raises:
        RunError: there is no trained model.
    """
    path = Path(path)
    if path.is_file():
        return path
    run = RunFolder(path)
    for folder in (SeedFolder(path), *(run.seed_folder(seed) for seed in run.seeds())):
        for file in (folder.model, folder.onnx):
            if file.is_file():
                return file
    if run.fold_run(1).config_file.exists():
        raise RunError(
            f"{path} is a cross-validation, which has a model per fold",
            f"name that of a fold, as {run.fold_run(1)}, or train one model on the splits, without --folds",
        )
    hint = f"train one: {TRAIN}" if path.exists() else run.likely_meant()
    raise RunError(f"there is no trained model in {path}", hint)
