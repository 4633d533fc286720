"""Draw the pictures of docs/gallery.md from the runs of `bash recipes/dcase18/run.sh`: docs/pictures/*.png.

python tools/draw_gallery.py exp/dcase18/builtin

It needs Chromium and onnxruntime-web (`npm install onnxruntime-web`), and trains a small sweep first, in the folder
`gallery` next to the runs.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from asc_mrkd import check_budget, export, show_progress, sweep, write_report
from asc_mrkd.exports.demonstration import choose_clips
from asc_mrkd.exports.page import offer_clips, served_page
from asc_mrkd.report.notebook import shrink
from asc_mrkd.report.sweep import draw_points, read_points

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from helpers.browser import Browser

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs/pictures"
SCENES = "scenes/TUT-urban-acoustic-scenes-2018-development"
SWEEP = ["train.optimizer.lr=0.001,0.003,0.01", "method=ce,mrkd", "train.epochs=15", "augment.mixup=0"]
WALK = ("metro", "park", "street_traffic")
"""Classes of the clips that the page hears, one after the other."""

COLOURS = 256
"""Colours of a picture."""

READY = "document.getElementById('status').textContent === 'Ready.'"
ANSWERED = "document.getElementById('result').ariaBusy === 'false' && document.getElementById('answer').textContent"


@contextmanager
def opened_browser(*flags: str) -> Iterator[Browser]:
    """Open a browser with a fresh profile."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(Path(profile), *flags)
        try:
            yield browser
        finally:
            browser.close()


def save(name: str, png: bytes, size: int = 3000) -> None:
    """Write a picture of few colours."""
    path = PICTURES / f"{name}.png"
    path.write_bytes(shrink(png, size, COLOURS))
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


def draw_report(builtin: Path, work: Path) -> None:
    """Draw the beginning of the report."""
    runs = [builtin / "reduced/ce", builtin / "reduced/mrkd"]
    write_report(runs, work / "report.html", builtin / "store", builtin / SCENES, progress=show_progress)
    with opened_browser() as browser:
        browser.open((work / "report.html").absolute().as_uri(), width=1150)
        end = browser.evaluate("document.querySelector('.picture').getBoundingClientRect().bottom")
        save("report", browser.screenshot(height=round(end) + 20))


def draw_sweep(builtin: Path, work: Path) -> None:
    """Train a sweep, if it is not trained, and draw it."""
    conf = ROOT / "recipes/dcase18/conf/reduced.yaml"
    settings = [f"data.store={builtin / 'store'}", *SWEEP]
    points = read_points(sweep(conf, settings, work / "sweep", [0, 1], progress=show_progress))
    picture = draw_points(points)
    assert picture is not None
    save("sweep", picture, 900)


def draw_budget(builtin: Path, work: Path) -> None:
    """Draw the table of a budget as a notebook shows it."""
    verdict = check_budget(builtin / "reduced/mrkd", "dcase2020-task1b", precision="float16")
    page = work / "budget.html"
    page.write_text(f"<!DOCTYPE html><meta charset='utf-8'>{verdict._repr_html_()}", encoding="utf-8")
    with opened_browser() as browser:
        browser.open(page.absolute().as_uri(), width=900)
        save("budget", browser.screenshot())


def draw_page(builtin: Path, work: Path) -> None:
    """Draw the page that listens: on a screen with a file, and on a telephone with the microphone."""
    place = [f"data.store={builtin / 'store'}"]
    export(builtin / "reduced/ce", work / "page", "web", overrides=place, progress=show_progress)
    clips = choose_clips(builtin / "store", builtin / SCENES)
    offer_clips(work / "page", clips)
    walk = work.absolute() / "walk.wav"
    write_walk(walk, [path for path, label in clips if label in WALK])
    with (
        served_page(work / "page") as address,
        opened_browser(f"--use-file-for-fake-audio-capture={walk}") as browser,
    ):
        browser.open(address)
        browser.wait_for(READY)
        browser.choose_file("#file", walk)
        browser.wait_for(ANSWERED)
        save("page", browser.screenshot())
        browser.allow_microphone(address, "granted")
        browser.open(address, width=390, scheme="dark")
        browser.wait_for(READY)
        browser.evaluate("document.getElementById('microphone').click()")
        browser.wait_for("document.querySelectorAll('#segments button').length > 1")
        save("page_phone", browser.screenshot())


def write_walk(path: Path, clips: list[Path]) -> None:
    """Write clips one after the other into a file."""
    recordings = [soundfile.read(clip) for clip in clips]
    samples = np.concatenate([samples for samples, _ in recordings])
    soundfile.write(path, samples, recordings[0][1], subtype="PCM_16")


def main() -> None:
    [folder] = sys.argv[1:]
    builtin = Path(folder)
    work = builtin / "gallery"
    work.mkdir(exist_ok=True)
    draw_report(builtin, work)
    draw_budget(builtin, work)
    draw_page(builtin, work)
    draw_sweep(builtin, work)


if __name__ == "__main__":
    main()
