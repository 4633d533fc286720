"""Scores for people: tables on a terminal, records for scripts, pictures, and one self-contained HTML page.

It knows scored runs, feature stores and image sets; it computes no figure itself.
"""

from typing import TYPE_CHECKING

from asc_mrkd.report.comparisons import comparison_table, difference_table
from asc_mrkd.report.records import difference_records, evaluation_record
from asc_mrkd.report.tables import TextTable, breakdown_table, confusion_table
from asc_mrkd.report.terminal import print_comparison, print_differences, print_evaluation, write_evaluation

__all__ = [
    "ClassClips",
    "TextTable",
    "breakdown_table",
    "class_clips",
    "comparison_table",
    "confusion_matrix_png",
    "confusion_table",
    "difference_records",
    "difference_table",
    "evaluation_record",
    "learning_curves_png",
    "print_comparison",
    "print_differences",
    "print_evaluation",
    "spectrograms_png",
    "write_evaluation",
    "write_report",
]

if TYPE_CHECKING:
    from asc_mrkd.report.clips import ClassClips, class_clips
    from asc_mrkd.report.html import write_report
    from asc_mrkd.report.plots import confusion_matrix_png, learning_curves_png, spectrograms_png
else:
    from asc_mrkd.lazy import lazy_names

    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "ClassClips": "asc_mrkd.report.clips",
            "class_clips": "asc_mrkd.report.clips",
            "confusion_matrix_png": "asc_mrkd.report.plots",
            "learning_curves_png": "asc_mrkd.report.plots",
            "spectrograms_png": "asc_mrkd.report.plots",
            "write_report": "asc_mrkd.report.html",
        },
    )
