"""asc-mrkd predict: recordings to scenes, pictures to classes."""

from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.options import Json, print_json


def predict(
    model: Annotated[Path, typer.Argument(help="Model file or run folder.")],
    sources: Annotated[list[Path], typer.Argument(metavar="FILE_OR_DIR...", help="Recordings, pictures, folders.")],
    top: Annotated[int, typer.Option(help="Classes to show.", min=1)] = 3,
    as_json: Json = False,
) -> None:
    """Tell the scene of a recording of any rate, channel count and length, or the class of a picture.

    Example: asc-mrkd predict exp/ce recording.wav --top 3
    """
    from asc_mrkd.deploy import Predictor
    from asc_mrkd.errors import DataError
    from asc_mrkd.files import find_files

    predictor, records, failed = Predictor(model), [], 0
    files: list[Path] = []
    for source in sources:
        found = find_files(source, predictor.suffixes) if source.is_dir() else [source]
        if not found:
            suffixes = ", ".join(predictor.suffixes)
            raise DataError(f"{source}: no file that ends in {suffixes}", "asc-mrkd predict MODEL FILE")
        files += found
    one, many = ("scene", "scenes") if predictor.takes_recordings else ("class", "classes")
    for file in files:
        try:
            probabilities = predictor.predict_file(file)
        except DataError as error:
            if sources == [file]:
                raise
            failed += 1
            typer.echo(f"left out {error}", err=True)
            continue
        best = probabilities.argsort()[::-1][:top]
        answers = [{one: predictor.classes[i], "probability": float(probabilities[i])} for i in best]
        records.append({"file": str(file), many: answers})
        if not as_json:
            text = "  ".join(f"{answer[one]} {answer['probability']:.3f}" for answer in answers)
            typer.echo(f"{file}  {text}")
    if as_json:
        print_json(records)
    if failed:
        raise typer.Exit(1)
