"""`asc-mrkd export --to web`: the page in a real browser gives what `predict` gives."""

import json
import re
import shutil
import wave
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from helpers.browser import CHROMIUM, Browser
from helpers.cli import run_cli

from asc_mrkd import Predictor, export
from asc_mrkd.deploy.choice import read_accuracy
from asc_mrkd.deploy.model_file import ModelFile, load_model, save_model
from asc_mrkd.errors import ConfigError, MissingExtraError
from asc_mrkd.exports import page
from asc_mrkd.features import FrontendSpec
from asc_mrkd.models import build_model
from asc_mrkd.runs import SeedFolder

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
WEB = ROOT / "asc_mrkd/exports/web"
RATE = 8000

PROBABILITIES = "[...document.querySelectorAll('#bars data')].map((element) => Number(element.value))"
IDLE = "document.getElementById('result').ariaBusy === 'false' && document.getElementById('answer').textContent"


def runtime_folder() -> Path | None:
    try:
        return page.find_runtime(ROOT / page.PACKAGE)
    except MissingExtraError:
        return None


needs_browser = pytest.mark.skipif(
    CHROMIUM is None or runtime_folder() is None,
    reason="there is no Chromium" if CHROMIUM is None else "npm install onnxruntime-web",
)


def write_wav(path: Path, samples: np.ndarray) -> Path:
    """Write samples (channel, sample) as PCM of 16 bits."""
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(len(samples))
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(np.round(32767 * samples.T.clip(-1, 1)).astype("<i2").tobytes())
    return path


def draw_sound(number: int, seconds: float, channels: int = 2) -> np.ndarray:
    """Return a chord in noise (channel, sample)."""
    rng = np.random.default_rng(number)
    times = np.arange(round(seconds * RATE)) / RATE
    tones = [np.sin(2 * np.pi * rng.uniform(50, 3900) * times) for _ in range(3)]
    noise = rng.standard_normal((channels, len(times)))
    return 0.1 * sum(tones) + 10 ** rng.uniform(-3, -1) * noise


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory) -> Path:
    """The trained run, normalised for the levels of sounds, so that its probabilities depend on them."""
    folder = tmp_path_factory.mktemp("page") / "run"
    shutil.copytree(trained, folder)
    file = load_model(trained)
    changed = replace(file, mean=np.full_like(file.mean, -0.7), std=np.full_like(file.std, 0.4))
    save_model(folder / "seed0/model.safetensors", changed)
    (folder / "seed0/model.safetensors.sha256").unlink()
    return folder


@pytest.fixture(scope="module")
def folder(run) -> Path:
    """A page, with the true files of onnxruntime-web where they are installed."""
    runtime = runtime_folder()
    if runtime is None:
        runtime = run.parent / "runtime"
        runtime.mkdir()
        for name in page.RUNTIME:
            (runtime / name).write_text(name)
    code = run_cli("export", run, "--to", "web", "--out", run.parent / "page", "--runtime", runtime)
    assert code.code == 0, code.err
    return run.parent / "page"


@pytest.fixture(scope="module")
def address(folder):
    with page.served_page(folder) as place:
        yield place


@pytest.fixture(scope="module")
def steady(run) -> Path:
    """A sound without beginning or end, for the microphone."""
    times = np.arange(4 * RATE) / RATE
    tones = sum(np.sin(2 * np.pi * frequency * times) for frequency in (500, 1250, 2500))
    return write_wav(run.parent / "steady.wav", np.tile(0.2 * tones, (2, 1)))


@pytest.fixture(scope="module")
def browser(steady, tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"), f"--use-file-for-fake-audio-capture={steady}")
    yield browser
    browser.close()


def open_page(browser: Browser, address: str, **options) -> None:
    browser.open(address, **options)
    browser.wait_for("document.getElementById('status').textContent === 'Ready.'")


def hear(browser: Browser, path: Path) -> np.ndarray:
    """Choose a file and return the probabilities that the page shows."""
    browser.choose_file("#file", path)
    browser.wait_for(f"document.getElementById('source').textContent.startsWith('{path.name}') && {IDLE}")
    return np.array(browser.evaluate(PROBABILITIES))


def require_clean(browser: Browser, folder: Path, address: str) -> None:
    """Require a console without complaints, and requests for files of the folder alone."""
    assert browser.complaints() == []
    for request in browser.requests():
        assert request.startswith((address, f"blob:{address}", "data:")), request
        if request.startswith(address):
            assert (folder / request.removeprefix(address)).exists()


@needs_browser
def test_ten_clips_get_the_probabilities_of_predict(browser, run, folder, address, tmp_path):
    lengths = [0.5, 0.5, 0.5, 0.5, 0.3, 0.02, 0.5001, 1.0, 1.7, 2.6]
    clips = [
        write_wav(tmp_path / f"clip{number}.wav", draw_sound(number, seconds, channels=1 + number % 2))
        for number, seconds in enumerate(lengths)
    ]
    predictor = Predictor(run)
    open_page(browser, address)
    found = np.array([hear(browser, clip) for clip in clips])
    expected = np.array([predictor.predict_file(clip) for clip in clips])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert np.ptp(expected, axis=0).max() > 0.1
    best = predictor.classes[expected[-1].argmax()]
    assert browser.evaluate("document.getElementById('answer').textContent").startswith(best)
    parts = browser.evaluate("[...document.querySelectorAll('#segments button')].map((button) => button.ariaLabel)")
    assert re.match(r"0:00 to 0:0\d: \w+, \d+\.\d %", parts[0])
    shown = "document.getElementById('part').textContent"
    assert browser.evaluate(shown) == "Mean of all clips"
    browser.evaluate("document.querySelector('#segments button').click()")
    assert browser.evaluate(shown) == parts[0].partition(": ")[0]
    pixels = "document.getElementById('spectrogram').getContext('2d').getImageData(480, 0, 1, 160).data"
    assert len(set(browser.evaluate(f"Array.from({pixels})"))) > 20
    require_clean(browser, folder, address)


@needs_browser
def test_a_long_file_is_shown_in_linear_time_and_a_former_file_is_let_go(browser, run, address, tmp_path):
    count = """
        globalThis.kept = new Set();
        for (const [name, note] of [["createObjectURL", "add"], ["revokeObjectURL", "delete"]]) {
            const plain = URL[name];
            URL[name] = (value) => { const made = plain.call(URL, value); kept[note](made ?? value); return made; };
        }
    """
    open_page(browser, address, before=count)
    hear(browser, write_wav(tmp_path / "short.wav", draw_sound(0, 0.5)))
    browser.evaluate("""
        globalThis.drawn = 0;
        new MutationObserver((changes) => { for (const change of changes) drawn += change.addedNodes.length; })
            .observe(document.getElementById("segments"), { childList: true });
    """)
    clips = [draw_sound(number, 0.5) for number in range(20)]
    long = write_wav(tmp_path / "long.wav", np.concatenate(clips, axis=1))
    hear(browser, long)
    expected = [segment.name for segment in Predictor(run).time_line(long, every=0.5).segments()]
    shown = "[...document.querySelectorAll('#segments button')].map((button) => button.textContent)"
    assert browser.evaluate(shown) == expected
    assert browser.evaluate("drawn") == len(expected) > 4
    assert browser.evaluate("[...kept]") == [browser.evaluate("document.getElementById('player').src")]


@needs_browser
def test_a_page_in_int8_gives_the_probabilities_of_predict(browser, run, tmp_path):
    result = export(run, tmp_path / "page", "web", "int8", runtime=runtime_folder())
    predictor = Predictor(tmp_path / "page/model.onnx")
    clips = [write_wav(tmp_path / f"clip{number}.wav", draw_sound(number, 0.5)) for number in range(5)]
    with page.served_page(tmp_path / "page") as address:
        open_page(browser, address)
        found = np.array([hear(browser, clip) for clip in clips])
        facts = browser.evaluate("document.getElementById('facts').textContent")
        require_clean(browser, tmp_path / "page", address)
    expected = np.array([predictor.predict_file(clip) for clip in clips])
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.01)
    assert f"in int8, {result.same_decisions} of 6 test clips get the same class" in facts


@needs_browser
def test_the_microphone_is_heard(browser, run, steady, folder, address):
    browser.allow_microphone(address, "granted")
    open_page(browser, address)
    hear(browser, steady)  # the answer of the file is that of the microphone, and has to appear again
    browser.evaluate("document.getElementById('microphone').click()")
    browser.wait_for("document.getElementById('source').textContent === 'Microphone'")
    answer = browser.wait_for("document.getElementById('answer').textContent")
    found = np.array(browser.evaluate(PROBABILITIES))
    predictor = Predictor(run)
    expected = predictor.predict_file(steady)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.05)
    assert answer == predictor.classes[expected.argmax()].replace("_", " ")
    browser.evaluate("document.getElementById('microphone').click()")
    browser.wait_for("document.getElementById('status').textContent === 'The microphone is off.'")
    require_clean(browser, folder, address)


@needs_browser
def test_a_clip_shorter_than_a_block_of_the_recorder_is_heard(browser, tmp_path):
    sizes = {"n_fft": 64, "hop_length": 32, "n_mels": 24}
    spec = FrontendSpec(name="short", sample_rate=RATE, channels=2, clip_seconds=0.04, fmax=4000, **sizes)
    options = {"width": 4, "blocks": [2, 1, 0]}
    torch.manual_seed(0)
    network = build_model("cp_resnet", 2, **options).eval()
    architecture = {"name": "cp_resnet", "num_classes": 2, "options": options}
    mean = np.full((1, 1, 1), -30, np.float32)
    model = tmp_path / "model.safetensors"
    save_model(model, ModelFile(network, architecture, ["bus", "park"], spec.shape, mean, -0.4 * mean, spec))
    export(model, tmp_path / "page", "web", runtime=runtime_folder())
    with page.served_page(tmp_path / "page") as address:
        browser.allow_microphone(address, "granted")
        open_page(browser, address)
        browser.evaluate("document.getElementById('microphone').click()")
        browser.wait_for("document.getElementById('answer').textContent")
        assert sum(browser.evaluate(PROBABILITIES)) == pytest.approx(1)
        require_clean(browser, tmp_path / "page", address)


@needs_browser
def test_faults_are_explained_on_the_page(browser, address, tmp_path):
    status = "document.querySelector('#status.error')?.textContent"
    browser.allow_microphone(address, "denied")
    open_page(browser, address)
    browser.evaluate("document.getElementById('microphone').click()")
    assert "The microphone was refused" in browser.wait_for(status)
    (tmp_path / "letter.txt").write_text("no sound")
    browser.choose_file("#file", tmp_path / "letter.txt")
    assert browser.wait_for(f"{status}.startsWith('letter.txt') && {status}").startswith(
        "letter.txt is not a sound that this browser can read"
    )
    browser.choose_file("#file", write_wav(tmp_path / "silent.wav", np.zeros((2, 4000))))
    browser.wait_for(f"{status} === 'silent.wav is silent: there is nothing to hear.'")
    browser.choose_file("#file", write_wav(tmp_path / "sound.wav", draw_sound(0, 0.5)))
    browser.wait_for(f"{IDLE} && {status} === undefined")
    assert browser.complaints() == []
    browser.open(address, before="delete globalThis.WebAssembly")
    assert "This browser has no WebAssembly" in browser.wait_for(status)


@needs_browser
@pytest.mark.parametrize("width", [390, 1920])
def test_nothing_is_wider_than_the_page_and_all_controls_have_names(browser, address, tmp_path, width):
    open_page(browser, address, width=width)
    hear(browser, write_wav(tmp_path / f"{'long' * 20}.wav", draw_sound(3, 3)))
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    controls = [node for node in nodes if node.get("role", {}).get("value") in ("button", "image", "list", "region")]
    assert len(controls) >= 6
    assert not [node for node in controls if node["role"]["value"] != "list" and not node["name"]["value"]]


def test_the_folder_holds_the_page_and_its_facts(run, folder):
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    others = {"model.onnx", "page.json", "README.md", "report.json", "runtime/ort.js", "runtime/ort.wasm"}
    assert names == others | set(page.FILES) == others | {path.name for path in WEB.iterdir()}
    facts = json.loads((folder / "page.json").read_text())
    accuracy = read_accuracy(SeedFolder(run / "seed0"))
    assert (facts["accuracy"], facts["test_clips"]) == (accuracy.share, 6)
    assert (facts["classes"], facts["samples"], facts["channels"]) == (["bus", "park", "tram"], 4000, 2)
    assert "`index.html` classifies sounds in a browser" in (folder / "README.md").read_text()
    assert not re.search(r"https?://\w", "".join((folder / name).read_text() for name in page.FILES))
    sound = write_wav(run.parent / "sound.wav", draw_sound(1, 0.5))
    found = Predictor(folder / "model.onnx").predict_file(sound)
    np.testing.assert_allclose(found, Predictor(run).predict_file(sound), rtol=0, atol=1e-4)


def test_the_spectrogram_has_the_colours_of_the_report():
    table = re.search(r"const MAGMA = (\[.*?\n\]);", (WEB / "page.js").read_text(), re.DOTALL)
    colours = np.array(eval(table[1]))
    magma = matplotlib.colormaps["magma"](np.linspace(0, 1, len(colours)))[:, :3]
    np.testing.assert_allclose(colours, 255 * magma, rtol=0, atol=3)


def test_what_is_missing_is_named(run, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for runtime in (None, tmp_path):
        with pytest.raises(MissingExtraError, match="onnxruntime-web") as raised:
            export(run, tmp_path / "page", "web", runtime=runtime)
        assert raised.value.hint == "npm install onnxruntime-web"
    with pytest.raises(ConfigError, match="no web precision 'float16'"):
        export(run, tmp_path / "page", "web", "float16")
    assert not list(tmp_path.iterdir())
