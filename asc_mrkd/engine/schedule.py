"""The learning rate as a function of the step."""

import math

from asc_mrkd.config import ScheduleConfig


def lr_factor(schedule: ScheduleConfig, step: int, steps_per_epoch: int, epochs: int) -> float:
    """Return the factor on the learning rate at a step counted from 0.

    Linear decay to zero, per step: 1 at step 0, 1/T at step T - 1.

    >>> [lr_factor(ScheduleConfig(), step, 391, 200) for step in (0, 39_100)]
    [1.0, 0.5]
    >>> cpjku = ScheduleConfig(hold=50, decay=200, floor=0.01, per="epoch")
    >>> [round(lr_factor(cpjku, 613 * epoch, 613, 400), 6) for epoch in (49, 51, 150, 249, 250)]
    [1.0, 0.995, 0.5, 0.005, 0.01]
    """
    epoch = step / steps_per_epoch
    if schedule.per == "epoch":
        epoch = math.floor(epoch)
    decay = schedule.decay or max(epochs - schedule.hold, 1)
    if epoch < schedule.hold:
        return 1.0
    if epoch < schedule.hold + decay:
        return 1.0 - (epoch - schedule.hold) / decay
    return schedule.floor
