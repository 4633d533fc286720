"""asc-mrkd predict: recordings to scenes, pictures to classes."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asc_mrkd.cli.compress import say_choice
from asc_mrkd.cli.options import Json, Workers
from asc_mrkd.cli.progress import progress
from asc_mrkd.cli.terminal import say
from asc_mrkd.workers import start_early

if TYPE_CHECKING:
    from asc_mrkd.config.domain import Domain
    from asc_mrkd.deploy import Prediction


def predict(
    model: Annotated[Path, typer.Argument(help="Model file or run folder.")],
    sources: Annotated[list[Path], typer.Argument(metavar="FILE_OR_DIR...", help="Recordings, pictures, folders.")],
    top: Annotated[int, typer.Option(help="Number of classes to show.", min=1)] = 3,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Name the scene of a recording of any rate, channel count and length, or the class of a picture.

    Answers come in the order of the files, as soon as they are known. Files that cannot be used are left out; then the
    exit code is 1. Of a run folder the lowest seed answers.

    Example: asc-mrkd predict exp/ce recording.wav --top 3
    """
    if workers != 1 and any(source.is_dir() for source in sources):
        start_early()  # while torch is imported here
    from asc_mrkd.deploy import Prediction, Predictor, describe_suffixes
    from asc_mrkd.progress import no_progress

    predictor = Predictor(model)
    found = predictor.find_files(sources)
    if not model.is_file():
        say_choice(model)
    if found.passed_over:
        say(f"left out {describe_suffixes(found.passed_over)}", err=True)
    is_lone_file = found.files == sources and len(sources) == 1
    show = no_progress if is_lone_file else progress
    warned: set[str] = set()
    shown = 0
    with show("predicting", len(found.files), "files") as advance:
        for answer in predictor.predict_files(found.files, top, workers):
            if isinstance(answer, Prediction):
                warn_once(answer, warned)
                say(json_line(answer, predictor.domain, is_first=shown == 0) if as_json else text_line(answer))
                shown += 1
            elif is_lone_file:
                raise answer
            else:
                say(f"left out {answer}", err=True)
            advance()
    if as_json:
        say("]" if shown else "[]")
    if shown < len(found.files):
        raise typer.Exit(1)


def warn_once(prediction: "Prediction", warned: set[str]) -> None:
    """Say how a recording differs from the training data, once for each kind of difference."""
    for caution in prediction.cautions:
        if caution.kind not in warned:
            warned.add(caution.kind)
            say(f"warning: {prediction.file}: {caution.text} (said once)", err=True)


def text_line(prediction: "Prediction") -> str:
    """Return file, classes and probabilities as one line."""
    ranking = zip(prediction.classes, prediction.probabilities, strict=True)
    return f"{prediction.file}  {'  '.join(f'{name} {probability:.3f}' for name, probability in ranking)}"


def json_line(prediction: "Prediction", domain: "Domain", is_first: bool) -> str:
    """Return one line of a list in JSON that is printed as the answers come."""
    ranking = zip(prediction.classes, prediction.probabilities, strict=True)
    record = {
        "file": str(prediction.file),
        domain.categories: [{domain.category: name, "probability": probability} for name, probability in ranking],
        "warnings": [caution.text for caution in prediction.cautions],
    }
    return ("[" if is_first else ",") + json.dumps(record)
