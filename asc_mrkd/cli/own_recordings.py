"""The options of the verbs that read own recordings: columns, splits, and the clips that recordings are cut into."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from asc_mrkd.datasets.pieces import Cutting
    from asc_mrkd.datasets.recordings import Reading


def reading_and_cutting(
    *,
    path_column: Annotated[
        str | None, typer.Option(help="Column of the file names.", show_default="usual names")
    ] = None,
    label_column: Annotated[str | None, typer.Option(help="Column of the classes.", show_default="usual names")] = None,
    group_column: Annotated[
        str | None,
        typer.Option(help="Column of what must not be divided, such as a place; none.", show_default="usual names"),
    ] = None,
    split_column: Annotated[
        str | None, typer.Option(help="Column of train, test, valid; none ignores it.", show_default="usual names")
    ] = None,
    fold_column: Annotated[
        str | None, typer.Option(help="Column of the folds; none ignores it.", show_default="usual names")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder that the file names start from.", show_default="a near one")
    ] = None,
    test_fold: Annotated[
        str | None, typer.Option(help="Fold of the data that is for testing.", show_default="the first")
    ] = None,
    test_share: Annotated[
        float,
        typer.Option(help="Share of the test in a split that is made, rounded to 1/2, 1/3, 1/4 ...", min=0.01, max=0.5),
    ] = 0.25,
    split_seed: Annotated[int, typer.Option(help="Seed of a split that is made.", min=0)] = 0,
    clip_seconds: Annotated[
        float | None, typer.Option(help="Length of a clip; longer recordings are cut.", show_default="a fitting one")
    ] = None,
    hop_seconds: Annotated[
        float | None, typer.Option(help="Distance of two clips of a recording.", show_default="the length")
    ] = None,
    short: Annotated[
        Literal["repeat", "pad", "refuse"], typer.Option(help="What happens to recordings shorter than a clip.")
    ] = "repeat",
) -> "tuple[Reading, Cutting]":
    """Return how own recordings are read and cut, from the options of a verb; its signature is their table."""
    from asc_mrkd.datasets.pieces import Cutting
    from asc_mrkd.datasets.recordings import Reading

    reading = Reading(
        path_column=path_column,
        label_column=label_column,
        group_column=group_column,
        split_column=split_column,
        fold_column=fold_column,
        root=root,
        test_fold=test_fold,
        test_share=test_share,
        split_seed=split_seed,
    )
    return reading, Cutting(seconds=clip_seconds, hop=hop_seconds, short=short)


def takes_own_recordings(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the options of `reading_and_cutting` in place of its keywords `reading` and `cutting`.

    Typer makes the options of a command from its signature, so the verb gets another signature.
    """
    options = inspect.signature(reading_and_cutting).parameters

    @functools.wraps(verb)
    def call(**values: Any) -> None:
        reading, cutting = reading_and_cutting(**{name: values.pop(name) for name in options})
        verb(**values, reading=reading, cutting=cutting)

    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(verb).parameters.values():
        if parameter.name == "reading":
            parameters.extend(options.values())
        elif parameter.name != "cutting":
            parameters.append(parameter)
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call
