"""From `key=a,b` to the points of a sweep."""

import pytest

from asc_mrkd.config.grid import Point, grid, split_values
from asc_mrkd.errors import ConfigError


def names(*overrides: str) -> list[str]:
    return [point.name for point in grid(overrides)]


def test_points_are_the_product_in_the_order_given():
    points = grid(["method.num_backups=1,3", "train.epochs=2", "method.ensemble_layers=0,2"])
    assert [point.values for point in points] == [
        {"method.num_backups": backups, "method.ensemble_layers": layers} for backups in "13" for layers in "02"
    ]
    assert points[1].overrides == ["method.num_backups=1", "train.epochs=2", "method.ensemble_layers=2"]
    assert points[1].name == "method.num_backups=1,method.ensemble_layers=2"


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
    assert split_values(text) == expected


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
        ([f"a{i}=1,2,3,4,5,6,7,8,9" for i in range(30)], "combinations are more than 1,000"),
    ],
)
def test_overrides_that_make_no_grid_are_refused(overrides, message):
    with pytest.raises(ConfigError, match=message) as error:
        grid(overrides)
    assert error.value.hint
