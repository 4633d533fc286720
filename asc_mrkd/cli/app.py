"""The verbs put together, and errors turned into `error:`, `hint:` and an exit code."""

import sys
from collections.abc import Callable
from typing import NoReturn

import typer
from typer.exceptions import Abort, TyperException

from asc_mrkd import __version__
from asc_mrkd.cli import (
    check_budget,
    check_data,
    compare,
    compress,
    doctor,
    download,
    evaluate,
    extract_features,
    make_images,
    make_scenes,
    methods,
    models,
    predict,
    recipes,
    report,
    submit,
    sweep,
    train,
)
from asc_mrkd.errors import AscMrkdError

HELP = """Acoustic scene classification trained with Memory-replay Knowledge Distillation.

Exit codes: 0 done, 1 the answer is no, 2 wrong usage or input, 3 interrupted after saving.
`--debug` shows the traceback of an error."""


def build_app() -> typer.Typer:
    """Return the command line application with every verb."""
    app = typer.Typer(
        add_completion=False, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]}
    )
    app.callback(help=HELP)(_options)
    verbs: list[Callable[..., None]] = [
        doctor.doctor,
        make_scenes.make_scenes,
        make_images.make_images,
        download.download,
        check_data.check_data,
        extract_features.extract_features,
        extract_features.join_stores,
        train.train,
        sweep.sweep,
        evaluate.evaluate,
        compare.compare,
        report.report,
        check_budget.check_budget,
        compress.compress,
        compress.fit_budget,
        predict.predict,
        models.models,
        methods.methods,
    ]
    for verb in verbs:
        app.command(verb.__name__.replace("_", "-"))(verb)
    app.add_typer(submit.app, name="submit")
    app.add_typer(recipes.app, name="recipes")
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def _options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Options of the command itself, before any verb."""


def main() -> NoReturn:
    """Run the command line; every foreseeable error ends in `error:` and `hint:` on stderr."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        code = build_app()(arguments, prog_name="asc-mrkd", standalone_mode=False)
    except (AscMrkdError, TyperException, OSError, Abort, KeyboardInterrupt) as error:
        if len(arguments) != len(sys.argv) - 1:
            raise
        message, hint, code = _explained(error)
        if message:
            print(f"error: {message}", file=sys.stderr)
            print(f"hint: {hint or 'the same command with --debug shows where it was found'}", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)


def _explained(error: BaseException) -> tuple[str, str, int]:
    """Return the message, the hint and the exit code of an error."""
    if isinstance(error, AscMrkdError):
        return str(error), error.hint, error.exit_code
    if isinstance(error, TyperException):
        context = getattr(error, "ctx", None)
        return error.format_message(), f"{context.command_path if context else 'asc-mrkd'} -h", 2
    if isinstance(error, OSError):
        message = f"{error.filename or 'the system'}: {error.strerror or error}"
        return message, "look at the path, its permissions and the free space (df -h)", 2
    return "interrupted", "the same command continues", 130
