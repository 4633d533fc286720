"""Training of an experiment into a run folder; the same call again continues to the same bits."""

import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asc_mrkd.budget.gate import require_trained_within, require_untrained_within
from asc_mrkd.config import Experiment
from asc_mrkd.deploy.model_file import ModelFile, load_model, save_model
from asc_mrkd.device import choose_device, gpu_name, unseeded, use_threads
from asc_mrkd.dist import rank
from asc_mrkd.engine.checks import open_trainable, require_unchanged_files, with_digests, with_fixed_precision
from asc_mrkd.engine.data.samples import ExperimentData, TrainAndTest
from asc_mrkd.engine.folds import join_folds
from asc_mrkd.engine.inference import predict
from asc_mrkd.engine.loop.checkpoint import Checkpoints, owner_of
from asc_mrkd.engine.loop.parallel import any_rank_stops, in_first_process, is_any, process_group, require_rows
from asc_mrkd.engine.loop.signals import stop_on_signal
from asc_mrkd.engine.loop.trainer import Trainer
from asc_mrkd.engine.run_card import write_run_card
from asc_mrkd.engine.tracking import Tracker, require_trackers, trackers_opened
from asc_mrkd.errors import AscMrkdError, InterruptedRun, RunError
from asc_mrkd.files import write_checksum
from asc_mrkd.locks import exclusive_lock
from asc_mrkd.methods import check_experiment
from asc_mrkd.models.pruning import without_masks
from asc_mrkd.progress import Progress, no_progress, titled
from asc_mrkd.runs import (
    MetricsLog,
    RunFolder,
    SeedFolder,
    accuracy_and_log_loss,
    environment,
    is_log_whole,
    read_predictions,
    write_predictions,
)
from asc_mrkd.runs.folder import ANOTHER_WRITER

ONE_TRAINING = threading.RLock()
"""Held by the training of a process: torch's generator and its number of threads belong to the process, not to a thread
of it, as a Dask worker may have several."""

MOST_THREADS = 1024
"""Largest number of threads, as for `train.threads`; torch crashes with far more."""


def train(
    experiment: Experiment,
    out: str | os.PathLike[str],
    seeds: Sequence[int] | None = None,
    *,
    budget: str | None = None,
    budget_precision: str | None = None,
    track: Sequence[str] = (),
    progress: Progress = no_progress,
    should_stop: Callable[[], bool] | None = None,
) -> RunFolder:
    """Train the seeds of an experiment, one after the other, into a run folder.

    Finished seeds are left as they are, an unfinished one continues, a damaged file of a finished one is made again.
    Other processes may train other seeds in the same folder at the same time; the threads of one process take turns.
    The global generators of torch stay as they were. Under `torchrun` the processes train together, and the first one
    writes.

    With `data.folds` every fold is trained into a run folder inside the run folder, whose predictions are then those of
    all folds: each clip is scored by the networks that were not trained with it.

    Args:
        experiment: experiment to train, from `load_experiment`.
        out: run folder.
        seeds: seeds to train; None takes those of the experiment.
        budget: rule that the networks have to keep, counted before the first step and after the last one.
        budget_precision: precision to count with; see `check_budget`.
        track: trackers that get the metrics of the log as well, such as `tensorboard`; see `engine.tracking.TRACKERS`.
        progress: reports the steps of every seed.
        should_stop: asked after every step; None listens to SIGINT, SIGTERM and SIGHUP.

    Returns:
        The run folder.

    Raises:
        StoreError, DataError, ModelError, ConfigError: the data, the network, the method, the device or the seeds
            cannot be used; nothing was written.
        RunError: the folder belongs to another experiment or to other data, a checkpoint to another training, or
            another process trains the same seed.
        DamagedFileError: no checkpoint of a seed is whole.
        BudgetError: a network is over a limit of the budget.
        MissingExtraError: a tracker is not installed.
        InterruptedRun: the training was stopped; its state is saved.
        NonFiniteError: several steps in a row were not finite, or a prediction is not.
        DiskFullError: the disk is full; the last state stays.

    Example:
        >>> experiment = load_experiment("conf.yaml", ["method=mrkd"])  # doctest: +SKIP
        >>> train(experiment, "exp/mrkd", seeds=[0, 1]).finished_seeds()  # doctest: +SKIP
        [0, 1]
    """
    experiment = check_experiment(experiment)
    require_trackers(track)
    if seeds is not None:
        experiment = experiment.with_seeds(seeds)
    seeds = experiment.seeds
    run = RunFolder(out)
    if experiment.data.is_cross_validation:
        train_fold = partial(train, budget=budget, budget_precision=budget_precision, track=track)
        _cross_validate(experiment, run, train_fold, progress, should_stop)
        return run
    with ONE_TRAINING, process_group(experiment.train.device):
        in_first_process(lambda: run.require_free(seeds))
        source = open_trainable(experiment, run)
        experiment = with_digests(experiment, source)
        if budget is not None:
            require_untrained_within(experiment, len(source.classes), source.input_shape, budget, budget_precision)
        device = choose_device(experiment.train.device)
        pending = [seed for seed in seeds if is_any(not _is_finished(experiment, run, seed))]
        if pending:
            experiment = with_fixed_precision(experiment, run, device)
            data = source.load(device)
            require_rows(len(data.train), experiment.train.batch_size)
            in_first_process(lambda: _create(run, experiment))
            _train_seeds(experiment, run, pending, source, data, track, progress, should_stop)
        if pending or not run.card_file.exists():
            in_first_process(lambda: write_run_card(run))
        if budget is not None:
            in_first_process(lambda: require_trained_within(run, seeds, budget, budget_precision))
    return run


def _cross_validate(
    experiment: Experiment,
    run: RunFolder,
    train_fold: Callable[..., RunFolder],
    progress: Progress,
    should_stop: Callable[[], bool] | None,
) -> None:
    """Train every fold of an experiment, and join their predictions."""
    folds = experiment.data.folds or 0
    parts = [run.fold_run(fold) for fold in range(1, folds + 1)]
    with ONE_TRAINING, process_group(experiment.train.device), _listening(should_stop) as stop_asked:
        source = open_trainable(experiment, run)
        experiment = with_digests(experiment, source)
        experiment = with_fixed_precision(experiment, run, choose_device(experiment.train.device))
        has_pending = any(part.pending_seeds(experiment.seeds) for part in parts)
        is_pending = is_any(has_pending or not run.config_file.exists())  # the same for all processes
        if is_pending:
            in_first_process(lambda: _create(run, experiment))
        for fold, part in enumerate(parts, start=1):
            data = experiment.data.model_copy(update={"fold": fold})
            one = experiment.model_copy(update={"data": data})
            title = f"fold {fold} of {folds}"
            train_fold(one, part, progress=titled(progress, title), should_stop=stop_asked)
        in_first_process(lambda: join_folds(run, folds, experiment.seeds))
        if is_any(is_pending or not run.card_file.exists()):
            in_first_process(lambda: write_run_card(run))


def _create(run: RunFolder, experiment: Experiment) -> None:
    threads = experiment.train.threads or torch.get_num_threads()
    run.create(experiment, environment(threads, gpu_name()))


def _is_finished(experiment: Experiment, run: RunFolder, seed: int) -> bool:
    """Return whether a seed is trained and its files are whole; one that is not is named in a warning."""
    files = run.seed_folder(seed)
    if not files.is_trained:
        return False
    try:
        _require_whole_results(experiment, files)
    except AscMrkdError as error:
        if rank() == 0:
            warnings.warn(f"{error}; it is made again", stacklevel=2)
        return False
    return is_log_whole(run.metrics_file, seed) or not files.checkpoint.exists()


def _require_whole_results(experiment: Experiment, files: SeedFolder) -> None:
    """Refuse predictions and a model file of a seed that are damaged, and the model file of another network."""
    read_predictions(files.predictions)
    kept = load_model(files.model).architecture
    for name, value in describe_network(experiment, kept["num_classes"]).items():
        if kept[name] != value:
            raise RunError(f"{files.model} is of another run: its {name} is {kept[name]!r} instead of {value!r}")


def describe_network(experiment: Experiment, num_classes: int) -> dict[str, Any]:
    """Return the architecture of a model file: name, options, and the SHA-256 of the user's file with the network."""
    architecture = {
        "name": experiment.model.label,
        "num_classes": num_classes,
        "options": experiment.model.options,
    }
    if "model" in experiment.code:
        architecture["code"] = experiment.code["model"]
    return architecture


def _train_seeds(
    experiment: Experiment,
    run: RunFolder,
    pending: Sequence[int],
    source: ExperimentData,
    data: TrainAndTest,
    track: Sequence[str],
    progress: Progress,
    should_stop: Callable[[], bool] | None,
) -> None:
    seeds = experiment.seeds
    device = data.train.labels.device
    with _locked(run, pending), _listening(should_stop) as stop_asked, unseeded(device):
        for number, seed in enumerate(seeds, start=1):
            if seed not in pending:
                continue
            require_unchanged_files(experiment, source)  # before the first seed too: reading the data may take long
            training = _SeedTraining(experiment, run, seed, source, data)
            trainer = training.trainer
            place = f", {number} of {len(seeds)}" if len(seeds) > 1 else ""
            with (
                trackers_opened(track if rank() == 0 else (), run, experiment, seed, training.records) as trackers,
                progress(f"{run.path.name} seed {seed}{place}", trainer.total_steps, "steps", trainer.step) as advance,
            ):
                training.trackers = trackers
                training.complete(advance, any_rank_stops(stop_asked, device))


@contextmanager
def _locked(run: RunFolder, seeds: Sequence[int]) -> Iterator[None]:
    """Keep other trainings of these seeds out of their folders; those that stay empty are removed."""
    with ExitStack() as locks:

        def lock() -> None:
            for seed in seeds:
                folder = run.seed_folder(seed).path
                folder.mkdir(exist_ok=True)
                locks.callback(_remove_empty, folder)
                locks.enter_context(exclusive_lock(folder, RunError, ANOTHER_WRITER))

        in_first_process(lock)
        yield


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _listening(should_stop: Callable[[], bool] | None) -> AbstractContextManager[Callable[[], bool]]:
    if should_stop is None:
        return stop_on_signal()
    return nullcontext(should_stop)


class _SeedTraining:
    """The training of one seed: its trainer, its log and its files."""

    def __init__(
        self, experiment: Experiment, run: RunFolder, seed: int, source: ExperimentData, data: TrainAndTest
    ) -> None:
        self.experiment = experiment
        self.config = experiment.train
        self.architecture = describe_network(experiment, len(source.classes))
        self.source = source
        self.test = data.test
        self.files = run.seed_folder(seed)
        self.trainer = Trainer(experiment, seed, data.train, len(source.classes))
        self.threads = self.config.threads
        """Threads to compute with; those of the first start where the experiment leaves them open."""
        self.probabilities: np.ndarray | None = None
        """Probabilities of the test samples (sample, class) after the last epoch, once they are known."""
        self.records: list[dict[str, Any]] = []
        """Values of the finished epochs for the log."""
        self.trackers: list[Tracker] = []
        """Programs that get these values as well."""
        self.checkpoints = Checkpoints(self.files, owner_of(experiment, seed))
        self.checkpoints.restore(self._take)
        in_first_process(lambda: self._open_log(run))

    def _take(self, state: dict[str, Any]) -> None:
        self.trainer.load_state_dict(state["trainer"])
        self.records = [dict(record) for record in state["records"]]
        if not 1 <= state["threads"] <= MOST_THREADS:
            raise ValueError(f"{state['threads']} threads")
        self.threads = self.threads or state["threads"]

    def _open_log(self, run: RunFolder) -> None:
        self.log = MetricsLog(run.path, self.files.seed, self.records)

    def complete(self, advance: Callable[..., None], should_stop: Callable[[], bool]) -> None:
        """Train to the last epoch, then write the predictions and the model file."""
        with use_threads(self.threads):
            while self.trainer.epoch < self.trainer.epochs:
                self._train_epoch(advance, should_stop)
            in_first_process(self._write_results)

    def _train_epoch(self, advance: Callable[..., None], should_stop: Callable[[], bool]) -> None:
        """Train to the end of the epoch, or until asked to stop.

        Raises:
            InterruptedRun: asked to stop before the last epoch is done; the state is saved.
        """
        trainer = self.trainer
        metrics = trainer.train_epoch(advance, should_stop)
        last = trainer.epoch == trainer.epochs
        if metrics is not None:
            in_first_process(partial(self._log_epoch, metrics))
        stop = should_stop()
        if stop or last or trainer.epoch % self.config.checkpoint_every == 0:
            in_first_process(self._save)
        if stop and not last:
            raise InterruptedRun(
                f"stopped in epoch {trainer.epoch + 1}; {self.files.checkpoint} holds the state",
                "the same command continues",
            )

    def _log_epoch(self, metrics: dict[str, Any]) -> None:
        epoch = self.trainer.epoch
        is_last = epoch == self.trainer.epochs
        every = self.config.evaluate_every
        if is_last or (every > 0 and epoch % every == 0):
            probabilities = predict(self.trainer.student, self.test)
            accuracy, log_loss = accuracy_and_log_loss(probabilities, self.test.labels.cpu().numpy())
            metrics |= {"test_accuracy": accuracy, "test_log_loss": log_loss}
            if is_last:
                self.probabilities = probabilities
        self.log.write(metrics)
        for tracker in self.trackers:
            tracker.log(metrics)

    def _save(self) -> None:
        state = {
            "trainer": self.trainer.state_dict(),
            "records": self.log.records,
            "threads": torch.get_num_threads(),
        }
        self.checkpoints.save(state)

    def _write_results(self) -> None:
        probabilities = self.probabilities
        if probabilities is None:
            probabilities = predict(self.trainer.student, self.test)
        self.files.write_settings(self.experiment)
        save_model(self.files.model, self._model_file())
        write_checksum(self.files.model)
        write_predictions(self.files.predictions, self.test.table, self.source.classes, probabilities)

    def _model_file(self) -> ModelFile:
        samples = self.trainer.samples
        return ModelFile(
            without_masks(self.trainer.student),
            self.architecture,
            self.source.classes,
            self.source.input_shape,
            samples.mean.cpu().numpy(),
            samples.std.cpu().numpy(),
            self.source.frontend,
        )
