"""The notebook of the documentation runs, and shows bars, tables, pictures and players."""

import os
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs/notebook.ipynb"

BRIEF = {
    "clips_per_class=6": "clips_per_class=2",
    "train.epochs=25": "train.epochs=3",
    "steps = 150": "steps = 20",
}
"""Numbers in the notebook, and smaller ones that the test has instead."""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> list[list[dict[str, Any]]]:
    """Outputs of every code cell, from a fresh kernel in an empty folder."""
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    written = NOTEBOOK.read_text(encoding="utf-8")
    for long, short in BRIEF.items():
        assert long in written
        written = written.replace(long, short)
    notebook = nbformat.reads(written, as_version=4)
    folder = tmp_path_factory.mktemp("notebook")
    environment = os.environ | {"PYTHONPATH": str(NOTEBOOK.parents[1]), "OMP_NUM_THREADS": "1"}
    client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    return [cell["outputs"] for cell in notebook.cells if cell["cell_type"] == "code"]


def contents(outputs: list[list[dict[str, Any]]], kind: str) -> list[str]:
    """Return what the outputs have of a MIME type."""
    return ["".join(output["data"][kind]) for cell in outputs for output in cell if kind in output.get("data", {})]


@pytest.mark.slow
def test_bars_end_full(outputs):
    found = []
    for html in contents(outputs, "text/html"):
        bar = re.fullmatch(r'<div><progress value="(\d+)" max="(\d+)"[^>]*></progress> (.*?): (.*)</div>', html)
        if bar:
            assert bar[1] == bar[2], html
            found.append(bar[3])
    assert found[:2] == ["scenes", "features"]
    assert sum("seed" in title for title in found) == 2
    assert found[-2:] == ["own network", "exporting"]


@pytest.mark.slow
def test_results_show_tables_pictures_and_players(outputs):
    text = "".join(unescape(re.sub("<[^>]+>", "", html)) for html in contents(outputs, "text/html"))
    for heading in ("Most confused", "Difference to the run in column “vs”", "DCASE 2020 task 1B", "same decisions"):
        assert heading in text
    assert "20 of 20 clips in 10 classes" in text
    assert "within" in text
    assert len(contents(outputs, "image/png")) == 2
    players = [html for html in contents(outputs, "text/html") if "<audio controls" in html]
    assert players
    assert all("taken for another class" in html for html in players)


@pytest.mark.slow
def test_nothing_is_printed_by_accident(outputs):
    streams = [output for cell in outputs for output in cell if output["output_type"] == "stream"]
    assert [output["name"] for output in streams] == ["stdout", "stdout"]
    assert re.fullmatch(r"\d+% of 10 test clips\n", streams[0]["text"])


def test_the_notebook_is_stored_without_outputs():
    assert '"outputs": []' in NOTEBOOK.read_text(encoding="utf-8")
    assert "image/png" not in NOTEBOOK.read_text(encoding="utf-8")
