"""The seed that a run folder stands for, and the others, in a sentence."""

import os
from dataclasses import dataclass
from pathlib import Path

from asc_mrkd.errors import AscMrkdError
from asc_mrkd.runs import RunFolder, SeedFolder, accuracy_and_log_loss, find_model, read_predictions


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of a trained network on its test clips."""

    share: float
    """Share of right decisions, 0..1."""
    clips: int
    """Number of test clips."""


def read_accuracy(seed: SeedFolder) -> Accuracy | None:
    """Return the accuracy on the test clips of a seed; None if it is not known."""
    try:
        predictions = read_predictions(seed.predictions)
    except AscMrkdError:
        return None
    share, _ = accuracy_and_log_loss(predictions.probabilities, predictions.labels)
    return Accuracy(share, len(predictions.labels))


def describe_choice(model: str | os.PathLike[str]) -> str:
    """Say which seed of a run folder is used, its accuracy, and what else there is; "" for a file or a seed folder.

    Raises:
        RunError: there is no trained model.

    Example:
        ```python
        describe_choice("exp/ce")
        # "exp/ce stands for its seed 0 (accuracy 57.5 %); seed 1 has 85.0 %: name exp/ce/seed1 to use that one"
        ```
    """
    path = Path(model)
    file = find_model(path)
    if path.is_file() or file.parent.resolve() == path.resolve():
        return ""
    run = RunFolder(path)
    chosen = SeedFolder(file.parent).seed
    found = {seed: read_accuracy(run.seed_folder(seed)) for seed in run.seeds()}
    accuracies = {seed: accuracy.share for seed, accuracy in found.items() if accuracy is not None}
    own = f" (accuracy {100 * accuracies[chosen]:.1f} %)" if chosen in accuracies else ""
    sentence = f"{path} stands for its seed {chosen}{own}"
    others = [seed for seed in accuracies if seed != chosen]
    if not others:
        return sentence
    figures = ", ".join(f"seed {seed} has {100 * accuracies[seed]:.1f} %" for seed in others)
    best = max(others, key=accuracies.__getitem__)
    return f"{sentence}; {figures}: name {run.seed_folder(best)} to use that one"
