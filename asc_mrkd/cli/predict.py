"""asc-mrkd predict: recordings to scenes, pictures to classes."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asc_mrkd.cli.options import Json, Workers, say_choice
from asc_mrkd.cli.progress import progress
from asc_mrkd.cli.terminal import say
from asc_mrkd.workers import start_early

if TYPE_CHECKING:
    from asc_mrkd.config.domain import Domain
    from asc_mrkd.deploy import Prediction

PIECE_BYTES = 2**16
"""Largest number of bytes of a stream that are read at once."""


def predict(
    model: Annotated[Path, typer.Argument(help="Model file or run folder.")],
    sources: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE_OR_DIR...]", help="Recordings, pictures, folders.")
    ] = None,
    top: Annotated[int, typer.Option(help="Number of classes to show.", min=1)] = 3,
    workers: Workers = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Read 16-bit PCM from stdin; one line per decision.")
    ] = False,
    rate: Annotated[int | None, typer.Option(help="Sample rate of the stream (Hz); default: the front end's.")] = None,
    channels: Annotated[int | None, typer.Option(help="Channels of the stream; default: the front end's.")] = None,
    hop: Annotated[float, typer.Option(help="Time from one decision about a stream to the next (s).")] = 1.0,
    hold: Annotated[int, typer.Option(help="Decisions in a row that a new class of a stream needs.")] = 2,
    as_json: Json = False,
) -> None:
    """Name the scene of a recording of any rate, channel count and length, or the class of a picture.

    Answers come in the order of the files, as soon as they are known. Files that cannot be used are left out; then the
    exit code is 1. Of a run folder the lowest seed answers. With --stream the sound comes from stdin, as from
    `ffmpeg -i IN -f s16le -ar 22050 -ac 2 -`, and each line has the time, the class and its probability.

    Example: asc-mrkd predict exp/ce recording.wav --top 3
    """
    if stream:
        predict_stream(model, sources or [], rate, channels, hop, hold, as_json)
        return
    if not sources:
        raise typer.BadParameter("name recordings or folders, or give --stream", param_hint="FILE_OR_DIR")
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


def predict_stream(
    model: Path, sources: list[Path], rate: int | None, channels: int | None, hop: float, hold: int, as_json: bool
) -> None:
    """Print one line per decision about the sound that comes from stdin, and at the end the time that it took."""
    from dataclasses import asdict

    from asc_mrkd.deploy import Predictor
    from asc_mrkd.deploy.streaming import Stream, read_pcm_pieces, require_decisions

    if sources:
        raise typer.BadParameter("a stream comes from stdin: leave the files out", param_hint="FILE_OR_DIR")
    stream = Stream(Predictor(model), rate, channels, hop, hold)
    source: Any = sys.stdin.buffer
    try:
        for samples in read_pcm_pieces(iter(lambda: source.read1(PIECE_BYTES), b""), stream.channels):
            for decision in stream.push(samples):
                line = f"{decision.seconds:.2f}  {decision.name}  {decision.probability:.3f}"
                say(json.dumps(asdict(decision)) if as_json else line)
    finally:
        figures = stream.figures
        say(
            f"{figures.seconds:.1f} s of sound, {figures.decisions} decisions, real-time factor "
            f"{figures.real_time_factor:.3g}, latency {1000 * figures.latency:.1f} ms, at most "
            f"{1000 * figures.worst_latency:.1f} ms",
            err=True,
        )
    require_decisions(stream)


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
