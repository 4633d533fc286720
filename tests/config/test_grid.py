"""Values into points."""

import pytest

from asc_mrkd.config.grid import grid, values_of
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
        ("", [""]),
    ],
)
def test_only_commas_outside_of_brackets_and_quotes_separate(text, expected):
    assert values_of(text) == expected


def test_a_value_counts_once():
    assert names("a.b=1,2,1") == ["a.b=1", "a.b=2"]


def test_names_are_folders_and_tell_points_apart():
    found = names("data.images=a/b,a_b,..,a%2Fb", "x=1,2")
    assert len(set(found)) == 8
    assert not any("/" in name or name in (".", "..") for name in found)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["a=1"], "nothing to sweep"),
        (["a=1,1"], "nothing to sweep"),
        (["a"], "has no value"),
        (["a=1,2", "a=3"], "twice"),
    ],
)
def test_what_is_no_grid_is_refused(overrides, message):
    with pytest.raises(ConfigError, match=message) as error:
        grid(overrides)
    assert error.value.hint
