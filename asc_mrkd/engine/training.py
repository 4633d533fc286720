"""Training of an experiment into a run folder; the same call again continues to the same bits."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch

from asc_mrkd.budget.gate import require_trained_within, require_untrained_within
from asc_mrkd.config import Experiment
from asc_mrkd.deploy.model_file import ModelFile, save_model
from asc_mrkd.device import choose_device
from asc_mrkd.dist import rank
from asc_mrkd.engine.checkpoint import load_checkpoint, save_checkpoint
from asc_mrkd.engine.device import gpu_name, stop_on_signal, use_threads
from asc_mrkd.engine.inference import predict
from asc_mrkd.engine.parallel import any_rank_stops, barrier, process_group, require_rows
from asc_mrkd.engine.samples import ExperimentData, TrainAndTest, open_data
from asc_mrkd.engine.trainer import Trainer
from asc_mrkd.errors import InterruptedRun, ModelError, first_line
from asc_mrkd.methods import METHODS, check_experiment
from asc_mrkd.models import build_model
from asc_mrkd.models.pruning import without_masks
from asc_mrkd.progress import Progress, no_progress
from asc_mrkd.runs import MetricsLog, RunFolder, accuracy_and_log_loss, environment, write_predictions


def train(
    experiment: Experiment,
    out: str | os.PathLike[str],
    seeds: Sequence[int] | None = None,
    *,
    budget: str | None = None,
    budget_precision: str | None = None,
    progress: Progress = no_progress,
    should_stop: Callable[[], bool] | None = None,
) -> RunFolder:
    """Train the seeds of an experiment, one after the other, into a run folder.

    Finished seeds are left as they are, an unfinished one continues. Under `torchrun` the processes train together;
    the first one writes.

    Args:
        experiment: experiment to train, from `load_experiment`.
        out: run folder.
        seeds: seeds to train; None takes those of the experiment.
        budget: rule that the networks have to keep, counted before the first step and after the last one.
        budget_precision: precision to count with; see `check_budget`.
        progress: reports the steps of every seed.
        should_stop: asked after every step; None listens to SIGINT and SIGTERM.

    Returns:
        The run folder.

    Raises:
        StoreError, DataError, ModelError, ConfigError: the data, the network, the method or the device cannot be used;
            nothing was written.
        RunError: the folder belongs to another experiment.
        BudgetError: a network is over a limit of the budget.
        InterruptedRun: the training was stopped; its state is saved.
        NonFiniteError: the loss is NaN or infinite.

    Example:
        >>> experiment = load_experiment("conf.yaml", ["method=mrkd"])  # doctest: +SKIP
        >>> train(experiment, "exp/mrkd", seeds=[0, 1]).finished_seeds()  # doctest: +SKIP
        [0, 1]
    """
    experiment = check_experiment(experiment)
    if seeds is None:
        seeds = experiment.seeds
    run = RunFolder(out)
    with process_group():
        source = open_trainable(experiment, run)
        if budget is not None:
            require_untrained_within(experiment, len(source.classes), source.input_shape, budget, budget_precision)
        device = choose_device(experiment.train.device)
        pending = run.pending_seeds(seeds)
        barrier()
        if pending:
            if rank() == 0:
                run.create(experiment, environment(torch.get_num_threads(), gpu_name()))
            barrier()
            _train_seeds(experiment, run, pending, source, device, progress, should_stop)
        if budget is not None and rank() == 0:
            require_trained_within(run, seeds, budget, budget_precision)
    return run


def open_trainable(experiment: Experiment, run: RunFolder) -> ExperimentData:
    """Open the data of an experiment that can be trained in that folder, without reading them.

    Raises:
        StoreError, DataError, ModelError: the data or the network cannot be used.
        ConfigError: the augmentation does not go with the data.
        RunError: the folder belongs to another experiment.
    """
    run.require_same(experiment)
    source = open_data(experiment.data)
    experiment.require_fitting_augmentation(source.input_shape)
    _require_fitting_network(experiment, source)
    return source


def _require_fitting_network(experiment: Experiment, source: ExperimentData) -> None:
    """Refuse a network that cannot be built, does not take the data or the method; it is run without storage."""
    with torch.device("meta"):
        network = build_model(experiment.model.name, len(source.classes), **experiment.model.options)
        for shape in dict.fromkeys((source.input_shape, experiment.training_shape(source.input_shape))):
            try:
                network(torch.empty(2, *shape))
            except (RuntimeError, ValueError) as error:
                size = " x ".join(map(str, shape))
                raise ModelError(
                    f"{experiment.model.name} does not take inputs of {size}: {first_line(error)}",
                    f"model.options.in_channels={shape[0]}, and no augment.crop_frames that is too short",
                ) from None
        METHODS[experiment.method.name].method_class.check_network(
            experiment.method.options, network, source.input_shape
        )


def _train_seeds(
    experiment: Experiment,
    run: RunFolder,
    seeds: Sequence[int],
    source: ExperimentData,
    device: torch.device,
    progress: Progress,
    should_stop: Callable[[], bool] | None,
) -> None:
    data = source.load(device)
    require_rows(len(data.train), experiment.train.batch_size)
    with _listening(should_stop) as stop_asked:
        for seed in seeds:
            training = _SeedTraining(experiment, run, seed, source, data)
            trainer = training.trainer
            with progress(f"{run.path.name} seed {seed}", trainer.total_steps, "steps", trainer.step) as advance:
                training.complete(advance, any_rank_stops(stop_asked, device))


def _listening(should_stop: Callable[[], bool] | None) -> AbstractContextManager[Callable[[], bool]]:
    if should_stop is None:
        return stop_on_signal()
    return nullcontext(should_stop)


class _SeedTraining:
    """The training of one seed: its trainer, its log and its files."""

    def __init__(
        self, experiment: Experiment, run: RunFolder, seed: int, source: ExperimentData, data: TrainAndTest
    ) -> None:
        self.config = experiment.train
        self.source = source
        self.test = data.test
        self.files = run.seed_folder(seed)
        self.trainer = Trainer(experiment, seed, data.train, len(source.classes))
        if self.files.checkpoint.exists():
            self.trainer.load_state_dict(load_checkpoint(self.files.checkpoint))
        self.log = MetricsLog(run.path, seed, self.trainer.epoch) if rank() == 0 else None

    def complete(self, advance: Callable[..., None], should_stop: Callable[[], bool]) -> None:
        """Train to the last epoch, then write the predictions and the model file."""
        with use_threads(self.config.threads):
            probabilities = self._train(advance, should_stop)
            if rank() == 0:
                write_predictions(self.files.predictions, self.test.table, self.source.classes, probabilities)
                save_model(self.files.model, self._model_file())
            barrier()

    def _train(self, advance: Callable[..., None], should_stop: Callable[[], bool]) -> np.ndarray:
        """Return the probabilities of the test samples (sample, class) after the last epoch."""
        trainer = self.trainer
        probabilities = None
        while trainer.epoch < trainer.epochs:
            metrics = trainer.train_epoch(advance, should_stop)
            last = trainer.epoch == trainer.epochs
            if metrics is not None and self.log is not None:
                if last or self._is_evaluated(trainer.epoch):
                    probabilities = predict(trainer.student, self.test)
                    accuracy, log_loss = accuracy_and_log_loss(probabilities, self.test.labels.cpu().numpy())
                    metrics |= {"test_accuracy": accuracy, "test_log_loss": log_loss}
                self.log.write(metrics)
            stop = should_stop()
            if stop or last or trainer.epoch % self.config.checkpoint_every == 0:
                self._save()
            if stop and not last:
                raise InterruptedRun(
                    f"stopped in epoch {trainer.epoch + 1}; {self.files.checkpoint} holds the state",
                    "the same command continues",
                )
        if probabilities is None:
            return predict(trainer.student, self.test)
        return probabilities

    def _is_evaluated(self, epoch: int) -> bool:
        every = self.config.evaluate_every
        return every > 0 and epoch % every == 0

    def _save(self) -> None:
        if rank() == 0:
            save_checkpoint(self.files.checkpoint, self.trainer.state_dict())
        barrier()

    def _model_file(self) -> ModelFile:
        samples = self.trainer.samples
        return ModelFile(
            without_masks(self.trainer.student),
            self.trainer.architecture,
            self.source.classes,
            self.source.input_shape,
            samples.mean.cpu().numpy(),
            samples.std.cpu().numpy(),
            self.source.frontend,
        )
