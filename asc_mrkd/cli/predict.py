"""asc-mrkd predict: recordings to scenes, pictures to classes."""

from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.options import Json, print_json
from asc_mrkd.cli.progress import progress
from asc_mrkd.cli.terminal import say


def predict(
    model: Annotated[Path, typer.Argument(help="Model file or run folder.")],
    sources: Annotated[list[Path], typer.Argument(metavar="FILE_OR_DIR...", help="Recordings, pictures, folders.")],
    top: Annotated[int, typer.Option(help="Number of classes to show.", min=1)] = 3,
    as_json: Json = False,
) -> None:
    """Name the scene of a recording of any rate, channel count and length, or the class of a picture.

    Files that cannot be used are left out; then the exit code is 1.

    Example: asc-mrkd predict exp/ce recording.wav --top 3
    """
    from asc_mrkd.deploy import Predictor
    from asc_mrkd.progress import no_progress

    is_lone_file = len(sources) == 1 and not sources[0].is_dir()
    predictor = Predictor(model)
    result = predictor.predict_folder(sources, top, no_progress if is_lone_file else progress)
    for error in result.failures:
        say(f"left out {error}", err=True)
    if as_json:
        domain = predictor.domain
        records = []
        for prediction in result.predictions:
            ranking = zip(prediction.classes, prediction.probabilities, strict=True)
            answers = [{domain.category: name, "probability": probability} for name, probability in ranking]
            records.append({"file": str(prediction.file), domain.categories: answers})
        print_json(records)
    else:
        for prediction in result.predictions:
            ranking = zip(prediction.classes, prediction.probabilities, strict=True)
            text = "  ".join(f"{name} {probability:.3f}" for name, probability in ranking)
            say(f"{prediction.file}  {text}")
    if result.failures:
        raise typer.Exit(1)
