"""The learning rate at every step."""

import pytest

from asc_mrkd.config import ScheduleConfig
from asc_mrkd.engine.loop.trainer import lr_factor


def test_linear_decay_per_step():
    """200 epochs of CIFAR: the base rate at step 0, 1 / T of it at the last of T steps, a straight line between."""
    total = 200 * 391
    factors = [lr_factor(ScheduleConfig(), step, 391, 200) for step in (0, 1, total // 2, total - 1)]
    assert factors == pytest.approx([1, 1 - 1 / total, 0.5, 1 / total])


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [(0, 1e-4), (49, 1e-4), (50, 1e-4), (51, 9.95e-5), (150, 5e-5), (249, 5e-7), (250, 1e-6), (399, 1e-6)],
)
def test_cpjku_schedule(epoch, expected):
    """The published rates of CP-JKU's code, constant within an epoch."""
    schedule = ScheduleConfig(hold=50, decay=200, floor=0.01, per="epoch")
    for step in (613 * epoch, 613 * epoch + 612):
        assert 1e-4 * lr_factor(schedule, step, 613, 400) == pytest.approx(expected)
