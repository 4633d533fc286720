"""Own recordings: from a folder per class, or the rows of a table, to the table of clips that every layout gives."""

import math
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from asc_mrkd.audio.containers import SOUND_SUFFIXES
from asc_mrkd.audio.read import Shape
from asc_mrkd.config.domain import require_class_names
from asc_mrkd.datasets.clip_lists import read_list_text
from asc_mrkd.datasets.findings import Finding
from asc_mrkd.datasets.recordings import NONE, Dataset, Reading, list_other_files, printable, require_plain_names
from asc_mrkd.datasets.splits import SPLIT_NAMES, classes_of_one_unit, divided_units, split_clips
from asc_mrkd.errors import SHOWN, DataError
from asc_mrkd.folders import find_files, visible_files, visible_folders

SPLIT_LISTS = {"testing_list.txt": "test", "validation_list.txt": "valid"}
"""Lists of files next to the folders of the classes, and the splits of these files; all others are for training.
They belong to the layout of Speech Commands."""

NO_CLASS = "_background_noise_"
"""Folder of Speech Commands whose recordings belong to no class."""


def find_class_folders(folder: Path) -> dict[str, list[Path]]:
    """Return the class folders of every split; without folders of splits, the only split is "".

    Hidden folders are left out, and next to folders of splits those without sound. An empty result means that this is
    not a folder per class, as where there are only folders of splits, and one has sound but no folders of classes.

    Raises:
        DataError: there are folders of training and test, and sound in a folder next to them.
    """
    if not folder.is_dir():
        return {}
    inner = [part for part in visible_folders(folder) if part.name != NO_CLASS]
    splits = {part.name: visible_folders(part) for part in inner if part.name.lower() in SPLIT_NAMES}
    has_classes = bool(splits) and all(splits.values())
    others = [part.name for part in inner if part.name not in splits and has_sound(part)]
    if has_classes and others and {"train", "test"} <= {SPLIT_NAMES[name.lower()] for name in splits}:
        raise DataError(
            f"{folder} has the folders {' and '.join(splits)}, but also sound in {others[0]}",
            f"move {others[0]} into one of them if it is a class, or out of the data set",
        )
    found = splits if has_classes and not others else {"": inner}
    with_sound = [part for parts in found.values() for part in parts if has_sound(part)]
    if len(with_sound) < 2 or all(part in inner and part.name in splits for part in with_sound):
        return {}
    return found


def has_sound(folder: Path) -> bool:
    """Return whether there is a sound file in a folder or below it, by its name."""
    return any(path.suffix.lower() in SOUND_SUFFIXES for path in visible_files(folder))


def is_class_folders(folder: Path) -> bool:
    """Return whether a folder holds a folder of sound files per class, with or without folders of splits above them."""
    return bool(find_class_folders(folder))


def read_class_folders(folder: Path, reading: Reading) -> Dataset:
    """Read a folder per class: the name of a folder is the label of the files below it.

    Files in a deeper folder, as in kitchen/session1/a.wav, form a group.

    Raises:
        DataError: the folders are folds, a name is not UTF-8 or cannot be that of a class, the split cannot be made, a
            list of SPLIT_LISTS goes with other files, or `reading` is that of a table.
    """
    _refuse_columns(folder, reading)
    rows = []
    findings = []
    parts = find_class_folders(folder)
    for split, classes in parts.items():
        for class_folder in classes:
            files = find_files(class_folder, SOUND_SUFFIXES)
            if not files:
                findings.append(_empty_class(folder, class_folder))
            for path in files:
                between = path.parent.relative_to(class_folder).as_posix()
                group = "" if between == "." else path.parent.relative_to(folder).as_posix()
                rows.append((path.relative_to(folder).as_posix(), class_folder.name, group, split))
    require_plain_names(folder, [name for name, *_ in rows])  # before pandas, which takes no others
    clips = pd.DataFrame(rows, columns=["filename", "label", "group", "split"])
    if clips["label"].str.fullmatch(r"fold[ _-]?\d+", case=False).all():
        raise DataError(
            f"{folder} has a folder per fold, not per class: {', '.join(clips['label'].unique()[:SHOWN])}",
            "name a table that says the class of every file",
        )
    if "" in parts and reading.split_column != NONE:
        _refuse_splits_below_classes(folder, clips["group"])
    columns = "a folder per class" if "" in parts else f"folders {', '.join(parts)} with a folder per class in each"
    lists = [name for name in SPLIT_LISTS if (folder / name).is_file()]
    if reading.split_column == NONE or (len(parts) == 1 and not lists):
        clips = clips.drop(columns="split")
    elif "" in parts:
        clips["split"] = _listed_splits(folder, lists, clips["filename"])
        columns += f", splits by {' and '.join(lists)}"
    if reading.group_column == NONE:
        clips["group"] = ""
    has_groups = (clips["group"] != "").any()
    groups = "the folders below those of the classes" if has_groups else ""
    dataset = Dataset(folder, "folders", clips, [], 0, (Path(),), findings=tuple(findings))
    return finish_own(dataset, reading, columns, groups)


def _refuse_splits_below_classes(folder: Path, groups: pd.Series) -> None:
    """Refuse folders of splits below those of the classes, as kitchen/train: they would be groups of a made split."""
    splits = {SPLIT_NAMES.get((group.split("/")[1:] or [""])[0].lower()) for group in groups}
    if None not in splits and {"train", "test"} <= splits:
        raise DataError(
            f"{folder} has folders of splits below those of the classes, as {groups.iloc[0]}",
            "put them above the classes, as in train/kitchen; --split-column none takes them for groups",
        )


def _listed_splits(folder: Path, lists: Sequence[str], names: pd.Series) -> pd.Series:
    """Return the split of every file of a folder by the lists in it, see SPLIT_LISTS."""
    splits = pd.Series("train", index=names.index)
    for name in lists:
        listed = names.isin([line.strip() for line in read_list_text(folder / name).splitlines()])
        if not listed.any():
            raise DataError(f"{folder / name} names none of the files", "--split-column none ignores the list")
        repeated = names[listed & (splits != "train")]
        if len(repeated):
            raise DataError(f"{repeated.iloc[0]} is in {' and in '.join(lists)}", "remove it from one of them")
        splits[listed] = SPLIT_LISTS[name]
    return splits


def _refuse_columns(folder: Path, reading: Reading) -> None:
    """Refuse options that a folder per class cannot obey; `none` can be obeyed where it ignores something."""
    ignored = {"group_column", "split_column", "fold_column", "start_column"}
    for field in ("path_column", "label_column", *sorted(ignored), "root"):
        value = getattr(reading, field)
        if value is not None and not (value == NONE and field in ignored):
            option = f"--{field.replace('_', '-')}"
            raise DataError(
                f"{folder} is a folder per class, not a table: {option} {value} has no effect",
                f"leave {option} out, or name a table of the clips; in folders below the classes, clips form groups",
            )


def _empty_class(root: Path, folder: Path) -> Finding:
    name = folder.relative_to(root).as_posix()
    others = list_other_files(root, Path(name))
    detail = "no sound file lies in it"
    if others:
        kinds = ", ".join(sorted({os.path.splitext(other)[1].lower() for other in others}))
        detail = f"it holds other kinds of files ({kinds}), such as {others[0]}; ffmpeg -i IN OUT.wav converts sound"
    return Finding("empty_class", printable(name), detail, "warning")


def finish_own(dataset: Dataset, reading: Reading, columns: str, groups: str) -> Dataset:
    """Complete the table of clips of own recordings: classes, groups, splits, and what is to be said about them.

    Args:
        dataset: data set whose clips have filename, label and group, and where they are known split, fold,
            source_label, start and end (s).
        reading: how the split is made.
        columns: where files and labels come from, in words.
        groups: where the groups come from, in words; "" without groups.

    Raises:
        DataError: there are fewer than two classes, a label cannot be that of a class, or the split cannot be made.
    """
    clips = dataset.clips.assign(label=[unicodedata.normalize("NFC", label) for label in dataset.clips["label"]])
    classes = sorted(set(clips["label"]))
    _require_classes(classes)
    if "start" in clips:
        clips["recording"] = clips["filename"]
        clips["filename"] = [piece_name(*row) for row in clips[["recording", "start", "end"]].itertuples(index=False)]
    clips = clips.rename(columns={"group": "identifier"})
    clips, splits = split_clips(clips, reading)
    findings = [*dataset.findings, *_find_classes_of_one_group(clips)]
    if "source_label" not in clips:
        clips["source_label"] = ""
    names = ["filename", "label", "identifier", "source_label", "split", "fold", "recording", "start", "end"]
    clips = clips.sort_values("filename", ignore_index=True)
    used = clips.loc[clips["split"] != "unused", "label"]
    return replace(
        dataset,
        clips=clips[[name for name in names if name in clips]],
        classes=sorted(set(used)),
        understood=(columns, _describe_groups(clips, groups), splits),
        findings=tuple(findings),
    )


def piece_name(recording: str, start: float, end: float) -> str:
    """Return the name of a part of a recording, as the W3C writes media fragments; NaN is the end of the recording.

    >>> piece_name("a.wav", 0.5, 1.25), piece_name("a.wav", 2.0, float("nan"))
    ('a.wav#t=0.5,1.25', 'a.wav#t=2')
    """
    times = [f"{time:.3f}".rstrip("0").rstrip(".") for time in (start, end) if not math.isnan(time)]
    return f"{recording}#t={','.join(times)}"


def _require_classes(classes: Sequence[str]) -> None:
    if len(classes) < 2:
        only = f"only the class {classes[0]}" if classes else "no clip"
        raise DataError(f"there is {only}", "a classifier needs at least two classes")
    require_class_names(classes)
    for name in classes:
        if not name.isprintable():
            raise DataError(f"the name of the class {name!r} has characters that cannot be printed", "rename it")


def _find_classes_of_one_group(clips: pd.DataFrame) -> list[Finding]:
    """Find the classes whose clips all belong together: they cannot be both in training and in the test."""
    findings = []
    used = clips[clips["split"] != "unused"]
    counts = used["label"].value_counts()
    for label in classes_of_one_unit(used):
        if counts[label] > 1:
            detail = f"its {counts[label]} clips are of one group or recording: "
            detail += "they cannot be both in training and in the test"
            findings.append(Finding("single_group", label, detail, "warning"))
    return findings


def _describe_groups(clips: pd.DataFrame, source: str) -> str:
    identifiers = clips["identifier"]
    sizes = identifiers[identifiers != ""].value_counts()
    divided = divided_units(clips).index  # by splits or folds that the data give
    if sizes.empty and "recording" in clips:
        of_one = f"and the clips of {len(divided)} are" if len(divided) else "the clips of one never"
        return f"none: any two recordings may be divided between training and test, {of_one}"
    if sizes.empty:
        return "none: any two clips may be divided between training and test"
    number = len(divided.intersection(sizes.index))
    are_divided = f"{number} divided between training and test" if number else "never divided"
    return f"{len(sizes)} by {source}, {_clips(sizes.min(), sizes.max())} in each, {are_divided}"


def _range(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _clips(low: float, high: float) -> str:
    return f"{_range(low, high)} {'clip' if high == 1 else 'clips'}"


def describe_own(dataset: Dataset, shapes: Sequence[Shape]) -> list[str]:
    """Describe own recordings in five lines: classes, columns, groups, recordings, splits.

    Args:
        dataset: own recordings.
        shapes: rates, channels and lengths of the recordings that can be read.
    """
    columns, groups, splits = dataset.understood
    counts = dataset.clips["split"].value_counts()
    return [
        f"classes: {_describe_classes(dataset.clips['label'].value_counts())}",
        f"columns: {columns}",
        f"groups: {groups}",
        f"recordings: {describe_shapes(shapes)}",
        f"splits: {', '.join(f'{count} {name}' for name, count in counts.items())}, {splits}",
    ]


def _describe_classes(counts: pd.Series) -> str:
    counts = counts.sort_index()
    if counts.nunique() == 1:
        return f"{len(counts)} of {_clips(counts.iloc[0], counts.iloc[0])} each"
    if len(counts) > SHOWN:
        return f"{len(counts)} of {_clips(counts.min(), counts.max())}"
    return ", ".join(f"{label} {count}" for label, count in counts.items())


def describe_shapes(shapes: Sequence[Shape]) -> str:
    """Describe lengths, rates and channels in words.

    >>> describe_shapes([Shape(44100, 1, 5.0), Shape(44100, 2, 2.5)])
    '2.5 to 5 s, 44,100 Hz, 1 to 2 channels'
    >>> describe_shapes([Shape(rate, 1, 5.0) for rate in (8000, 44100, 48000, 192000)])
    '5 s, 8,000 to 192,000 Hz, 1 channel'
    """
    if not shapes:
        return "none can be read"
    seconds = sorted(round(shape.seconds, 2) for shape in shapes)
    rates = [f"{rate:,}" for rate in sorted({shape.sample_rate for shape in shapes})]
    all_rates = f"{rates[0]} to {rates[-1]}" if len(rates) > 3 else " and ".join(rates)
    channels = sorted({shape.channels for shape in shapes})
    noun = "channel" if channels == [1] else "channels"
    return f"{_range(seconds[0], seconds[-1])} s, {all_rates} Hz, {_range(channels[0], channels[-1])} {noun}"
