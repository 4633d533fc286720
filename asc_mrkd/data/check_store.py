"""The doctor of feature stores: every row has its checksum still, and what was left out is named."""

import zlib
from collections.abc import Callable

from asc_mrkd.data.findings import Finding
from asc_mrkd.features.store import OK, FeatureStore


def check_store(store: FeatureStore, on_row: Callable[[], None] = lambda: None) -> list[Finding]:
    """Read every row of a finished store once and compare it with its checksum.

    Args:
        store: from open_store.
        on_row: called once for every row.

    Returns:
        Findings: `checksum` for a row that is not what was written; for a clip that was left out at extraction its
        reason (a warning).

    Raises:
        StoreError: the statistics are damaged.
    """
    store.statistics()
    findings = []
    columns = ("row", "filename", "status", "reason", "crc32")
    for row, name, status, reason, crc32 in zip(*(store.clips[column] for column in columns), strict=True):
        if status != OK:
            findings.append(Finding(reason, name, "left out at extraction", "warning"))
        elif (found := zlib.crc32(store.features[row].tobytes())) != crc32:
            findings.append(Finding("checksum", name, f"row {row} has {found:08x} instead of {crc32:08x}", "error"))
        on_row()
    return findings
