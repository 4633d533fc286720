"""Write the evaluation of a run into its folder."""

import json
from pathlib import Path

from asc_mrkd.evaluation import RunSummary
from asc_mrkd.files import atomic_writer, write_text
from asc_mrkd.report.plots import confusion_matrix_png
from asc_mrkd.report.records import evaluation_records


def write_evaluation(run_folder: str | Path, summary: RunSummary) -> None:
    """Write RUN/evaluation.json and RUN/confusion.png, each whole or not at all."""
    run_folder = Path(run_folder)
    text = json.dumps(evaluation_records(summary), indent=2, allow_nan=False)
    write_text(run_folder / "evaluation.json", text + "\n")
    with atomic_writer(run_folder / "confusion.png") as stream:
        stream.write(confusion_matrix_png(summary))
