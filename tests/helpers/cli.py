"""The command line, called within this process."""

import contextlib
import io
import json
import sys
from typing import Any, NamedTuple
from unittest import mock

import pytest

from asc_mrkd.cli import main


class Outcome(NamedTuple):
    """Result of a command: its exit code and what it printed."""

    code: int
    out: str
    err: str


def run_cli(*arguments: object) -> Outcome:
    """Run `asc-mrkd` with the arguments and return its outcome."""
    out = io.StringIO()
    err = io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["asc-mrkd", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as end,
    ):
        main()
    return Outcome(end.value.code, out.getvalue(), err.getvalue())


def command_line(*arguments: object) -> list[str]:
    """Return the words that run `asc-mrkd` with the arguments in a separate process."""
    return [sys.executable, "-m", "asc_mrkd", *map(str, arguments)]


def run_json(*arguments: object) -> tuple[int, Any]:
    """Run `asc-mrkd` with the arguments and --json; return its exit code and the parsed output."""
    outcome = run_cli(*arguments, "--json")
    return outcome.code, json.loads(outcome.out)
