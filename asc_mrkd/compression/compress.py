"""Making a trained network smaller, with its accuracy measured after every step."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from asc_mrkd.budget import Verdict, check_budget, find_rule
from asc_mrkd.budget.rules import Rule
from asc_mrkd.compression.steps import INT8, SEPARATOR, apply_steps, parse_steps
from asc_mrkd.config import save_experiment
from asc_mrkd.deploy.model_file import ModelFile, load_model, save_model
from asc_mrkd.engine.inference import predict
from asc_mrkd.engine.samples import Samples, open_data
from asc_mrkd.errors import RunError
from asc_mrkd.evaluation import Metrics, clip_scores, overall_metrics
from asc_mrkd.runs import RunFolder, SeedFolder, find_model, read_predictions, write_predictions

CALIBRATION_SAMPLES = 64
"""Training samples that the int8 quantiser sees, evenly over the training set."""

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
"""What `fit_budget` tries, from the gentlest to the hardest."""


@dataclass(frozen=True)
class Candidate:
    """A network after some steps, measured.

    Attributes:
        steps: as written, empty for the network as it is.
        metrics: of all test samples, with the network as it is stored.
        budget: counted under the rule that was asked for.
        file_bytes: size of its model file on the disk.
    """

    steps: str
    metrics: Metrics
    budget: Verdict
    file_bytes: int


class Compressor:
    """Writes compressed forms of one trained network and measures them on the test samples of its experiment.

    Args:
        run: a run folder (its lowest seed) or a seed folder of one.
        rule: a key of `RULES`, for the size.

    Raises:
        ConfigError: unknown rule.
        RunError: it is no run folder, nothing is trained in it, or what is there is compressed to int8 already.
        StoreError, DataError: the data of the experiment are not where it says.
    """

    def __init__(self, run: Path, rule: str = "dcase2020-task1b") -> None:
        trained = find_model(run)
        self.seed_folder = SeedFolder(trained.parent)
        if trained != self.seed_folder.model:
            raise RunError(f"{trained} is not the model file of a run", "give the run folder that it was made from")
        self.run_folder = self.seed_folder.run
        self.experiment = self.run_folder.experiment
        self.rule = find_rule(rule)
        self.file = load_model(self.seed_folder.path)
        self.train, self.test = open_data(self.experiment.data).load(torch.device("cpu"))

    def write(self, steps: str, out: Path, only_within: bool = False) -> Candidate:
        """Write the network after `steps` as a run folder of its own and measure it.

        The folder takes config.yaml and metrics.jsonl from the run; the seed folder in it holds the model file, the
        predictions of the compressed network and compression.json. A folder that is there already is replaced. With
        `only_within` a network over the limits is measured and not kept.

        Raises:
            ConfigError, ModelError: the steps are not known or the network does not allow them.
            RunError: `out` is something else than the result of an earlier call.
            MissingExtraError: int8 without onnx and onnxruntime.
        """
        parse_steps(steps)
        _require_replaceable(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
            new = Path(temporary) / out.name
            candidate = self._write(steps, new)
            if candidate.budget.within or not only_within:
                shutil.rmtree(out, ignore_errors=True)
                new.replace(out)
        return candidate

    def measure(self, steps: str) -> Candidate:
        """Measure the network after `steps`, without keeping it."""
        with tempfile.TemporaryDirectory() as folder:
            return self._write(steps, Path(folder) / "run")

    def _write(self, steps: str, out: Path) -> Candidate:
        new_run = RunFolder(out)
        new_seed = new_run.seed_folder(self.seed_folder.seed)
        new_seed.path.mkdir(parents=True)
        save_experiment(self.experiment.model_copy(update={"seeds": [new_seed.seed]}), new_run.config_file)
        for file in (self.run_folder.metrics_file, self.run_folder.environment_file):
            if file.exists():
                shutil.copyfile(file, out / file.name)
        compressed = apply_steps(self.file, steps)
        names = steps.split(SEPARATOR) if steps else []
        if INT8 in names:
            self._write_int8(compressed, new_seed.onnx)
        else:
            save_model(new_seed.model, compressed)
        stored = find_model(new_seed)
        probabilities = predict(load_model(stored).model, self.test)
        write_predictions(new_seed.predictions, self.test.table, self.file.classes, probabilities)
        metrics = overall_metrics(clip_scores(read_predictions(new_seed.predictions), self.experiment.domain))
        candidate = Candidate(steps, metrics, check_budget(stored, self.rule), stored.stat().st_size)
        record = {"steps": names, "file_bytes": candidate.file_bytes}
        new_seed.compression.write_text(json.dumps(record, indent=2) + "\n")
        return candidate

    def _write_int8(self, file: ModelFile, path: Path) -> None:
        from asc_mrkd.deploy.onnx_file import quantise_onnx, save_onnx  # only now: onnx is an extra

        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "model.onnx"
            save_onnx(source, replace(file, dtype="float32"))
            quantise_onnx(source, path, calibration_batches(self.train))


def calibration_batches(samples: Samples, count: int = CALIBRATION_SAMPLES) -> Iterator[np.ndarray]:
    """Yield normalised inputs (1, channel, height, width), float32, of samples evenly over the set."""
    for position in np.unique(np.linspace(0, len(samples) - 1, count).round().astype(int)):
        yield samples.normalise(samples.read(slice(position, position + 1))).cpu().numpy()


def ladder_for(rule: Rule) -> list[str]:
    """Return the steps of `LADDER` worth trying under a rule: pruning gains nothing where zeros count."""
    return [steps for steps in LADDER if not (rule.counts_zeros and "prune" in steps)]


def _require_replaceable(out: Path) -> None:
    run = RunFolder(out)
    if out.exists() and not any(run.seed_folder(seed).compression.exists() for seed in run.seeds()):
        raise RunError(f"{out} is there already and is no compressed network", "choose another --out")
