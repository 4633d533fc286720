"""Results show themselves in notebooks: the tables of the verbs as HTML, pictures as PNG, clips with a player."""

import base64
import re
from html import unescape

import asc_mrkd
from asc_mrkd.budget import Verdict
from asc_mrkd.engine.sweeps import Sweep, TrainedPoint
from asc_mrkd.evaluation import RunSummary
from asc_mrkd.report import confusion_matrix_png
from asc_mrkd.report.clips import ClassClips, ShownClip
from asc_mrkd.report.tables import TextTable
from asc_mrkd.runs import RunFolder
from asc_mrkd.store.layout import open_store


def plain_text(html: str) -> str:
    """Return the text of preformatted HTML."""
    return unescape(re.sub("<[^>]+>", "", html))


def pictures(html: str) -> list[bytes]:
    """Return the first bytes of every picture that the HTML holds."""
    return [base64.b64decode(data)[:8] for data in re.findall(r'src="data:image/png;base64,([^"]+)"', html)]


PNG = b"\x89PNG\r\n\x1a\n"


def test_a_run_shows_the_tables_of_its_verb(runs):
    summary = asc_mrkd.evaluate(runs[0])
    text = plain_text(summary._repr_html_())
    assert isinstance(summary, RunSummary)
    for heading in ("Seeds", "By class", "Confusion: true class", "Most confused"):
        assert f"\n{heading}" in text
    mean = summary.spread("accuracy").mean
    assert re.search(rf"mean ± std +{100 * mean:.2f} ± ", text)


def test_a_comparison_shows_differences_and_conclusions(runs):
    rows = asc_mrkd.compare(runs)
    text = plain_text(rows._repr_html_())
    assert [row.number for row in rows] == [1, 2]
    assert "Difference to the run in column “vs”" in text
    assert "MrKD (run 2)" in text


def test_a_sweep_shows_its_table_and_its_picture(runs):
    points = []
    for value, folder in zip(("ce", "mrkd"), runs, strict=True):
        run = RunFolder(folder)
        points.append(TrainedPoint({"method": value}, run.experiment, run))
    html = Sweep(points, [0, 1])._repr_html_()
    assert re.search(r"\nmrkd +2 ", plain_text(html))
    assert pictures(html) == [PNG]


def test_a_sweep_without_scores_has_no_picture(runs, tmp_path):
    experiment = RunFolder(runs[0]).experiment
    points = [TrainedPoint({"method": "ce"}, experiment, RunFolder(tmp_path), failure="the loss is nan")]
    html = Sweep(points, [0])._repr_html_()
    assert "failed: method=ce: the loss is nan" in plain_text(html)
    assert not pictures(html)


def test_a_store_shows_its_size_and_its_clips(store):
    opened = open_store(store)
    html = opened._repr_html_()
    usable = (opened.clips["status"] == "ok").sum()
    assert f"{usable} of {len(opened.clips)} clips in {len(opened.classes)} classes" in html
    assert pictures(html) == [PNG]


def test_a_budget_shows_its_layers_and_the_decision():
    verdict = asc_mrkd.check_budget("cp_resnet_damped:num_classes=3", precision="float16")
    text = plain_text(verdict._repr_html_())
    assert isinstance(verdict, Verdict)
    assert re.search(r"\ntotal .* 485,184 ", text)
    assert "within" in text


def test_names_of_others_are_escaped():
    table = TextTable("A <b> & c", ("x",), [["<script>alert(1)</script>"]])
    html = table._repr_html_()
    assert "<script>" not in html
    assert "A <b> & c" in plain_text(html)
    clip = ShownClip("<i>.wav", "<u> 0.50", None, None)
    html = ClassClips("<s>", clip, None)._repr_html_()
    for name in ("&lt;s&gt;", "&lt;i&gt;.wav", "&lt;u&gt; 0.50"):
        assert name in html


def test_a_clip_can_be_heard():
    clip = ShownClip("a.wav", "bus 0.90", "data:image/png;base64,AA==", "data:audio/mpeg;base64,AA==")
    html = ClassClips("bus", clip, None)._repr_html_()
    assert '<audio controls preload="none" src="data:audio/mpeg;base64,AA=="' in html
    assert "taken for another class: no clip" in html


def test_a_picture_is_its_bytes(runs):
    picture = confusion_matrix_png(asc_mrkd.evaluate(runs[0]))
    assert isinstance(picture, bytes)
    assert picture._repr_png_() == bytes(picture)
    assert picture.startswith(PNG)
