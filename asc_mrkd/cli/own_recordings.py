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


own_option = functools.partial(typer.Option, rich_help_panel="Your own recordings")
"""Make an option that the help shows under a heading shared by all of these."""

USUAL = "usual names"
"""Default of the columns, as the help shows it."""


def reading_and_cutting(
    *,
    path_column: Annotated[str | None, own_option(help="Column with the file names.", show_default=USUAL)] = None,
    label_column: Annotated[str | None, own_option(help="Column with the classes.", show_default=USUAL)] = None,
    group_column: Annotated[
        str | None,
        own_option(
            help="Column with groups that are never divided, such as places; none ignores it.",
            show_default=USUAL,
        ),
    ] = None,
    split_column: Annotated[
        str | None, own_option(help="Column with train, test or valid; none ignores it.", show_default=USUAL)
    ] = None,
    fold_column: Annotated[
        str | None, own_option(help="Column with the folds; none ignores it.", show_default=USUAL)
    ] = None,
    start_column: Annotated[
        str | None,
        own_option(help="Column with the starts of clips in their files; none takes files whole.", show_default=USUAL),
    ] = None,
    root: Annotated[
        Path | None,
        own_option(help="Folder that the file names start from.", show_default="that of the table, or one next to it"),
    ] = None,
    test_fold: Annotated[str | None, own_option(help="Fold to test on.", show_default="the first")] = None,
    test_share: Annotated[
        float,
        own_option(
            help="Share of the clips to test on, if a split has to be made; rounded to 1/2, 1/3, 1/4 ...",
            min=0.01,
            max=0.5,
        ),
    ] = 0.25,
    split_seed: Annotated[int, own_option(help="Seed of such a split.", min=0)] = 0,
    clip_seconds: Annotated[
        float | None,
        own_option(help="Length of a clip; longer recordings are cut.", show_default="one that fits the recordings"),
    ] = None,
    hop_seconds: Annotated[
        float | None,
        own_option(
            help="Time from the start of a clip to that of the next one in its recording.",
            show_default="the length of a clip",
        ),
    ] = None,
    short: Annotated[
        Literal["repeat", "pad", "refuse"], own_option(help="What to do with recordings shorter than a clip.")
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
        start_column=start_column,
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
