"""The command line, called within this process."""

import contextlib
import io
import sys
from typing import NamedTuple
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
