"""The three ways to write an interval."""

import numpy as np
import pytest

from asc_mrkd.mrkd import Interval


@pytest.mark.parametrize(
    ("value", "steps"),
    [
        (1, 1),
        (9775, 9775),
        (5.0, 5),
        (np.int64(5), 5),
        (np.float32(0.125), 9775),
        (0.125, 9775),
        (1e-9, 1),
        ("25 epochs", 9775),
        ("1 epoch", 391),
        ("0.25 epochs", 98),
    ],
)
def test_steps_of_a_run_of_200_epochs(value, steps):
    assert Interval.parse(value).in_steps(total_steps=78_200, steps_per_epoch=391) == steps


@pytest.mark.parametrize(
    "value",
    [0, -3, 1.5, True, None, [3], float("nan"), float("inf"), "9775", "25", "25 epoch s", "-1 epochs", "nan epochs"],
)
def test_other_values_are_refused(value):
    with pytest.raises(
        ValueError, match=r'write steps as 9775, a share of the run as 0\.125, or epochs as "25 epochs"'
    ):
        Interval.parse(value)


def test_f1_9_share_and_epochs_need_the_length_of_the_run():
    with pytest.raises(ValueError, match="needs total_steps="):
        Interval.parse(0.125).in_steps(None, 391)
    with pytest.raises(ValueError, match="needs steps_per_epoch="):
        Interval.parse("25 epochs").in_steps(78_200, None)


def test_f1_9_one_as_a_float_is_neither_a_step_nor_a_run():
    with pytest.raises(ValueError, match=r"write 1 for every step.*1\.0 could also be the share"):
        Interval.parse(1.0)
