"""Training of an experiment into a run folder; the same call again continues to the same bits."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asc_mrkd.config import Experiment
from asc_mrkd.data.samples import Samples, samples_of_store
from asc_mrkd.engine.checkpoint import load_checkpoint, save_checkpoint
from asc_mrkd.engine.device import choose_device
from asc_mrkd.engine.inference import accuracy_and_log_loss, predict, write_predictions
from asc_mrkd.engine.model_file import MODEL_FILE, ModelFile, save_model
from asc_mrkd.engine.run_folder import CHECKPOINT, PREDICTIONS, MetricsLog, open_run, seed_folder
from asc_mrkd.engine.trainer import Trainer
from asc_mrkd.errors import InterruptedRun
from asc_mrkd.features.store import FeatureStore, open_store
from asc_mrkd.models import build_model


@dataclass(frozen=True)
class Listener:
    """What a caller wants to hear; every field may be left out."""

    on_seed: Callable[[int, int, int], None] = lambda seed, done, total: None
    """A seed starts: the seed, steps done before, steps in all."""
    on_step: Callable[[], None] = lambda: None


def train(experiment: Experiment, folder: Path, seeds: list[int], listener: Listener | None = None) -> None:
    """Train every seed of an experiment; finished seeds are left as they are, an unfinished one goes on.

    Raises:
        StoreError, ModelError, ConfigError: the store, the network or the device cannot be used; nothing was written.
        RunError: the folder belongs to another experiment.
        InterruptedRun: SIGINT or SIGTERM came; the state is saved.
        NonFiniteError: the loss is NaN or infinite.
    """
    store = open_store(experiment.data.store)
    device = choose_device(experiment.train.device)
    with torch.device("meta"):  # a wrong network is refused before the folder is claimed for it
        build_model(experiment.model.name, len(store.classes), **experiment.model.options)
    open_run(folder, experiment)
    splits: dict[str, Samples] = {}
    with _politely_interruptible() as should_stop:
        for seed in seeds:
            here = seed_folder(folder, seed)
            if (here / MODEL_FILE).exists() and (here / PREDICTIONS).exists():
                continue
            splits = splits or {split: samples_of_store(store, split, device) for split in ("train", "test")}
            trainer = Trainer(experiment, seed, splits["train"])
            test = splits["test"]
            probabilities = _train_seed(trainer, test, folder, experiment, listener or Listener(), should_stop)
            _finish_seed(trainer, probabilities, test, store, here)


def _train_seed(
    trainer: Trainer,
    test: Samples,
    folder: Path,
    experiment: Experiment,
    listener: Listener,
    should_stop: Callable[[], bool],
) -> np.ndarray:
    """Train to the last epoch and return the probabilities of the test samples (sample, class)."""
    config, path = experiment.train, seed_folder(folder, trainer.seed) / CHECKPOINT
    if path.exists():
        trainer.load_state_dict(load_checkpoint(path))
    log = MetricsLog(folder, trainer.seed, trainer.epoch)
    done = trainer.epoch * trainer.steps_per_epoch + trainer.batch
    listener.on_seed(trainer.seed, done, config.epochs * trainer.steps_per_epoch)
    probabilities = None
    while trainer.epoch < config.epochs:
        metrics = trainer.train_epoch(listener.on_step, should_stop)
        last = trainer.epoch == config.epochs
        if metrics is not None:
            if last or (config.evaluate_every and trainer.epoch % config.evaluate_every == 0):
                probabilities = predict(trainer.student, test)
                accuracy, log_loss = accuracy_and_log_loss(probabilities, test)
                metrics |= {"test_accuracy": accuracy, "test_log_loss": log_loss}
            log.write(metrics)
        if should_stop() or last or trainer.epoch % config.checkpoint_every == 0:
            save_checkpoint(path, trainer.state_dict())
        if should_stop() and not last:
            raise InterruptedRun(f"stopped in epoch {trainer.epoch + 1}; {path} holds the state",
                                 "the same command continues")  # fmt: skip
    return predict(trainer.student, test) if probabilities is None else probabilities


def _finish_seed(trainer: Trainer, probabilities: np.ndarray, test: Samples, store: FeatureStore, here: Path) -> None:
    mean, std = store.statistics()
    file = ModelFile(trainer.student, trainer.architecture, store.classes, store.spec, mean, std)
    write_predictions(here / PREDICTIONS, probabilities, test)
    save_model(here / MODEL_FILE, file)


@contextmanager
def _politely_interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first SIGINT or SIGTERM into an answer `True`; the second one acts at once."""
    received: list[int] = []

    def remember(number: int, frame: Any) -> None:
        received.append(number)
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, remember)
    except ValueError:  # not the main thread: the caller looks after signals
        yield lambda: False
        return
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
