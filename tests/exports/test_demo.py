"""`asc-mrkd demo`: the page of a run is served, and built-in clips are offered where the network is trained for it."""

import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from helpers.audio import make_noise, write_sound
from helpers.cli import run_cli
from helpers.data import SPEC

import asc_mrkd
from asc_mrkd.errors import ConfigError, RunError
from asc_mrkd.exports import demonstration, page


@pytest.fixture
def runtime(tmp_path):
    """Files with the names of those of onnxruntime-web."""
    folder = tmp_path / "runtime"
    folder.mkdir()
    for name in page.RUNTIME:
        (folder / name).write_text(name)
    return folder


def fetch(address: str) -> tuple[str, bytes]:
    """Return the type and the content that a server sends."""
    with urllib.request.urlopen(address, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read()


@pytest.fixture
def quick_export(monkeypatch, runtime):
    """Let the export write the page alone: the network in it has its own tests."""

    def export(run, out, to, runtime, progress):
        out.mkdir(parents=True)
        (out / "model.onnx").write_bytes(b"network")
        about = {"network": "cp_resnet", "precision": "float32", "agreement": ""}
        page.write_page(out, page.find_runtime(runtime), SPEC, ["bus", "park"], None, about)

    monkeypatch.setattr(demonstration, "export", export)


def test_the_page_of_a_run_is_served(trained, tmp_path, runtime, quick_export):
    with asc_mrkd.demo(trained, tmp_path / "demo", runtime) as address:
        assert address.startswith("http://127.0.0.1:")
        assert fetch(address)[1] == (tmp_path / "demo/page/index.html").read_bytes()
        assert fetch(f"{address}page.js")[0] == "text/javascript"
        assert fetch(f"{address}runtime/ort.wasm")[0] == "application/wasm"
        assert json.loads(fetch(f"{address}page.json")[1])["clips"] == []
        port = int(address.rstrip("/").rpartition(":")[2])
        with pytest.raises(ConfigError, match=f"port {port}: "), asc_mrkd.demo(None, tmp_path / "new", runtime, port):
            pass
        assert not (tmp_path / "new").exists(), "a port that is in use is named before the training"
    with pytest.raises(ConfigError, match="port 65536: "), page.served_page(tmp_path, 65536):
        pass
    with pytest.raises(OSError, match="refused"):
        fetch(address)
    (tmp_path / "mine/page").mkdir(parents=True)
    (tmp_path / "mine/page/notes.txt").touch()
    with pytest.raises(RunError, match="is not an export"), asc_mrkd.demo(None, tmp_path / "mine", runtime):
        pass
    assert len(list((tmp_path / "mine").iterdir())) == 1, "a page of someone else is named before the training"


def test_a_browser_that_leaves_in_the_middle_prints_nothing(capsys):
    with page._Server(("127.0.0.1", 0), page._Handler) as server:
        for error in (BrokenPipeError(), ConnectionResetError()):
            try:
                raise error
            except OSError:
                server.handle_error(None, ("127.0.0.1", 1))
        assert capsys.readouterr().err == ""
        try:
            raise ValueError("a fault")
        except ValueError:
            server.handle_error(None, ("127.0.0.1", 1))
        assert "ValueError: a fault" in capsys.readouterr().err


def test_recordings_of_the_same_name_are_kept_apart(tmp_path, runtime):
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"network")
    about = {"network": "cp_resnet", "precision": "float32", "agreement": ""}
    page.write_page(folder, page.find_runtime(runtime), SPEC, ["bus", "tram"], None, about)
    recordings = [(tmp_path / label / "1.wav", label) for label in ("bus", "tram")]
    for level, (path, _) in enumerate(recordings, start=1):
        path.parent.mkdir()
        sf.write(path, np.full((SPEC.samples, SPEC.channels), level / 10), SPEC.sample_rate)
        page.offer_clips(folder, recordings[level - 1 : level])
    offered = json.loads((folder / page.FACTS).read_text())["clips"]
    levels = [sf.read(folder / clip["file"])[0].max() for clip in offered]
    assert [clip["label"] for clip in offered] == ["bus", "tram"]
    np.testing.assert_allclose(levels, [0.1, 0.2], atol=1e-4)


def test_built_in_clips_are_offered(tmp_path, runtime, quick_export, monkeypatch):
    """With noise in place of the clips: 10 s, stereo, 48 kHz."""
    noise = make_noise(2, 480_000)
    chosen = [(write_sound(tmp_path / f"{label}.wav", noise), label) for label in ("airport", "bus")]
    monkeypatch.setattr(demonstration, "train_built_in", lambda out, progress: tmp_path)
    monkeypatch.setattr(demonstration, "choose_clips", lambda store, scenes: chosen)
    with asc_mrkd.demo(out=tmp_path / "demo", runtime=runtime):
        clips = json.loads((tmp_path / "demo/page/page.json").read_text())["clips"]
    assert [clip["label"] for clip in clips] == [label for _, label in chosen]
    for clip in clips:
        found = sf.info(tmp_path / "demo/page" / clip["file"])
        assert (found.samplerate, found.channels, found.frames) == (SPEC.sample_rate, SPEC.channels, 80_000)


def test_the_verb_says_what_it_does_and_ends_with_ctrl_c(trained, tmp_path, runtime, quick_export, monkeypatch):
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("asc_mrkd.cli.demo.wait_forever", interrupt)
    outcome = run_cli("demo", trained, "--out", tmp_path / "demo", "--runtime", runtime)
    assert (outcome.code, outcome.err.splitlines()[-1]) == (0, "the page is no longer served")
    address = re.match(r"(http://127\.0\.0\.1:\d+/) shows the page; Ctrl-C ends it", outcome.out)
    with pytest.raises(OSError, match="refused"):
        fetch(address[1])


def test_a_training_is_announced_before_it_starts(tmp_path, runtime, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise RunError("no training in this test")

    monkeypatch.setattr(demonstration, "train_built_in", refuse)
    outcome = run_cli("demo", "--out", tmp_path / "demo", "--runtime", runtime)
    assert (outcome.code, "no training in this test" in outcome.err) == (2, True)
    assert outcome.err.startswith("a small network is trained on the built-in scenes first: ")


def test_what_is_missing_is_named_before_the_training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = run_cli("demo")
    assert (outcome.code, "hint: npm install onnxruntime-web" in outcome.err) == (2, True)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js")
@pytest.mark.parametrize("name", [name for name in page.FILES if name.endswith(".js")])
def test_the_scripts_of_the_page_can_be_read(tmp_path, name):
    module = shutil.copy(Path(page.__file__).parent / "web" / name, tmp_path / "script.mjs")
    done = subprocess.run(["node", "--check", module], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
