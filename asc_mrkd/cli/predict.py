"""asc-mrkd predict: recordings to scenes, pictures to classes."""

import json
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asc_mrkd.cli.answers import make_lines
from asc_mrkd.cli.options import Json, Workers, say_choice
from asc_mrkd.cli.progress import show_progress
from asc_mrkd.cli.terminal import say
from asc_mrkd.errors import DataError
from asc_mrkd.progress import no_progress
from asc_mrkd.workers import start_early

if TYPE_CHECKING:
    from asc_mrkd.cli.answers import Answer, Lines
    from asc_mrkd.deploy import Predictor, TimeLine

stream_option = partial(typer.Option, rich_help_panel="A stream")
"""Make an option that the help shows under a heading shared by all of these."""

PIECE_BYTES = 2**16
"""Largest number of bytes of a stream that are read at once."""


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Model file or run folder.")],
    sources: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE_OR_DIR", help="Recordings or pictures, or folders of them.")
    ] = None,
    top: Annotated[int, typer.Option(help="Number of classes to show; --csv shows all.", min=1)] = 3,
    every: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Give a time line: the class of every interval of this length (s)."),
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npy", help="Write the input of the last layer to this file, one row per answer."),
    ] = None,
    workers: Workers = None,
    device: Annotated[str, typer.Option(help="Device that computes: cpu, cuda or auto.")] = "cpu",
    stream: Annotated[bool, stream_option("--stream", help="Read 16-bit PCM from stdin.")] = False,
    microphone: Annotated[
        str | None, stream_option(metavar="NAME", help="Listen to a microphone: default, or a part of its name.")
    ] = None,
    rate: Annotated[int | None, stream_option(help="Sample rate (Hz).", show_default="that of the front end")] = None,
    channels: Annotated[
        int | None, stream_option(help="Number of channels.", show_default="that of the front end")
    ] = None,
    hop: Annotated[float, stream_option(help="Time from one decision to the next (s).")] = 1.0,
    hold: Annotated[int, stream_option(help="Decisions in a row that a new class needs before it is reported.")] = 2,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, with a column per class.")] = False,
) -> None:
    """Name the scene of recordings of any sample rate, channel count and length, or the class of pictures.

    Answers come in the order of the files, as soon as they are known. A file that cannot be used is left out, with the
    reason, and the exit code is 1. In a run folder, the lowest seed answers.

    With --every, a recording gets a time line: the class of every interval, from the clip around its middle. As text,
    equal neighbours are joined.

    With --stream, the sound comes from stdin, as from `ffmpeg -i IN -f s16le -ar 22050 -ac 2 -`; with --microphone, it
    comes from there until Ctrl-C. Each line has the time, the class and its probability.

    Example: asc-mrkd predict exp/dcase18/builtin/reduced/mrkd exp/dcase18/builtin/scenes --top 3
    """
    if as_json and as_csv:
        raise typer.BadParameter("give either --json or --csv", param_hint="--csv")
    if stream or microphone is not None:
        if every is not None or embeddings is not None or as_csv:
            raise typer.BadParameter("a stream has neither --every, --embeddings nor --csv", param_hint="--stream")
        predict_stream(model, sources or [], microphone, rate, channels, hop, hold, as_json, device)
        return
    if not sources:
        raise typer.BadParameter("name recordings or folders, or give --stream", param_hint="FILE_OR_DIR")
    if rate is not None or channels is not None:
        raise typer.BadParameter(
            "only a stream has them: leave them out, or add --stream", param_hint="--rate, --channels"
        )
    predict_files(model, sources, top, every, embeddings, workers, device, as_json, as_csv)


def predict_files(
    model: Path,
    sources: list[Path],
    top: int,
    every: float | None,
    embeddings: Path | None,
    workers: int | None,
    device: str,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Print the answer about every file; raise typer.Exit with code 1 if one was left out."""
    if workers != 1 and every is None and any(source.is_dir() for source in sources):
        start_early()  # while torch is imported here
    from asc_mrkd.deploy import Predictor, describe_suffixes
    from asc_mrkd.files import make_place

    if embeddings is not None:
        make_place(embeddings)  # a file that cannot be written is refused before the predictions
    predictor = Predictor(model, device)
    found = predictor.find_files(sources)
    if not model.is_file():
        say_choice(model)
    if found.passed_over:
        say(f"left out {describe_suffixes(found.passed_over)}", err=True)
    answers: Any
    if every is None:
        count = len(predictor.classes) if as_csv else top
        answers = predictor.predict_files(found.files, count, workers, embeddings is not None)
    else:
        answers = time_lines(predictor, found.files, every, embeddings is not None)
    lines = make_lines(predictor, top, as_json, as_csv)
    is_lone_file = found.files == sources and len(sources) == 1
    printed = print_answers(answers, len(found.files), lines, is_lone_file)
    if as_json:
        say("]" if printed else "[]")
    if embeddings is not None and printed:
        write_embeddings(embeddings, printed)
    if len(printed) < len(found.files):
        raise typer.Exit(1)


def print_answers(
    answers: "Iterable[Answer | DataError]", count: int, lines: "Lines", is_lone_file: bool
) -> "list[Answer]":
    """Print the answers as they come, and return them.

    Args:
        answers: answer about each file, or the reason why it was left out.
        count: number of files.
        lines: function that makes the lines of an answer.
        is_lone_file: whether one file was named; then no progress is shown, and its error is raised.
    """
    printed: list[Answer] = []
    warned: set[str] = set()
    show = no_progress if is_lone_file else show_progress
    with show("predicting", count, "files") as advance:
        for answer in answers:
            if isinstance(answer, DataError):
                if is_lone_file:
                    raise answer
                say(f"left out {answer}", err=True)
            else:
                warn_once(answer, warned)
                for line in lines(answer, not printed):
                    say(line)
                printed.append(answer)
            advance()
    return printed


def time_lines(
    predictor: "Predictor", files: list[Path], every: float, embeddings: bool
) -> "Iterator[TimeLine | DataError]":
    """Yield the time line of each recording, or why it was left out."""
    for file in files:
        try:
            yield predictor.time_line(file, every, embeddings=embeddings)
        except DataError as error:
            yield error


def write_embeddings(path: Path, answers: "list[Answer]") -> None:
    """Write the embeddings of all answers (row, value), float32, as .npy, and say so on stderr."""
    import numpy as np

    from asc_mrkd.deploy import Prediction
    from asc_mrkd.files import atomic_writer

    embeddings: list[Any] = [one.embedding if isinstance(one, Prediction) else one.embeddings for one in answers]
    rows = np.concatenate([np.atleast_2d(part) for part in embeddings])
    with atomic_writer(path) as stream:
        np.save(stream, rows)
    say(f"{path}: {len(rows)} rows of {rows.shape[1]} values, in the order of the answers", err=True)


def predict_stream(
    model: Path,
    sources: list[Path],
    microphone: str | None,
    rate: int | None,
    channels: int | None,
    hop: float,
    hold: int,
    as_json: bool,
    device: str,
) -> None:
    """Print one line per decision about the sound of stdin or a microphone, and at the end the time that it took."""
    from asc_mrkd.deploy import Predictor
    from asc_mrkd.deploy.streaming import Stream, read_microphone, read_pcm_pieces, require_decisions

    if sources:
        raise typer.BadParameter("a stream comes from elsewhere: leave the files out", param_hint="FILE_OR_DIR")
    stream = Stream(Predictor(model, device), rate, channels, hop, hold)
    if microphone is None:
        stdin: Any = sys.stdin.buffer
        pieces = read_pcm_pieces(iter(lambda: stdin.read1(PIECE_BYTES), b""), stream.channels)
    else:
        pieces = read_microphone(microphone, stream.rate, stream.channels, stream.count_overflow)
    try:
        for samples in pieces:
            for decision in stream.push(samples):
                line = f"{decision.seconds:.2f}  {decision.name}  {decision.probability:.3f}"
                say(json.dumps(decision._asdict()) if as_json else line)
    except KeyboardInterrupt:
        if microphone is None:
            raise
    finally:
        figures = stream.figures
        losses = f", samples lost {figures.overflows} times" if figures.overflows else ""
        say(
            f"{figures.seconds:.1f} s of sound, {figures.decisions} decisions, real-time factor "
            f"{figures.real_time_factor:.3g}, latency {1000 * figures.latency:.1f} ms, at most "
            f"{1000 * figures.worst_latency:.1f} ms{losses}",
            err=True,
        )
    require_decisions(stream)


def warn_once(answer: "Answer", warned: set[str]) -> None:
    """Say how a recording differs from the training data, once for each kind of difference."""
    for caution in answer.cautions:
        if caution.kind not in warned:
            warned.add(caution.kind)
            say(f"warning: {answer.file}: {caution.text} (said once)", err=True)
