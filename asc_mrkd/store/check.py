"""The check of a finished store: rows that lost their checksum, clips left out or in both splits, unseen classes."""

import zlib

import numpy as np
import pandas as pd

from asc_mrkd.datasets.findings import Finding, find_absent_classes
from asc_mrkd.progress import Progress, no_progress
from asc_mrkd.store.layout import OK, FeatureStore


def check_store(store: FeatureStore, progress: Progress = no_progress) -> list[Finding]:
    """Read every row of a finished store once and compare it with its checksum.

    Args:
        store: finished store, see `open_store`.
        progress: see `asc_mrkd.progress`.

    Returns:
        Findings: `checksum` (an error) for a row that differs from what was written; the reason of the extraction (a
        warning) for a clip that was left out; `same_as_training_clip`, `class_not_in_train`, `class_not_in_test`
        (warnings).

    Raises:
        StoreError: the statistics are damaged.
    """
    store.statistics()
    findings = []
    with progress("reading", len(store.clips), "rows") as advance:
        for clip in store.clips.to_dict("records"):
            if clip["status"] != OK:
                findings.append(Finding(clip["reason"], clip["filename"], "left out at extraction", "warning"))
            else:
                found = zlib.crc32(store.features[clip["row"]].tobytes())
                if found != clip["crc32"]:
                    detail = f"row {clip['row']} has {found:08x} instead of {clip['crc32']:08x}"
                    findings.append(Finding("checksum", clip["filename"], detail, "error"))
            advance()
    findings += find_known_test_clips(store)
    return findings + find_absent_classes(store.clips[store.clips["status"] == OK], store.classes)


def find_known_test_clips(store: FeatureStore, clips: pd.DataFrame | None = None) -> list[Finding]:
    """Find the test clips whose features are those of a training clip: the same recording under two names.

    A network is not tested by what it was trained on, so such clips make its accuracy too high. Pieces of silence do
    not count: they are equal wherever they come from.

    Args:
        store: finished store, see `open_store`.
        clips: some of its usable clips with other splits, as those of a fold; None takes all with their splits.
    """
    if clips is None:
        clips = store.clips[store.clips["status"] == OK]
    training = clips[clips["split"] == "train"]
    rows = dict(zip(training["crc32"], training["row"], strict=True))
    names = store.clips["filename"]
    findings = []
    for clip in clips[clips["split"] == "test"].to_dict("records"):
        row = rows.get(clip["crc32"])
        if row is None:
            continue
        values = store.features[clip["row"]]
        is_silent = (values == values[..., :1]).all()
        if np.array_equal(store.features[row], values) and not is_silent:
            detail = f"the same recording as the training clip {names[row]}"
            findings.append(Finding("same_as_training_clip", clip["filename"], detail, "warning"))
    return findings
