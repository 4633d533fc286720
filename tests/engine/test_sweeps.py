"""The points of a sweep: read, checked, trained."""

from pathlib import Path

import pytest

from asc_mrkd.engine.sweeps import load_points
from asc_mrkd.errors import ConfigError


def test_every_point_is_read_and_a_bad_one_named(image_conf: Path):
    points = load_points(image_conf, ["method.num_backups=1,2", "train.epochs=3"])
    numbers = [(experiment.method.options["num_backups"], experiment.train.epochs) for _, experiment in points]
    assert numbers == [(1, 3), (2, 3)]
    with pytest.raises(ConfigError, match=r"point method\.num_backups=0: .*method\.num_backups"):
        load_points(image_conf, ["method.num_backups=1,0"])


def test_values_that_make_no_difference_are_refused(image_conf: Path):
    """A later override has replaced the section: both points would be the same run under two names."""
    with pytest.raises(ConfigError, match=r"method\.interval=3 and method\.interval=9 are the same experiment"):
        load_points(image_conf, ["method.interval=3,9", "method=mrkd"])
    with pytest.raises(ConfigError, match=r"method\.alpha=0\.5 and method\.alpha=0\.50 are the same experiment"):
        load_points(image_conf, ["method.alpha=0.5,0.50"])
    with pytest.raises(ConfigError, match="are the same experiment"):  # 0.5 is the default
        load_points(image_conf, ["method={name: mrkd},{name: mrkd, alpha: 0.5}"])
    assert len(load_points(image_conf, ["method=mrkd", "method.interval=3,9"])) == 2
