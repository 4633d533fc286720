"""A run small enough to score by hand."""

from pathlib import Path

import pytest
from helpers.runs import PREDICTIONS, write_small_run


@pytest.fixture
def predictions_file(tmp_path: Path) -> Path:
    """Predictions of five clips; three are right, and the last one gives its class no probability at all."""
    path = tmp_path / "predictions.csv"
    path.write_text(PREDICTIONS)
    return path


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run with one finished seed of two."""
    return write_small_run(tmp_path / "run")
