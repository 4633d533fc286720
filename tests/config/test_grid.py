"""Values into points."""

from pathlib import Path

import pytest

from asc_mrkd.config.grid import Point, grid, load_points, values_of
from asc_mrkd.errors import ConfigError


def names(*overrides: str) -> list[str]:
    return [point.name for point in grid(overrides)]


def test_points_are_the_product_in_the_order_given():
    points = grid(["method.copies=1,3", "train.epochs=2", "method.depth=0,2"])
    assert [point.values for point in points] == [
        {"method.copies": copies, "method.depth": depth} for copies in "13" for depth in "02"
    ]
    assert points[1].overrides == ["method.copies=1", "train.epochs=2", "method.depth=2"]
    assert points[1].name == "method.copies=1,method.depth=2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2", ["1", "2"]),
        ("25 epochs, 9775", ["25 epochs", "9775"]),
        ("[4,3,1],[4, 4, 4]", ["[4,3,1]", "[4, 4, 4]"]),
        ("{name: msd, branches: [a, b]},ce", ["{name: msd, branches: [a, b]}", "ce"]),
        ("'a,b',\"c]\",d", ["'a,b'", '"c]"', "d"]),
        (r'"a\",b",c', [r'"a\",b"', "c"]),
        ("'it''s,so',d", ["'it''s,so'", "d"]),
        ("it's,so", ["it's", "so"]),
        ("[1,2", ["[1,2"]),
        ("", [""]),
    ],
)
def test_only_commas_outside_of_brackets_and_quotes_separate(text, expected):
    assert values_of(text) == expected


def test_a_value_counts_once():
    assert names("a.b=1,2,1") == ["a.b=1", "a.b=2"]


def test_names_are_folders_and_tell_points_apart(tmp_path):
    found = names('data.images=a/b,a_b,..,a%2Fb,"a,x=1",é\t', "x=1,2")
    assert len(set(found)) == 12
    for name in found:
        (tmp_path / name).mkdir()
    assert {path.name for path in tmp_path.iterdir()} == set(found)


def test_long_names_are_cut_and_still_differ(tmp_path):
    long, longer = (Point({"data.images": "/" * count}, []).name for count in (300, 301))
    assert long != longer
    (tmp_path / long).mkdir()


def test_the_last_of_two_fixed_values_holds_as_in_train():
    assert grid(["a=1", "b=1,2", "a=3"])[0].overrides == ["a=1", "b=1", "a=3"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["a=1"], "nothing to sweep"),
        (["a=1,1"], "nothing to sweep"),
        (["a=[1,2]"], "nothing to sweep"),
        (["a"], "has no value"),
        (["=1,2"], "has no value"),
        (["a=1,2", "a=3"], "a is given twice"),
        (["a=3", "a=1,2"], "a is given twice"),
        (["a=1,2,"], "empty value"),
        (["seeds=0,1"], "every point gets all"),
    ],
)
def test_what_is_no_grid_is_refused(overrides, message):
    with pytest.raises(ConfigError, match=message) as error:
        grid(overrides)
    assert error.value.hint


def test_every_point_is_read_and_a_bad_one_named(image_conf: Path):
    points = load_points(image_conf, ["method.copies=1,2", "train.epochs=3"])
    assert [(experiment.method.copies, experiment.train.epochs) for _, experiment in points] == [(1, 3), (2, 3)]
    with pytest.raises(ConfigError, match=r"point method\.copies=0: .*method\.copies"):
        load_points(image_conf, ["method.copies=1,0"])


def test_values_that_make_no_difference_are_refused(image_conf: Path):
    """A later override has replaced the section: both points would be the same run under two names."""
    with pytest.raises(ConfigError, match=r"method\.interval=3 and method\.interval=9 are the same experiment"):
        load_points(image_conf, ["method.interval=3,9", "method=mrkd"])
    with pytest.raises(ConfigError, match=r"method\.alpha=0\.5 and method\.alpha=0\.50 are the same experiment"):
        load_points(image_conf, ["method.alpha=0.5,0.50"])
    assert len(load_points(image_conf, ["method=mrkd", "method.interval=3,9"])) == 2
