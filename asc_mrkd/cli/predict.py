"""asc-mrkd predict: recordings to scenes."""

from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.options import Json, print_json


def predict(
    model: Annotated[Path, typer.Argument(help="Model file or run folder.")],
    source: Annotated[Path, typer.Argument(metavar="FILE_OR_DIR", help="Recording, or a folder of them.")],
    top: Annotated[int, typer.Option(help="Scenes to show.", min=1)] = 3,
    as_json: Json = False,
) -> None:
    """Tell the scene of a recording of any rate, channel count and length.

    Example: asc-mrkd predict exp/ce recording.wav --top 3
    """
    from asc_mrkd.data.dcase import sound_files
    from asc_mrkd.deploy import Predictor
    from asc_mrkd.errors import AudioError, DataError

    files = sound_files(source) if source.is_dir() else [source]
    if not files:
        raise DataError(f"{source}: no recording in it", "asc-mrkd predict MODEL recording.wav")
    predictor, records, failed = Predictor(model), [], 0
    for file in files:
        try:
            probabilities = predictor.predict_file(file)
        except AudioError as error:
            if not source.is_dir():
                raise
            failed += 1
            typer.echo(f"left out {error}", err=True)
            continue
        best = probabilities.argsort()[::-1][:top]
        scenes = [{"scene": predictor.classes[i], "probability": float(probabilities[i])} for i in best]
        records.append({"file": str(file), "scenes": scenes})
        if not as_json:
            text = "  ".join(f"{s['scene']} {s['probability']:.3f}" for s in scenes)
            typer.echo(f"{file}  {text}")
    if as_json:
        print_json(records)
    if failed:
        raise typer.Exit(1)
