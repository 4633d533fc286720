"""Challenge submissions: make the package of a run, and check any package against the rules of its task.

Names are imported when first used: the names of the tasks must not wait for torch.
"""

from typing import TYPE_CHECKING

__all__ = ["TASKS", "Problem", "Task", "check_submission", "make_submission"]

if TYPE_CHECKING:
    from asc_mrkd.submission.check import check_submission
    from asc_mrkd.submission.make import make_submission
    from asc_mrkd.submission.tasks import TASKS, Problem, Task
else:
    from asc_mrkd.lazy import lazy_names

    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "TASKS": "asc_mrkd.submission.tasks",
            "Problem": "asc_mrkd.submission.tasks",
            "Task": "asc_mrkd.submission.tasks",
            "check_submission": "asc_mrkd.submission.check",
            "make_submission": "asc_mrkd.submission.make",
        },
    )
