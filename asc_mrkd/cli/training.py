"""Progress of the verbs that train."""

import os

from asc_mrkd.progress import Progress, no_progress


def is_first_process() -> bool:
    """Return whether this process is the only one, or the first of those that `torchrun` has started."""
    is_alone = os.environ.get("WORLD_SIZE") in (None, "", "1")
    return is_alone or os.environ.get("RANK", "0") == "0"


def first_process_progress() -> Progress:
    """Return the progress on the terminal; the other processes of `torchrun` show none."""
    if not is_first_process():
        return no_progress
    from asc_mrkd.cli.progress import show_progress

    return show_progress
