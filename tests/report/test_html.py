"""The HTML page of the report."""

import base64
import re
from contextlib import nullcontext
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers.progress import RecordedProgress
from helpers.runs import write_feature_store, write_run

from asc_mrkd.errors import RunError, StoreError
from asc_mrkd.evaluation import evaluate
from asc_mrkd.report import write_report
from asc_mrkd.report.html import data_to_show
from asc_mrkd.store.layout import open_store, write_sums

pytestmark = pytest.mark.slow


class Page(HTMLParser):
    """The tags of a page, its addresses, and whether every opened tag is closed."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href", "srcset", "action", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(runs, store, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "report.html"
    write_report(runs, out, store)
    return out.read_text(encoding="utf-8")


def test_the_page_needs_nothing_beside_it(page):
    parsed = Page(page)
    assert parsed.open == []
    assert not {"script", "link", "iframe", "object"} & set(parsed.tags)
    assert not re.search(r"https?://|@import|url\(", page)
    assert parsed.sources
    assert all(source.startswith("data:image/png;base64,") for source in parsed.sources)
    pictures = [base64.b64decode(source.partition(",")[2], validate=True) for source in parsed.sources]
    assert len(pictures) == 1 + 2 + 1  # curves, a confusion matrix per run, spectrograms
    assert all(picture.startswith(b"\x89PNG\r\n\x1a\n") for picture in pictures)
    assert parsed.tags.count("img") == len(re.findall(r'<img [^>]*alt="[^"]+"', page))


def test_the_comparison_comes_first_and_says_what_it_rests_on(page):
    assert page.index("Accuracy after the last epoch") < page.index("Learning curves")
    assert re.search(r"MrKD \(run 2\) is [\d.]+ percentage points (above|below) CE \(run 1\)", page)
    assert "4 pairs of seeds, 120 test clips" in page
    assert re.search(r"p (=|&lt;) 0\.\d{3}", page)


def test_settings_and_environment_are_on_the_page(page):
    differing = page[page.index("Settings that differ") : page.index("Settings in common")]
    assert "method.temperature" in differing
    assert "train.batch_size" not in differing
    assert "train.batch_size" in page
    assert "packages.torch" in page


def test_few_seeds_lead_to_no_conclusion(tmp_path, undrawn):
    pair = [write_run(tmp_path / "ce", seeds=2, epochs=2), write_run(tmp_path / "mrkd", "mrkd", seeds=2, epochs=2)]
    write_report(pair, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "Fewer than four common seeds: no conclusion." in page
    assert "significant" not in page


def test_hostile_names_are_escaped(tmp_path, undrawn):
    evil = "<script>alert(1)<:script>"
    run = write_run(tmp_path / '"><img src=x onerror=alert(2)>', classes=("<b>bus</b>", evil), seeds=1, epochs=1)
    (run / "environment.json").write_text('{"<svg onload=alert(3)>": "</td><iframe>"}')
    write_report([run], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    parsed = Page(page)
    assert not {"script", "b", "svg", "iframe"} & set(parsed.tags)
    assert parsed.tags.count("img") == 2
    assert "&lt;script&gt;alert(1)" in page
    assert "onerror=alert(2)&gt;" in page


def test_an_existing_page_survives_an_error(runs, tmp_path, undrawn):
    out = tmp_path / "report.html"
    out.write_text("before")
    with pytest.raises(RunError):
        write_report([*runs, tmp_path / "nothing"], out)
    with pytest.raises(StoreError):
        write_report(runs[:1], out, tmp_path / "nothing")
    assert out.read_text() == "before"


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("small") / "run", seeds=1, epochs=1)


@pytest.mark.parametrize(
    "content",
    [b'{"python": ', b"[1]", b"5", b"null", b'"x"', b"", b"\xff\xfe", b"[" * 3000, b'{"a":' * 3000, b"9" * 5000],
    ids=["cut", "list", "number", "null", "text", "empty", "not-utf-8", "deep-list", "deep-object", "long-number"],
)
def test_f3_3_a_damaged_environment_file_is_named(small_run, tmp_path, content, undrawn):
    (small_run / "environment.json").write_bytes(content)
    with pytest.raises(RunError, match=r"environment\.json") as caught:
        write_report([small_run], tmp_path / "report.html")
    assert caught.value.hint == "delete it: the report does without it"


@pytest.mark.parametrize(
    ("content", "shown"),
    [(b'{"python": NaN, "x": [[], {}], "y": {"": {}}}', ["python", "nan", "x", "[[], {}]"]), (b"{}", [])],
    ids=["odd", "empty"],
)
def test_f3_3_odd_values_of_the_environment_are_shown(small_run, tmp_path, content, shown, undrawn):
    (small_run / "environment.json").write_bytes(content)
    write_report([small_run], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    environment = page.partition("<summary>Environment</summary>")[2].partition("</details>")[0]
    assert "<table>" in environment
    assert re.findall("<td>(.*?)</td>", environment) == shown


def test_data_that_are_damaged_or_others_by_now_are_not_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    summary = evaluate(write_run(tmp_path / "run", seeds=1, epochs=1))
    assert data_to_show(summary, None) is None, "they are gone"
    store = open_store(write_feature_store(tmp_path / "exp/store"))
    assert data_to_show(summary, None).digest == store.digest, "a run without a digest takes any"
    section = summary.experiment.data
    for digest, is_shown in ((store.digest, True), ("0" * 64, False)):
        experiment = summary.experiment.model_copy(update={"data": section.model_copy(update={"digest": digest})})
        with nullcontext() if is_shown else pytest.warns(UserWarning, match="holds other data than it was trained on"):
            assert (data_to_show(replace(summary, experiment=experiment), None) is not None) == is_shown
        with nullcontext() if is_shown else pytest.warns(UserWarning, match="holds other data than it was trained on"):
            assert (data_to_show(replace(summary, experiment=experiment), store.folder) is not None) == is_shown
    (store.folder / "features.npy").unlink()
    with pytest.warns(UserWarning, match=r"no data of .*run: .*features\.npy"):
        assert data_to_show(summary, None) is None
    with pytest.raises(StoreError):
        data_to_show(summary, store.folder)


def test_the_page_names_test_clips_that_are_training_clips(tmp_path, undrawn):
    folder = write_feature_store(tmp_path / "store")
    features = np.load(folder / "features.npy")
    features[10] = features[0]
    np.save(folder / "features.npy", features)
    clips = pd.read_csv(folder / "clips.csv")
    clips = clips.assign(split=["train"] * 10 + ["test"] * 10, crc32=[*range(10), 0, *range(11, 20)])
    clips.to_csv(folder / "clips.csv", index=False)
    write_sums(folder)
    run = write_run(tmp_path / "run", seeds=1, epochs=1)
    write_report([run], tmp_path / "report.html", folder)
    known = "1 test clip is a training clip under another name, which makes the accuracy too high: "
    assert f"{known}audio/10.wav is the same recording as the training clip audio/0.wav." in (
        tmp_path / "report.html"
    ).read_text(encoding="utf-8")
    settings = yaml.safe_load((run / "config.yaml").read_text())
    settings["data"]["train_list"] = str(tmp_path / "gone.csv")
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    with pytest.warns(UserWarning, match=r"training clips are not named: .*gone\.csv"):
        write_report([run], tmp_path / "report.html", folder)


def test_a_report_needs_a_run(tmp_path):
    with pytest.raises(RunError, match="no run"):
        write_report([], tmp_path / "report.html")


def test_f3_10_the_report_counts_its_work_and_names_a_folder_at_its_place_early(small_run, tmp_path, undrawn):
    shown = RecordedProgress()
    write_report([small_run], tmp_path / "report.html", progress=shown)
    assert shown.tasks == [("report", 3, "parts", 0, [1, 1, 1])]
    shown = RecordedProgress()
    with pytest.raises(IsADirectoryError):
        write_report([small_run], tmp_path, progress=shown)
    assert shown.tasks[0][-1] == [1], "before the pictures"
