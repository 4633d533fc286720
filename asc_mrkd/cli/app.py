"""The command line application: all verbs, and errors as `error:`, `hint:` and an exit code."""

import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.exceptions import Abort, TyperException

from asc_mrkd import __version__
from asc_mrkd.cli.terminal import flush_stdout, prepare_streams, say
from asc_mrkd.errors import DISK_FULL, AscMrkdError, ConfigError, first_line
from asc_mrkd.own_code import allow_code, place_in_own_code

VERBS = {
    "Data": ("download", "make-scenes", "make-images", "check-data", "extract-features", "join-stores"),
    "Training": ("train", "sweep", "methods", "models"),
    "Results": ("evaluate", "compare", "report"),
    "Devices and challenges": ("check-budget", "compress", "fit-budget", "export", "predict", "demo", "submit"),
    "This installation": ("doctor", "recipes"),
}
"""Verbs by their heading in the help. The verb `check-data` is the function `check_data` of `cli/check_data.py`; a verb
that holds other verbs, such as `submit make`, is the object `app` of its file."""

HELP = """Acoustic scene classification: from recordings to a trained, scored and size-checked network.

`asc-mrkd VERB -h` explains a verb and shows an example. `asc-mrkd recipes ls` lists whole experiments to start from.

Exit codes: 0 done, 1 a check failed, 2 wrong usage or input, 3 interrupted after saving. With `--debug` an error shows
its traceback."""

PACKAGE = Path(__file__).parents[1]
"""Folder of this package."""

TYPER_INTERRUPTED = 130
"""Exit code that typer returns if Ctrl-C comes while it reads the arguments."""


class Carried(Exception):
    """Carries an error past typer as its cause."""


class Verbs(TyperGroup):
    """All verbs, or those of a verb such as `submit`. Errors that typer would turn into an exit code without a message
    are carried past it. Errors that typer raises without naming the verb, as for `--json=3`, get its name."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb that was asked for."""
        try:
            return super().invoke(ctx)
        except (EOFError, BrokenPipeError, KeyboardInterrupt) as error:
            raise Carried from error
        except TyperException as error:
            usage_error: Any = error
            if getattr(error, "ctx", ctx) is None:
                usage_error.ctx = typer.Context(self, ctx, ctx.invoked_subcommand)
            raise


def build_app() -> typer.Typer:
    """Return the command line application with every verb."""
    app = typer.Typer(
        cls=Verbs,
        no_args_is_help=True,
        rich_markup_mode="markdown",  # so that paragraphs are folded to the width of the terminal
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(help=HELP)(take_options)
    for heading, verbs in VERBS.items():
        for verb in verbs:
            name = verb.replace("-", "_")
            module = import_module(f"asc_mrkd.cli.{name}")
            if hasattr(module, "app"):
                app.add_typer(module.app, cls=Verbs, name=verb, rich_help_panel=heading)
            else:
                app.command(verb, rich_help_panel=heading)(getattr(module, name))
    return app


def print_version(wanted: bool) -> None:
    """Print the version and end, if `--version` was given."""
    if wanted:
        say(__version__)
        raise typer.Exit


def take_options(
    version: bool = typer.Option(
        False, "--version", callback=print_version, is_eager=True, help="Show the version and exit."
    ),
    code: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE.py", help="Python file of a network, which a model file needs and may run."),
    ] = None,
) -> None:
    """Take the options of the command itself, before any verb."""
    for file in code or []:
        allow_code(file)


def main() -> NoReturn:
    """Run the command line; every error ends in `error:` and `hint:` on stderr."""
    prepare_streams()
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    wants_traceback = len(arguments) < len(sys.argv) - 1
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _own_warnings_said(warnings.showwarning)
            refuse_empty(arguments)
            code = build_app()(arguments, prog_name="asc-mrkd", standalone_mode=False)
        if code == TYPER_INTERRUPTED:
            raise KeyboardInterrupt
        flush_stdout()
    except (Exception, KeyboardInterrupt) as error:
        if wants_traceback:
            raise
        cause = error.__cause__ if isinstance(error, Carried) else error
        if isinstance(cause, BrokenPipeError) and not flush_stdout():  # otherwise it is the pipe of a worker
            sys.exit(0)
        message, hint, code = explain(cause or error)
        if message:
            say(f"error: {message}", err=True)
            say(f"hint: {hint or 'the same command with --debug shows where it happened'}", err=True)
    sys.exit(code if isinstance(code, int) else 0)


def refuse_empty(arguments: Sequence[str]) -> None:
    """Refuse empty values: an unset variable of the shell, which would mean the current folder.

    Raises:
        ConfigError: an argument is empty.
    """
    for before, argument in pairwise(["", *arguments]):
        option, is_written, value = argument.partition("=")
        if argument and (value or not is_written or not option.startswith("--")):
            continue
        name = option or (before if before.startswith("-") else "an argument")
        raise ConfigError(f"{name} is empty", "write a value, or leave it out")


def _own_warnings_said(show_others: Callable[..., None]) -> Callable[..., None]:
    """Return a function that prints the warnings of this package as one line, and leaves others as they are."""

    def show(message: Warning | str, category: type[Warning], filename: str, *others: Any) -> None:
        if Path(filename).is_relative_to(PACKAGE):
            say(f"warning: {message}", err=True)
        else:
            show_others(message, category, filename, *others)

    return show


def explain(error: BaseException) -> tuple[str, str, int]:
    """Return the message, the hint and the exit code for an error."""
    if isinstance(error, AscMrkdError):
        return str(error), error.hint, error.exit_code
    if isinstance(error, TyperException):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "asc-mrkd"
        return error.format_message(), f"{command} -h", 2
    if isinstance(error, OSError):
        fault, remedy = DISK_FULL.get(error.errno or 0, (error.strerror or str(error), ""))
        if isinstance(error, IsADirectoryError):
            remedy = "name a file in it"
        hint = remedy or "look at the path, its permissions and the free space (df -h)"
        return f"{error.filename or 'the system'}: {fault}", hint, 2
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("asc_mrkd"):
        return f"{error.name} is not installed", "pip install asc-mrkd; without torch, predict takes .onnx files", 2
    if isinstance(error, MemoryError):
        return f"there is not enough memory: {error}".removesuffix(": "), "close other programs, or ask for less", 2
    if isinstance(error, (KeyboardInterrupt, Abort)):
        # Every verb writes whole files or continues, so an interruption loses nothing that was finished.
        return "interrupted", "what is finished is saved; run the same command again", 3
    place = place_in_own_code(error)
    if place:
        return f"{place}: {first_line(error)}", "the same command with --debug shows the way there", 2
    return f"{first_line(error)}: a fault of this program", "please report what `--debug` shows", 2
