"""The check of a finished store: every row still has its checksum, every left-out clip and unseen class is named."""

import zlib

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
        warning) for a clip that was left out; `class_not_in_train`, `class_not_in_test` (warnings).

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
    return findings + find_absent_classes(store.clips[store.clips["status"] == OK], store.classes)
