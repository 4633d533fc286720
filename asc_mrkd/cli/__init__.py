"""The command line `asc-mrkd VERB`, one file per verb: parse, call one library function, print, set the exit code.

Knows all rooms. Heavy imports happen inside the verbs, so that `--help` is quick.
"""

from asc_mrkd.cli.app import main

__all__ = ["main"]
