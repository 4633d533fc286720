"""Training of an experiment into a run folder; the same call again continues to the same bits."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from asc_mrkd.config import Experiment
from asc_mrkd.deploy.model_file import ModelFile, save_model
from asc_mrkd.device import choose_device
from asc_mrkd.dist import rank
from asc_mrkd.engine.checkpoint import load_checkpoint, save_checkpoint
from asc_mrkd.engine.device import gpu_name, own_stream, politely_interruptible, use_threads
from asc_mrkd.engine.inference import predict
from asc_mrkd.engine.parallel import agreed, joined_processes, require_rows, wait_for_all
from asc_mrkd.engine.samples import ExperimentData, Samples, open_data
from asc_mrkd.engine.together import all_at_once, require_fit
from asc_mrkd.engine.trainer import Trainer
from asc_mrkd.errors import InterruptedRun, ModelError, first_line
from asc_mrkd.methods import check_experiment
from asc_mrkd.models import build_model
from asc_mrkd.models.pruning import without_masks
from asc_mrkd.runs import MetricsLog, RunFolder, accuracy_and_log_loss, environment, write_predictions


@dataclass(frozen=True)
class Listener:
    """What a caller wants to hear, and to say; every field may be left out."""

    on_start: Callable[[list[int], int, int], None] = lambda seeds, done, total: None
    """Some seeds start: the seeds, steps done before, steps in all."""
    on_step: Callable[[], None] = lambda: None
    should_stop: Callable[[], bool] | None = None
    """Asked after every step; None listens to SIGINT and SIGTERM."""


def train(
    experiment: Experiment, folder: Path, seeds: list[int], listener: Listener | None = None, together: bool = False
) -> None:
    """Train every seed of an experiment; finished seeds are left as they are, an unfinished one goes on.

    Under `torchrun` the processes train together; the first one writes.

    Args:
        experiment: what to train.
        folder: the run folder.
        seeds: which of it.
        listener: what to call on the way.
        together: all seeds at once, a thread each, over one copy of the data: for networks too small to keep the
            device busy. Every seed gets the numbers that it gets alone.

    Raises:
        StoreError, DataError, ModelError, ConfigError: the data, the network or the device cannot be used; nothing
            was written.
        RunError: the folder belongs to another experiment.
        InterruptedRun: it was asked to stop; the state is saved.
        NonFiniteError: the loss is NaN or infinite.
    """
    experiment = check_experiment(experiment)
    with joined_processes():
        source, network = require_trainable(experiment, folder)
        device = choose_device(experiment.train.device)
        if together:
            require_fit(network, experiment.train.threads, device, len(seeds))
        run = RunFolder(folder)
        pending = run.pending_seeds(seeds)
        wait_for_all()
        if not pending:
            return
        if rank() == 0:
            run.create(experiment, environment(torch.get_num_threads(), gpu_name()))
        wait_for_all()
        groups = [pending] if together else [[seed] for seed in pending]
        _train_groups(experiment, folder, groups, source, device, listener or Listener())


def require_trainable(experiment: Experiment, folder: Path) -> tuple[ExperimentData, nn.Module]:
    """Return the data, not yet read, and the network, without storage, of an experiment that can be trained there.

    Raises:
        StoreError, DataError, ModelError: the data or the network cannot be used.
        RunError: the folder belongs to another experiment.
    """
    RunFolder(folder).require_same(experiment)
    source = open_data(experiment.data)
    return source, _require_network(experiment, source)


def _train_groups(
    experiment: Experiment,
    folder: Path,
    groups: list[list[int]],
    source: ExperimentData,
    device: torch.device,
    listener: Listener,
) -> None:
    """Train the seeds of a group at once, one group after the other."""
    data = source.load(device)
    require_rows(len(data[0]), experiment.train.batch_size)
    with nullcontext(listener.should_stop) if listener.should_stop else politely_interruptible() as should_stop:
        for group in groups:
            runs = [_SeedRun(experiment, folder, seed, source, data) for seed in group]
            listener.on_start(group, sum(run.done for run in runs), sum(run.total for run in runs))
            all_at_once([run.train for run in runs], listener.on_step, agreed(should_stop, device))


def _require_network(experiment: Experiment, source: ExperimentData) -> nn.Module:
    """Return the network without storage; one that cannot be built or does not take the data is refused."""
    with torch.device("meta"):
        network = build_model(experiment.model.name, len(source.classes), **experiment.model.options)
        shape = " x ".join(map(str, source.input_shape))
        try:
            network(torch.empty(2, *source.input_shape))
        except RuntimeError as error:
            raise ModelError(
                f"{experiment.model.name} does not take inputs of {shape}: {first_line(error)}",
                f"model.options.in_channels={source.input_shape[0]}",
            ) from None
    return network


class _SeedRun:
    """One seed on its way: its trainer, its log and its folder."""

    def __init__(
        self, experiment: Experiment, folder: Path, seed: int, source: ExperimentData, data: tuple[Samples, Samples]
    ) -> None:
        self.config = experiment.train
        self.source = source
        self.files = RunFolder(folder).seed_folder(seed)
        samples, self.test = data
        self.trainer = Trainer(experiment, seed, samples, len(source.classes))
        if self.files.checkpoint.exists():
            self.trainer.load_state_dict(load_checkpoint(self.files.checkpoint))
        self.log = MetricsLog(folder, seed, self.trainer.epoch) if rank() == 0 else None

    @property
    def done(self) -> int:
        """Steps done so far."""
        return self.trainer.epoch * self.trainer.steps_per_epoch + self.trainer.batch

    @property
    def total(self) -> int:
        """Steps in all."""
        return self.trainer.epochs * self.trainer.steps_per_epoch

    def train(self, on_step: Callable[[], None], should_stop: Callable[[], bool]) -> None:
        """Train to the last epoch and write the predictions and the model file."""
        with own_stream(self.trainer.device), use_threads(self.config.threads):
            probabilities = self._train(on_step, should_stop)
            if rank() == 0:
                write_predictions(self.files.predictions, self.test.table, self.source.classes, probabilities)
                save_model(self.files.model, self._model_file())
            wait_for_all()

    def _train(self, on_step: Callable[[], None], should_stop: Callable[[], bool]) -> np.ndarray:
        """Return the probabilities of the test samples (sample, class) after the last epoch."""
        config, trainer = self.config, self.trainer
        probabilities = None
        while trainer.epoch < trainer.epochs:
            metrics = trainer.train_epoch(on_step, should_stop)
            last = trainer.epoch == trainer.epochs
            if metrics is not None and self.log:
                if last or (config.evaluate_every and trainer.epoch % config.evaluate_every == 0):
                    probabilities = predict(trainer.student, self.test)
                    accuracy, log_loss = accuracy_and_log_loss(probabilities, self.test.labels.cpu().numpy())
                    metrics |= {"test_accuracy": accuracy, "test_log_loss": log_loss}
                self.log.write(metrics)
            stop = should_stop()
            if stop or last or trainer.epoch % config.checkpoint_every == 0:
                self._save()
            if stop and not last:
                raise InterruptedRun(
                    f"stopped in epoch {trainer.epoch + 1}; {self.files.checkpoint} holds the state",
                    "the same command continues",
                )
        return predict(trainer.student, self.test) if probabilities is None else probabilities

    def _save(self) -> None:
        if rank() == 0:
            save_checkpoint(self.files.checkpoint, self.trainer.state_dict())
        wait_for_all()

    def _model_file(self) -> ModelFile:
        source, trainer = self.source, self.trainer
        mean, std = (values.cpu().numpy() for values in (trainer.samples.mean, trainer.samples.std))
        student = without_masks(trainer.student)
        return ModelFile(student, trainer.architecture, source.classes, source.input_shape, mean, std, source.frontend)
