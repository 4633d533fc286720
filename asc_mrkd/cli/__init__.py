"""The command line: `asc-mrkd VERB`, a verb a file. Heavy imports happen inside the verbs."""

from asc_mrkd.cli.app import main

__all__ = ["main"]
