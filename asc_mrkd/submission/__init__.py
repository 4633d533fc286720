"""Challenge submissions: make the package of a run, and check any package against the rules of its task."""

from asc_mrkd.submission.check import check_submission
from asc_mrkd.submission.make import make_submission
from asc_mrkd.submission.tasks import TASKS, Problem, Task

__all__ = ["TASKS", "Problem", "Task", "check_submission", "make_submission"]
