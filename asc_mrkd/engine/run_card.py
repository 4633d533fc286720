"""The model card of a run, README.md in its folder: data, splits, figures, size, front end, and how to predict."""

import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any, cast

from asc_mrkd import __version__
from asc_mrkd.budget import check_budget
from asc_mrkd.config import Experiment, StoreConfig
from asc_mrkd.config.domain import SCENES
from asc_mrkd.deploy.card_text import LIMITS, frontend_text, network_text
from asc_mrkd.deploy.model_file import ModelFile, load_model
from asc_mrkd.engine.data.augment import describe_augmentation
from asc_mrkd.errors import AscMrkdError, DamagedFileError, ModelError, RunError, shell_command
from asc_mrkd.files import format_bytes, write_text
from asc_mrkd.methods import method_title
from asc_mrkd.own_code import parse_own
from asc_mrkd.runs import RunFolder, SeedFolder, accuracy_and_log_loss, find_model, percentage, read_predictions
from asc_mrkd.store.layout import open_store
from asc_mrkd.store.origin import read_origin
from asc_mrkd.store.selection import clips_in_use, known_test_clips

YOURS = """## Yours

Everything from this heading on is kept when the card is written again.

- Licence of the network: to be filled in
- Licence of the recordings: to be filled in
- Purpose, known limits, contact: to be filled in
"""
"""Part of the card that the user fills in."""

USE = """## Use

```bash
{command}
```

```python
import asc_mrkd

{allow}predictor = asc_mrkd.Predictor({run_in_code})
probabilities = predictor.predict_file("{file}")
print(predictor.classes[probabilities.argmax()])
```
"""
"""Part of the card that shows how to predict."""


def write_run_card(run: RunFolder) -> None:
    """Write the model card of a run with finished seeds; what the user has written under "Yours" stays.

    A damaged file, which may be that of a seed that another process trains, is a warning: the networks are trained.
    """
    try:
        text = card_text(run)
    except (RunError, DamagedFileError, ModelError) as error:
        warnings.warn(f"{run.card_file} is not written: {error}", stacklevel=2)
        return
    write_text(run.card_file, text)


def card_text(run: RunFolder) -> str:
    """Return the model card of a run.

    Raises:
        RunError, DamagedFileError, ModelError: a file of the run is damaged, or its network cannot be loaded.
    """
    experiment = run.experiment
    first = run.fold_run(1) if experiment.data.is_cross_validation else run
    stored = find_model(first.path)
    file = load_model(stored)
    categories = file.domain.categories
    lines = [
        f"# {run.path.resolve().name}: {len(file.classes)} {categories}",
        "",
        "Written by asc-mrkd, for people; no program reads it.",
        "",
        *table(["", ""], [*about_data(experiment), *about_network(experiment, stored, file)]),
        "",
        "## Figures",
        "",
        *figure_lines(run, experiment),
        "",
        use_text(first, experiment, stored, file),
        LIMITS if file.domain is SCENES else LIMITS.replace("recording", "picture").replace("Recordings", "Pictures"),
        "",
        kept_part(run.card_file),
    ]
    return "\n".join(lines).rstrip() + "\n"


def use_text(run: RunFolder, experiment: Experiment, stored: Path, file: ModelFile) -> str:
    """Return the part that shows how to predict; a network in a file of the user needs that file, unless it is ONNX."""
    own = None if stored.suffix == ".onnx" else parse_own(experiment.model.name)
    example = "picture.png" if file.frontend is None else "recording.wav"
    code = () if own is None else ("--code", own.file)
    return USE.format(
        command=shell_command("asc-mrkd", *code, "predict", run.path, example, "--top", 3),
        run_in_code=as_literal(run.path),
        file=example,
        allow="" if own is None else f"asc_mrkd.allow_code({as_literal(own.file)})\n",
    )


def as_literal(path: Path) -> str:
    """Write a path as a string of Python code, with double quotes."""
    return json.dumps(str(path), ensure_ascii=False)


def about_data(experiment: Experiment) -> list[list[str]]:
    """Return the rows on data and splits."""
    data = experiment.data
    rows = [["data", f"`{data.folder}`, SHA-256 {(data.digest or 'unknown')[:12]}..."]]
    if experiment.domain is not SCENES:
        return rows
    try:
        store = open_store(data.folder)
        origin = read_origin(store.folder)
        clips = clips_in_use(store, cast(StoreConfig, data))
        known = known_test_clips(store, cast(StoreConfig, data))
    except AscMrkdError:
        return rows
    if data.folds is not None:
        tested = "each is for testing once" if data.is_cross_validation else f"fold {data.fold} is for testing"
        rows.append(["splits", f"{len(clips):,} clips in {data.folds} folds; {tested}"])
    else:
        counts = ", ".join(f"{count:,} {name}" for name, count in clips["split"].value_counts().items())
        rows.append(["splits", "; ".join(filter(None, [counts, str(origin.get("splits", ""))]))])
    if known:
        rows.append(["caution", known])
    if origin.get("groups"):
        rows.append(["groups", str(origin["groups"])])
    rows += [["clips", sentence] for sentence in origin.get("done", [])[1:]]
    return rows


def about_network(experiment: Experiment, stored: Path, file: ModelFile) -> list[list[str]]:
    """Return the rows on network, size, training and compression; `stored` is the file of the network."""
    train = experiment.train
    options = ", ".join(f"{name}={value}" for name, value in experiment.method.options.items())
    rows = [["classes", ", ".join(file.classes)]]
    if file.frontend is not None:
        rows.append(["front end", frontend_text(file.frontend)])
    rows += [
        ["network", network_text(file)],
        ["size", size_text(stored)],
        ["method", f"{method_title(experiment.method)}{f' ({options})' if options else ''}"],
        [
            "training",
            f"{train.epochs} epochs, batches of {train.batch_size}, {train.optimizer.name} {train.optimizer.lr:g}",
        ],
    ]
    augmentation = describe_augmentation(experiment.augment)
    if augmentation:
        rows.append(["augmentation", ", ".join(augmentation)])
    version = f"asc_mrkd {__version__}; every setting is in config.yaml, the machine in environment.json"
    rows.append(["toolkit", version])
    steps = SeedFolder(stored.parent).compression_steps()
    if steps:
        rows.append(["compressed by", ", ".join(steps)])
    for part, digest in experiment.code.items():
        rows.append([f"own {part}", f"SHA-256 of its file {digest[:12]}..."])
    return rows


def size_text(stored: Path) -> str:
    """Return parameters, bytes and multiply-adds of a stored network, as the rules count them."""
    try:
        verdict = check_budget(stored)
    except AscMrkdError as error:
        return f"not counted: {error}"
    parameters = sum(layer.parameters for layer in verdict.layers)
    size = sum(layer.bytes for layer in verdict.layers)
    types = " and ".join(sorted({layer.dtype for layer in verdict.layers} - {"shared"}))
    text = (
        f"{parameters:,} parameters, {format_bytes(size, kilo=1024)} as {types}, "
        f"{verdict.multiply_adds / 1e6:,.1f} million multiply-adds per input"
    )
    if verdict.memory is None:
        return text
    return f"{text}, {format_bytes(verdict.memory.peak, kilo=1024)} of activations at once"


def figure_lines(run: RunFolder, experiment: Experiment) -> list[str]:
    """Return accuracy and log loss of every finished seed, their mean and deviation."""
    rows = []
    accuracies = []
    losses = []
    clips = 0
    for seed in run.finished_seeds():
        predictions = read_predictions(run.seed_folder(seed).predictions)
        accuracy, log_loss = accuracy_and_log_loss(predictions.probabilities, predictions.labels)
        clips = len(predictions.labels)
        accuracies.append(accuracy)
        losses.append(log_loss)
        rows.append([str(seed), f"{percentage(accuracy):.2f}", f"{log_loss:.3f}"])
    if len(rows) > 1:
        accuracy_text = f"{percentage(mean(accuracies)):.2f} ± {percentage(stdev(accuracies)):.2f}"
        rows.append(["mean ± std", accuracy_text, f"{mean(losses):.3f} ± {stdev(losses):.3f}"])
    samples = experiment.domain.samples
    scored = f"{clips:,} {experiment.data.scored_split} {samples}"
    if experiment.data.is_cross_validation:
        scored = f"all {clips:,} {samples}, each scored by the network that was not trained with it"
    return [
        f"After the last epoch, on {scored}; nothing was chosen on them.",
        "",
        *table(["seed", "accuracy %", "log loss"], rows),
    ]


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return a table in Markdown; a bar in a cell is escaped.

    >>> table(["a", "b"], [["1", "x|y"]])
    ['| a | b |', '|---|---|', '| 1 | x\\\\|y |']
    """
    lines = [heads, *rows]
    written = [f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |" for cells in lines]
    return [written[0], f"|{'---|' * len(heads)}", *written[1:]]


def kept_part(card: Path) -> str:
    """Return what the user has written into a card, or the lines to fill in."""
    if card.is_file():
        before = card.read_text(encoding="utf-8", errors="replace")
        found = re.search(r"^## Yours$.*", before, flags=re.MULTILINE | re.DOTALL)
        if found:
            return found[0]
    return YOURS
