"""The command line application: all verbs, and errors as `error:`, `hint:` and an exit code."""

import sys
from importlib import import_module
from typing import NoReturn

import typer
from typer.exceptions import Abort, TyperException

from asc_mrkd import __version__
from asc_mrkd.errors import AscMrkdError

VERBS = {
    "Data": ("download", "make-scenes", "make-images", "check-data", "extract-features", "join-stores"),
    "Training": ("train", "sweep", "methods", "models"),
    "Results": ("evaluate", "compare", "report"),
    "Devices and challenges": ("check-budget", "compress", "fit-budget", "export", "predict", "submit"),
    "This installation": ("doctor", "recipes"),
}
"""Verbs by their heading in the help. The verb `check-data` is the function `check_data` of `cli/check_data.py`; a verb
that holds other verbs, such as `submit make`, is the object `app` of its file."""

HELP = """Acoustic scene classification trained with Memory-replay Knowledge Distillation.

Exit codes: 0 done, 1 the check failed, 2 wrong usage or input, 3 interrupted after saving.
`--debug` shows the traceback of an error."""

TYPER_INTERRUPTED = 130
"""Exit code that typer returns, without a message, instead of raising KeyboardInterrupt."""


def build_app() -> typer.Typer:
    """Return the command line application with every verb."""
    app = typer.Typer(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
    app.callback(help=HELP)(show_version)
    for heading, verbs in VERBS.items():
        for verb in verbs:
            name = verb.replace("-", "_")
            module = import_module(f"asc_mrkd.cli.{name}")
            if hasattr(module, "app"):
                app.add_typer(module.app, name=verb, rich_help_panel=heading)
            else:
                app.command(verb, rich_help_panel=heading)(getattr(module, name))
    return app


def print_version(wanted: bool) -> None:
    """Print the version and end, if `--version` was given."""
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def show_version(
    version: bool = typer.Option(
        False, "--version", callback=print_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Take the options of the command itself, before any verb."""


def main() -> NoReturn:
    """Run the command line; every foreseeable error ends in `error:` and `hint:` on stderr."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    wants_traceback = len(arguments) < len(sys.argv) - 1
    try:
        code = build_app()(arguments, prog_name="asc-mrkd", standalone_mode=False)
        if code == TYPER_INTERRUPTED:
            raise KeyboardInterrupt
    except (AscMrkdError, TyperException, OSError, Abort, KeyboardInterrupt) as error:
        if wants_traceback:
            raise
        message, hint, code = explain(error)
        if message:
            print(f"error: {message}", file=sys.stderr)
            print(f"hint: {hint or 'the same command with --debug shows where it happened'}", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)


def explain(error: BaseException) -> tuple[str, str, int]:
    """Return the message, the hint and the exit code for an error."""
    if isinstance(error, AscMrkdError):
        return str(error), error.hint, error.exit_code
    if isinstance(error, TyperException):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "asc-mrkd"
        return error.format_message(), f"{command} -h", 2
    if isinstance(error, OSError):
        message = f"{error.filename or 'the system'}: {error.strerror or error}"
        return message, "look at the path, its permissions and the free space (df -h)", 2
    # Every verb writes whole files or continues, so an interruption loses nothing that was finished.
    return "interrupted", "what is finished is saved; the same command continues", 3
