"""Stratified draws: even over the classes, the same for the same seed."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asc_mrkd.datasets.images import stratified
from asc_mrkd.errors import DataError


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 60), st.integers(0, 3))
def test_as_even_as_the_classes_allow(labels, count, seed):
    labels, count = np.array(labels), min(count, len(labels))
    drawn = stratified(labels, count, seed)
    assert len(set(drawn.tolist())) == len(drawn) == count
    assert (np.diff(drawn) > 0).all()
    taken, there = Counter(labels[drawn].tolist()), Counter(labels.tolist())
    for label in there:
        for other in there:
            assert taken[label] <= taken[other] + 1 or taken[other] == there[other]


def test_names_and_numbers_are_drawn_alike():
    numbers = np.random.default_rng(0).integers(0, 10, 1000)
    names = np.array([f"class {number}" for number in numbers], dtype=object)
    assert stratified(numbers, 123, 5).tolist() == stratified(names, 123, 5).tolist()


def test_seeds_differ_and_a_smaller_draw_is_a_part():
    labels = np.repeat(np.arange(10), 50)
    small, large = stratified(labels, 95, 0), stratified(labels, 105, 0)
    assert small.tolist() == stratified(labels, 95, 0).tolist()
    assert set(small) < set(large)
    assert set(small) != set(stratified(labels, 95, 1))


def test_the_odd_samples_do_not_always_go_to_the_same_classes():
    labels = np.repeat(np.arange(10), 5)
    assert len({tuple(labels[stratified(labels, 3, seed)]) for seed in range(20)}) > 5


@pytest.mark.parametrize("count", [5, -1])
def test_more_than_there_are(count):
    with pytest.raises(DataError, match=f"{count} samples cannot be drawn from 4") as error:
        stratified(np.zeros(4), count, 0)
    assert error.value.hint == "choose at most 4"
