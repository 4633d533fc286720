"""Trained networks for other programs, boards and browsers: ONNX, .tflite, C or a page, each compared with it.

Knows runs, their data, networks, their sizes and int8; knows nothing of challenges. Names are imported when first used.
"""

from typing import TYPE_CHECKING

__all__ = ["Export", "demo", "export"]

if TYPE_CHECKING:
    from asc_mrkd.exports.demonstration import demo
    from asc_mrkd.exports.exporter import Export, export
else:
    from asc_mrkd.lazy import lazy_names

    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "Export": "asc_mrkd.exports.exporter",
            "demo": "asc_mrkd.exports.demonstration",
            "export": "asc_mrkd.exports.exporter",
        },
    )
