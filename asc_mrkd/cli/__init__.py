"""The command line `asc-mrkd VERB`, one file per verb: parse, call one library function, print, set the exit code.

Knows all rooms. Heavy imports happen inside the verbs, so that `--help` is quick.
"""

import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line, see `asc_mrkd.cli.app.main`; Ctrl-C during the first imports is one sentence, too."""
    try:
        from asc_mrkd.cli.app import main as run
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\nhint: nothing was started yet; run the same command again\n")
        sys.exit(3)
    run()
