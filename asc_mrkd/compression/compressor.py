"""A trained network made smaller, with its accuracy after every step, and a budget fitted by trying steps in turn."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from asc_mrkd.budget import Rule, Verdict, check_budget, find_rule
from asc_mrkd.compression.decompose import can_decompose
from asc_mrkd.compression.quantise import save_int8
from asc_mrkd.compression.steps import INT8, DecomposeOptions, apply_steps, parse_steps
from asc_mrkd.compression.table import candidates_table
from asc_mrkd.config import Experiment, load_experiment, save_experiment
from asc_mrkd.deploy.model_file import ModelFile, load_model, save_model
from asc_mrkd.deploy.onnx_session import import_libraries
from asc_mrkd.engine.data.samples import open_data
from asc_mrkd.engine.inference import predict
from asc_mrkd.engine.run_card import write_run_card
from asc_mrkd.errors import ConfigError, DataError, RunError, list_of
from asc_mrkd.evaluation import Metrics, clip_scores, overall_metrics
from asc_mrkd.files import write_checksum
from asc_mrkd.folders import replace_folder, require_replaceable, staging_next_to
from asc_mrkd.progress import Progress, count_nothing, no_progress
from asc_mrkd.runs import RunFolder, SeedFolder, find_model, read_predictions, write_predictions

LADDER = (
    "",
    "float16",
    "prune:amount=0.1+float16",
    "prune:amount=0.2+float16",
    "int8",
    "prune:amount=0.2+int8",
    "prune:amount=0.4+int8",
    "decompose:factor=2+float16",
    "decompose:factor=2+int8",
    "decompose:factor=4+int8",
)
"""Steps that `fit_budget` tries, from the gentlest to the hardest."""


@dataclass(frozen=True)
class Candidate:
    """A network after some steps, measured."""

    steps: str
    """Steps as written; empty for the network as it was trained."""
    metrics: Metrics
    """Metrics of all test samples, with the network as it is stored."""
    budget: Verdict
    """Verdict under the rule."""
    file_bytes: int
    """Size of the model file on the disk."""
    samples: str
    """Noun of the test samples: `clips` or `images`."""


@dataclass(frozen=True)
class Compression:
    """A network before and after compression."""

    rule: Rule
    before: Candidate
    after: Candidate

    def _repr_html_(self) -> str:
        return candidates_table([self.before, self.after], self.rule)._repr_html_()


@dataclass(frozen=True)
class FittedBudget:
    """Networks that were tried in turn until one fitted."""

    rule: Rule
    candidates: list[Candidate]
    """All networks that were measured, from the gentlest steps to the hardest; the last one fits, if any does."""

    @property
    def within(self) -> bool:
        """True if the last network fits."""
        return self.candidates[-1].budget.within

    def _repr_html_(self) -> str:
        return candidates_table(self.candidates, self.rule)._repr_html_()


def compress(
    run: str | os.PathLike[str],
    steps: str,
    out: str | os.PathLike[str],
    rule: str | Rule = "dcase2020-task1b",
    progress: Progress = no_progress,
    overrides: Sequence[str] = (),
) -> Compression:
    """Make the network of a run smaller, and measure it before and after on the test samples of its experiment.

    Args:
        run: a run folder (its lowest seed) or a seed folder.
        steps: steps joined by +, such as `prune:amount=0.1+float16`; see `asc_mrkd.compression.steps.STEPS`.
        out: run folder to write; an earlier result there is replaced.
        rule: a key of `asc_mrkd.budget.RULES`, or your own rule, for the size.
        progress: told about the clips of both measurements.
        overrides: place of the data where they have moved, as in `data.store=/data/store`; they must be the same data.

    Raises:
        ConfigError, ModelError: unknown rule, step or override, or the network does not allow a step.
        RunError: nothing is trained in `run`, its network is int8 already, or `out` holds something else.
        StoreError, DataError: the data of the experiment are missing.
        MissingExtraError: int8 without onnx and onnxruntime.

    Example:
        result = compress("exp/ce", "prune:amount=0.2+float16", "exp/small")
        print(result.before.budget.bytes, result.after.budget.bytes, result.after.metrics.macro_accuracy)
    """
    require_writable([steps], Path(out))
    compressor = Compressor(run, rule, overrides)
    with progress("measuring", 2 * len(compressor.test), compressor.domain.samples) as advance:
        after = compressor.write(steps, Path(out), advance=advance)
        before = compressor.measure("", advance)
    return Compression(compressor.rule, before, after)


def fit_budget(
    run: str | os.PathLike[str],
    rule: str | Rule = "dcase2020-task1b",
    out: str | os.PathLike[str] | None = None,
    steps: Sequence[str] | None = None,
    progress: Progress = no_progress,
    overrides: Sequence[str] = (),
) -> FittedBudget:
    """Try steps on the network of a run, from the gentlest to the hardest, until the network fits a rule.

    Args:
        run: a run folder (its lowest seed) or a seed folder.
        rule: a key of `asc_mrkd.budget.RULES`, or your own rule.
        out: run folder to write the network that fits into; None only measures.
        steps: steps to try in this order; None takes those of `LADDER` that make sense under the rule and that the
            network allows.
        progress: told about the clips of every measurement.
        overrides: place of the data where they have moved, as in `data.store=/data/store`; they must be the same data.

    Raises:
        AscMrkdError: for the same reasons as `compress`.

    Example:
        fitted = fit_budget("exp/ce", "dcase2021-task1a", "exp/small")
        print(fitted.within, fitted.candidates[-1].steps)
    """
    out = None if out is None else Path(out)
    rule = find_rule(rule)
    chosen = list_of(steps or (), "steps")
    require_writable(chosen, out)  # a ladder of ours may end before it comes to int8
    compressor = Compressor(run, rule, overrides)
    ladder = chosen or ladder_for(rule, compressor.file)
    candidates = []
    with progress("measuring", len(ladder) * len(compressor.test), compressor.domain.samples) as advance:
        for text in ladder:
            if out is None:
                candidates.append(compressor.measure(text, advance))
            else:
                candidates.append(compressor.write(text, out, only_within=True, advance=advance))
            if candidates[-1].budget.within:
                break
    return FittedBudget(compressor.rule, candidates)


def ladder_for(rule: Rule, file: ModelFile) -> list[str]:
    """Return the steps of `LADDER` that make sense under a rule and that a network allows.

    Pruning gains nothing where zeros count, nor does float16 where a rule takes every network to be stored alike.
    """
    ladder = []
    for text in LADDER:
        steps = parse_steps(text)
        if rule.counts_zeros and any(step.name == "prune" for step in steps):
            continue
        if rule.stored_as is not None and text == "float16":
            continue
        factors = [step.options.factor for step in steps if isinstance(step.options, DecomposeOptions)]
        if all(can_decompose(file, factor) for factor in factors):
            ladder.append(text)
    return ladder


def require_writable(steps: Sequence[str], out: Path | None) -> None:
    """Check everything that can be checked before the data are read.

    Raises:
        ConfigError: unknown steps.
        RunError: `out` holds something else than an earlier result, or is the working directory.
        MissingExtraError: int8 without onnx and onnxruntime.
    """
    names = {step.name for text in steps for step in parse_steps(text)}
    if INT8 in names:
        import_libraries(INT8, "onnx", "onnxruntime", "onnxscript")
    if out is not None:
        _require_replaceable(out)


class Compressor:
    """Writer of compressed forms of one trained network, measured on the test samples of its experiment.

    Args:
        run: a run folder (its lowest seed) or a seed folder.
        rule: a key of `RULES`, or your own rule, for the size.
        overrides: place of the data where they have moved, as in `data.store=/data/store`.

    Raises:
        ConfigError: unknown rule, or an override that is not about the data.
        RunError: nothing is trained in `run`, or its network is int8 already.
        StoreError, DataError: the data of the experiment are missing.
    """

    def __init__(
        self, run: str | os.PathLike[str], rule: str | Rule = "dcase2020-task1b", overrides: Sequence[str] = ()
    ) -> None:
        trained = find_model(run)
        self.seed_folder = SeedFolder(trained.parent)
        if trained != self.seed_folder.model:
            raise RunError(
                f"{trained} is not the {self.seed_folder.model.name} of a run",
                "give the run folder that it was made from",
            )
        if not self.seed_folder.path.absolute().name.removeprefix("seed").isdecimal():
            raise RunError(f"{self.seed_folder} is not named as a seed of a run", "rename it to seed0")
        self.run_folder = self.seed_folder.run
        self.rule = find_rule(rule)
        self.experiment = experiment_with_data(self.run_folder, overrides)
        self.domain = self.experiment.domain
        self.file = load_model(trained)
        self.train, self.test = open_data(self.experiment.data).load(torch.device("cpu"))

    def write(
        self, steps: str, out: Path, only_within: bool = False, advance: Callable[[int], object] = count_nothing
    ) -> Candidate:
        """Write the network after `steps` as a run folder and measure it.

        The folder takes config.yaml, metrics.jsonl and environment.json from the run, and gets a model card. The seed
        folder in it holds the model file, the predictions of the compressed network, the settings of the training and
        compression.json, which names the steps of earlier compressions too. An earlier result is replaced, except what
        the user has written into its card. With `only_within` a network over the limits is measured and not kept.

        Raises:
            ConfigError, ModelError: the steps are unknown or the network does not allow them.
            RunError: `out` holds something else, is the working directory, or is being written by another process.
            MissingExtraError: int8 without onnx and onnxruntime.
        """
        compressed = apply_steps(self.file, parse_steps(steps))
        _require_replaceable(out)
        with staging_next_to(out) as staging:
            new = staging / "run"
            candidate = self._write_run(steps, compressed, new, advance)
            if candidate.budget.within or not only_within:
                card = RunFolder(out).card_file
                if card.exists():  # its last part is the user's, and stays
                    shutil.copyfile(card, RunFolder(new).card_file)
                replace_folder(new, out)
                write_run_card(RunFolder(out))
        return candidate

    def measure(self, steps: str, advance: Callable[[int], object] = count_nothing) -> Candidate:
        """Measure the network after `steps`, without keeping it."""
        compressed = apply_steps(self.file, parse_steps(steps))
        with tempfile.TemporaryDirectory() as folder:
            return self._write_run(steps, compressed, Path(folder) / "run", advance)

    def _write_run(self, text: str, compressed: ModelFile, out: Path, advance: Callable[[int], object]) -> Candidate:
        steps = parse_steps(text)
        seed = RunFolder(out).seed_folder(self.seed_folder.seed)
        seed.path.mkdir(parents=True)
        seed.write_settings(self.experiment)
        self._copy_description(RunFolder(out))
        if any(step.name == INT8 for step in steps):
            save_int8(seed.onnx, compressed, self.train)
        else:
            save_model(seed.model, compressed)
        stored = find_model(seed)
        write_checksum(stored)
        probabilities = predict(load_model(stored).model, self.test, advance)
        write_predictions(seed.predictions, self.test.table, self.file.classes, probabilities)
        metrics = overall_metrics(clip_scores(read_predictions(seed.predictions), self.domain))
        verdict = check_budget(stored, self.rule)
        candidate = Candidate(text, metrics, verdict, stored.stat().st_size, self.domain.samples)
        all_steps = [*self.seed_folder.compression_steps(), *(step.text for step in steps)]
        record = {"steps": all_steps, "file_bytes": candidate.file_bytes}
        seed.compression.write_text(json.dumps(record, indent=2) + "\n")
        return candidate

    def _copy_description(self, new_run: RunFolder) -> None:
        """Write the files of the run that are not about one seed."""
        experiment = self.experiment.model_copy(update={"seeds": [self.seed_folder.seed]})
        save_experiment(experiment, new_run.config_file)
        for file in (self.run_folder.metrics_file, self.run_folder.environment_file):
            if file.exists():
                shutil.copyfile(file, new_run.path / file.name)


def experiment_with_data(run: RunFolder, overrides: Sequence[str]) -> Experiment:
    """Return the experiment of a run, with its data where they lie now.

    Raises:
        ConfigError: an override that is not about the place of the data.
        StoreError, DataError: there are no data at that place.
    """
    experiment = run.experiment
    key = f"data.{experiment.data.domain.data_key}"
    overrides = list_of(overrides, "overrides")
    for override in overrides:
        if not override.startswith(f"{key}="):
            raise ConfigError(f"'{override}' is not the place of the data of {run}", f"write {key}=FOLDER")
    experiment = load_experiment(run.config_file, overrides)
    if not experiment.data.folder.is_dir():
        raise DataError(
            f"the data of {run} are not in {experiment.data.folder}, or not seen from here",
            f"add where they are now: {key}=FOLDER",
        )
    return experiment


def _require_replaceable(out: Path) -> None:
    """Raise RunError if there is something at `out` that must not be replaced."""
    run = RunFolder(out)
    is_compressed = any(run.seed_folder(seed).compression.exists() for seed in run.seeds())
    require_replaceable(out, is_compressed, "a compressed network")
