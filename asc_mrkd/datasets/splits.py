"""Splits of own recordings into training and test: given, by fold, or made without dividing a group."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from asc_mrkd.datasets.findings import count_by_fold
from asc_mrkd.datasets.recordings import Reading, recordings_of
from asc_mrkd.errors import SHOWN, DataError, suggest
from asc_mrkd.rng import generator

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "validation", "val", "dev", "development"), "valid"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
    "unused": "unused",
}
"""Words that people write for the parts of a data set, in lower case, and the parts that they mean."""


def split_clips(clips: pd.DataFrame, reading: Reading) -> tuple[pd.DataFrame, str]:
    """Give every clip a split; also return the sentence that says where the splits come from.

    Args:
        clips: table with filename, label and identifier, and with recording, split (a word of SPLIT_NAMES, in any
            capitals) or fold where the data give them.
        reading: chosen fold, or share and seed of a split that is made.

    Raises:
        DataError: the chosen fold does not exist, or there are too few groups.
    """
    if reading.test_fold is not None or ("fold" in clips and "split" not in clips):
        return _split_by_fold(clips, reading.test_fold)
    if "split" in clips:
        return _with_given_splits(clips)
    units = units_of(clips)
    if units.nunique() == 1:
        raise DataError(f"all clips are of one group, {units.iloc[0]}: none is left to test on", "give smaller groups")
    parts = min(max(2, round(1 / reading.test_share)), units.nunique())
    folds = make_folds(clips["label"].tolist(), units.tolist(), parts, reading.split_seed)
    sentence = f"made with seed {reading.split_seed}: one of {parts} parts with about equal classes is for testing"
    is_test = _with_all_classes(clips["label"].to_numpy(dtype=object), units.to_numpy(dtype=object), folds == 1)
    if not is_test.any():
        sentence = "none is left to test on: every class has one recording, or one group of them, only"
    return clips.assign(split=np.where(is_test, "test", "train")), sentence


def _with_all_classes(labels: np.ndarray, units: np.ndarray, is_test: np.ndarray) -> np.ndarray:
    """Move the smallest groups of some classes, so that all are in both parts, or in training if they are one group.

    Args:
        labels: class of every clip (clip,).
        units: what must not be divided, of every clip (clip,).
        is_test: whether a clip is for testing (clip,).

    Returns:
        The same with some groups moved (clip,).
    """
    is_test = is_test.copy()
    sizes = pd.Series(units).value_counts()
    for label in sorted(set(labels)):
        of_class = labels == label
        for part in (False, True):
            others = sorted(set(units[of_class & (is_test != part)]), key=lambda unit: (sizes[unit], unit))
            is_there = (of_class & (is_test == part)).any()
            needed = 2 if part else 1  # the only group of a class is for training
            if not is_there and len(others) >= needed:
                is_test[units == others[0]] = part
    return is_test


def _split_by_fold(clips: pd.DataFrame, test_fold: str | None) -> tuple[pd.DataFrame, str]:
    if "fold" not in clips:
        raise DataError(f"--test-fold {test_fold}: the data have no folds", "--fold-column names their column")
    known = sort_folds(clips["fold"])
    chosen = known[0] if test_fold is None else test_fold
    if chosen not in known:
        raise DataError(f"there is no fold '{chosen}'", suggest(chosen, known))
    sentence = f"fold {chosen} of {', '.join(known[:SHOWN])} is for testing"
    return clips.assign(split=np.where(clips["fold"] == chosen, "test", "train")), sentence


def _with_given_splits(clips: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Translate the names of the splits; validation clips are left out, or take the place of a missing part."""
    parts = clips["split"].str.lower().map(SPLIT_NAMES)
    if not (parts == "valid").any():
        return clips.assign(split=parts), "given"
    if not (parts == "test").any():
        use, sentence = "test", "given; validation clips are for testing"
    elif not (parts == "train").any():
        use, sentence = "train", "given; development or validation clips are for training, as no others are"
    else:
        use, sentence = "unused", "given; validation clips are left out"
    return clips.assign(split=parts.replace("valid", use)), sentence


def sort_folds(folds: pd.Series) -> list[str]:
    """Return the names of the folds: numbers by their value, then texts.

    >>> sort_folds(pd.Series(["10", "2", "2"]))
    ['2', '10']
    """
    return sorted(set(folds), key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))


def fold_numbers(clips: pd.DataFrame, folds: int) -> np.ndarray:
    """Return the number of the fold of every clip (clip,), from 1: as the data give it, or else made by `make_folds`.

    Args:
        clips: table of clips, with a column fold if the data have folds.
        folds: number of folds.

    Raises:
        DataError: the data have another number of folds, or there are fewer groups than folds.
    """
    if "fold" not in clips:
        return make_folds(clips["label"].tolist(), units_of(clips).tolist(), folds)
    names = sort_folds(clips["fold"])
    if len(names) != folds:
        raise DataError(
            f"{folds} folds were asked for, but the data have {len(names)}: {', '.join(names[:SHOWN])}",
            f"--folds {len(names)} takes these; --fold-column none at the extraction leaves them out",
        )
    return clips["fold"].map({name: number for number, name in enumerate(names, start=1)}).to_numpy()


def units_of(clips: pd.DataFrame) -> pd.Series:
    """Return what must not be divided of every clip: its group, or its recording where it has none."""
    return clips["identifier"].where(clips["identifier"] != "", recordings_of(clips))


def divided_units(clips: pd.DataFrame) -> pd.DataFrame:
    """Count the clips in train and in test of the groups, or recordings without a group, that have clips in both."""
    counts = count_by_fold(clips.assign(unit=units_of(clips)), "unit")
    return counts[(counts > 0).all(axis=1)]


def classes_of_one_unit(clips: pd.DataFrame) -> list[str]:
    """List the classes whose clips all belong together: they cannot be both in training and in the test."""
    units = units_of(clips).groupby(clips["label"]).nunique()
    return [str(label) for label in units.index[units == 1]]


def make_folds(labels: Sequence[str], groups: Sequence[str], folds: int, seed: int = 0) -> np.ndarray:
    """Deal samples out to folds, so that no group is divided and every fold has about its share of every class.

    The groups are dealt out one by one, those first that hold most of few classes, each to the fold where the counts
    of the classes become most even. So does scikit-learn's StratifiedGroupKFold; it is written out here because a
    recorded seed must give the same folds whatever is installed.

    Args:
        labels: class of every sample.
        groups: group of every sample.
        folds: number of folds, at least 2.
        seed: seed of the order of groups that are alike.

    Returns:
        Number of the fold of every sample (sample,), from 1.

    Raises:
        DataError: there are fewer groups than folds.

    >>> make_folds(["cat", "cat", "dog", "dog", "cat", "dog"], ["a", "a", "b", "b", "c", "d"], folds=2).tolist()
    [2, 2, 1, 1, 1, 2]
    """
    class_of, _ = pd.factorize(np.asarray(labels, dtype=object), sort=True)
    group_of, names = pd.factorize(np.asarray(groups, dtype=object), sort=True)
    if len(names) < folds:
        raise DataError(f"{len(names)} groups cannot be dealt out to {folds} folds", "choose fewer folds")
    counts = np.zeros((len(names), class_of.max() + 1))
    np.add.at(counts, (group_of, class_of), 1)
    of_class = counts.sum(axis=0)
    order = generator("folds", seed).permutation(len(names))
    order = order[np.argsort(-counts[order].std(axis=1), kind="stable")]
    dealt = np.zeros((folds, counts.shape[1]))
    fold_of_group = np.zeros(len(names), dtype=int)
    for group in order:
        fold = _most_even_fold(dealt, counts[group], of_class)
        dealt[fold] += counts[group]
        fold_of_group[group] = fold + 1
    return fold_of_group[group_of]


def _most_even_fold(dealt: np.ndarray, group: np.ndarray, of_class: np.ndarray) -> int:
    """Return the fold that a group goes to.

    Args:
        dealt: samples (fold, class) so far.
        group: samples (class,) of the group.
        of_class: samples (class,) in all.
    """
    trials = dealt + np.eye(len(dealt))[:, :, None] * group
    unevenness = (trials / of_class).std(axis=1).mean(axis=1)
    best = np.flatnonzero(np.isclose(unevenness, unevenness.min()))
    return int(best[dealt[best].sum(axis=1).argmin()])
