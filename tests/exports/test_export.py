"""`asc-mrkd export`: a folder that computes what the network does, with all that is needed to check it elsewhere."""

import functools
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import PIL.Image
import pytest
import torch
from helpers.cli import run_cli, run_json
from helpers.files import names_in
from helpers.progress import RecordedProgress

from asc_mrkd import Predictor, check_budget, export
from asc_mrkd.compression import quantise
from asc_mrkd.deploy import onnx_file
from asc_mrkd.deploy.model_file import ModelFile, load_model, save_model
from asc_mrkd.errors import ConfigError, MissingExtraError, ModelError, RunError
from asc_mrkd.exports import exporter, parity, parity_check
from asc_mrkd.exports.c_code import compiled
from asc_mrkd.models import build_model

pytestmark = pytest.mark.slow

FILES = {"README.md", "frontend.npz", "model.json", "report.json"}
PARITY = {"check.py", "clip1.wav", "clip2.wav", "clip3.wav", "parity.json", "parity.npz"}


@pytest.fixture(scope="module")
def graph(trained, tmp_path_factory):
    """The trained network as ONNX."""
    path = tmp_path_factory.mktemp("graph") / "graph.onnx"
    onnx_file.save_onnx(path, load_model(trained))
    return path


@pytest.fixture(scope="module", autouse=True)
def made_once(graph):
    """Let all exports share the graph that torch writes, and the scenes: both take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (exporter, quantise):
            patch.setattr(module, "save_onnx", lambda path, file: shutil.copyfile(graph, path))
        patch.setattr(parity, "render_clip", functools.cache(parity.render_clip))
        yield


@pytest.fixture(scope="module")
def float32(trained, tmp_path_factory):
    """An export of the trained run in float32, and the progress that it reported."""
    progress = RecordedProgress()
    result = export(trained, tmp_path_factory.mktemp("new") / "board", progress=progress)
    return result, progress


def test_float32_computes_what_the_network_does(trained, float32):
    result, progress = float32
    assert progress.tasks == [("exporting", 3, "parts", 0, [1, 1, 1])]
    file = load_model(trained)
    x = torch.randn(3, *file.input_shape)
    with torch.no_grad():
        expected = file.model(x).numpy()
    model = result.path / "model.onnx"
    np.testing.assert_allclose(load_model(model).model(x).numpy(), expected, rtol=0, atol=1e-4)
    assert Predictor(model).classes == file.classes
    assert result.largest_difference < 1e-4
    assert (result.inputs, result.compared, result.same_decisions) == ("test clips", 6, 6)
    verdict = check_budget(model)
    assert (result.flash, result.ram) == (sum(row.bytes for row in verdict.layers), verdict.memory.peak)
    assert result.multiply_adds == verdict.multiply_adds
    assert verdict.batch_norm == 0, "batch normalisation is part of the convolutions"
    assert [path.name for path in result.path.parent.iterdir()] == ["board"]


def test_the_folder_holds_classes_front_end_report_and_card(trained, float32):
    folder = float32[0].path
    file = load_model(trained)
    assert names_in(folder) == FILES | {"model.onnx", "parity"}
    assert names_in(folder / "parity") == PARITY
    description = json.loads((folder / "model.json").read_text())
    assert (description["classes"], description["frontend"]["n_mels"]) == (file.classes, file.frontend.n_mels)
    arrays = np.load(folder / "frontend.npz")
    assert arrays["filters"].shape == (file.frontend.n_mels, file.frontend.n_fft // 2 + 1)
    np.testing.assert_array_equal(arrays["mean"], file.mean)
    report = json.loads((folder / "report.json").read_text())
    assert report["ram"] == max(layer["live_bytes"] for layer in report["ram_layers"])
    assert report["files"]["model.onnx"] == (folder / "model.onnx").stat().st_size == report["file_bytes"]
    card = (folder / "README.md").read_text()
    assert "6 of 6 test clips get the same class" in card
    assert all(name in card for name in (*file.classes, file.frontend.name, f"{report['flash']:,} bytes"))


def test_the_bundle_repeats_the_comparison(float32, capsys):
    assert parity_check.compare(float32[0].path / "parity") == []
    assert "decisions: 3 of 3 as exported, 3 as the trained network" in capsys.readouterr().out


def test_the_bundle_needs_nothing_of_ours_and_notices_a_change(float32, tmp_path):
    folder = tmp_path / "board"
    shutil.copytree(float32[0].path, folder)
    code = "import sys; sys.modules['asc_mrkd'] = sys.modules['torch'] = None; sys.argv = ['check.py']\n"
    code += f"exec(compile(open({str(folder / 'parity/check.py')!r}).read(), 'check.py', 'exec'), "
    code += f"{{'__name__': '__main__', '__file__': {str(folder / 'parity/check.py')!r}}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "all within the tolerances"), done.stderr
    model = onnx.load(folder / "model.onnx")
    weight = next(tensor for tensor in model.graph.initializer if tensor.name.startswith("head"))
    weight.CopyFrom(onnx.numpy_helper.from_array(2 * onnx.numpy_helper.to_array(weight) + 1, weight.name))
    onnx.save(model, folder / "model.onnx")
    assert "logits" in parity_check.compare(folder / "parity")


def test_a_model_file_needs_no_data(trained, tmp_path):
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((trained / "seed0/model.safetensors").read_bytes())
    result = export(alone, tmp_path / "board", with_frontend=True)
    assert (result.inputs, result.compared) == ("random inputs", 16)
    assert parity_check.compare(result.path / "parity") == []
    wav = result.path / "parity/clip1.wav"
    found = Predictor(result.path / "model.onnx").predict_file(wav)
    np.testing.assert_allclose(found, Predictor(alone).predict_file(wav), rtol=0, atol=1e-4)
    with pytest.raises(ModelError, match="takes samples, not spectrograms"):
        load_model(result.path / "model.onnx")


def test_float16_halves_the_weights(trained, float32, tmp_path):
    result = export(trained, tmp_path / "half", precision="float16")
    assert (2 * result.flash, 2 * result.ram) == (float32[0].flash, float32[0].ram)
    assert result.largest_difference < 0.02
    assert parity_check.compare(result.path / "parity") == []


def test_int8_is_calibrated_as_compress_does_it(trained, tmp_path):
    arguments = ("--out", tmp_path / "int8", "--precision", "int8", "--with-frontend")
    code, record = run_json("export", trained, *arguments)
    assert code == 0
    assert (record["precision"], record["inputs"], record["with_frontend"]) == ("int8", "test clips", True)
    assert record["same_decisions"] >= 0.8 * record["compared"]
    assert run_cli("export", trained, *arguments[:4]).code == 0  # it replaces the first one
    assert run_cli("compress", trained, "int8", "--out", tmp_path / "run").code == 0
    assert (tmp_path / "int8/model.onnx").read_bytes() == (tmp_path / "run/seed0/model.onnx").read_bytes()
    assert record["flash"] == sum(row.bytes for row in check_budget(tmp_path / "int8/model.onnx").layers)


@pytest.mark.skipif(compiled.find_compiler() is None, reason="there is no C compiler")
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_c_is_compiled_and_compared(trained, precision, tmp_path):
    result = export(trained, tmp_path / "c", "c", precision)
    assert names_in(result.path) == FILES | {"main.c", "frontend.c", "frontend.h", "model.c", "model.h", "parity"}
    assert result.compared == 6
    assert result.same_decisions >= (6 if precision == "float32" else 5)
    assert parity_check.compare(result.path / "parity") == []
    verdict = check_budget(trained, precision=precision)
    assert verdict.memory.peak < result.ram
    assert f"agreement | {result.same_decisions} of 6 test clips" in (result.path / "README.md").read_text()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A resnet20 for pictures of 32 x 32 pixels, as a model file."""
    torch.manual_seed(0)
    network = build_model("resnet20", 3)
    with torch.no_grad():
        x = torch.randn(8, 3, 32, 32) + torch.linspace(-2, 2, 8).reshape(-1, 1, 1, 1)  # dark to bright
        network.train()(x)
        network.eval()
        network.linear.weight.mul_(20)
        network.linear.bias.sub_(network(x).mean(0))
    mean = np.array([125.0, 123.0, 114.0], np.float32).reshape(3, 1, 1)
    architecture = {"name": "resnet20", "num_classes": 3, "options": {}}
    path = tmp_path_factory.mktemp("pictures") / "m.safetensors"
    save_model(path, ModelFile(network, architecture, ["cat", "dog", "ship"], (3, 32, 32), mean, mean / 2, None))
    return path


@pytest.mark.skipif(compiled.find_compiler() is None, reason="there is no C compiler")
def test_c_reads_pictures_as_predict_does(pictures, tmp_path, monkeypatch):
    for module in (exporter, quantise):
        monkeypatch.setattr(module, "save_onnx", onnx_file.save_onnx)
    result = export(pictures, tmp_path / "c", "c")
    assert names_in(result.path) == {"README.md", "model.json", "report.json", "main.c", "model.c", "model.h", "parity"}
    assert (result.with_frontend, result.compared, result.same_decisions) == (False, 16, 16)
    assert parity_check.compare(result.path / "parity") == []
    strict = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-fsanitize=address,undefined"]
    program = tmp_path / "classify"
    subprocess.run(["gcc", *strict, "main.c", "model.c", "-lm", "-o", program], cwd=result.path, check=True)
    predictor = Predictor(pictures)
    decisions = set()
    for number in range(5):
        pixels = np.random.default_rng(number).integers(50 * number, 50 * number + 50, (32, 32, 3), dtype=np.uint8)
        picture = tmp_path / f"{number}.ppm"
        PIL.Image.fromarray(pixels).save(picture)
        printed = subprocess.run([program, picture], capture_output=True, text=True, check=True).stdout
        found = predictor.predict(picture)
        pairs = zip(found.classes, found.probabilities, strict=True)
        assert printed == f"{picture}  {'  '.join(f'{name} {probability:.3f}' for name, probability in pairs)}\n"
        decisions.add(found.classes[0])
    assert len(decisions) > 1
    content = picture.read_bytes()
    refused = {
        content[:100]: "its end is missing",
        content.replace(b"32 32", b"32 31", 1): "another size",
        content.replace(b"255", b"65535", 1): "8 bits per channel",
        content.replace(b"P6", b"P3", 1): "it is not a binary PPM file",
        b"": "it is not a binary PPM file",
    }
    for wrong, reason in refused.items():
        (tmp_path / "wrong.ppm").write_bytes(wrong)
        done = subprocess.run([program, tmp_path / "wrong.ppm"], capture_output=True, text=True)
        assert (done.returncode, reason in done.stderr) == (2, True), done.stderr
    assert subprocess.run([program, tmp_path / "nowhere"], capture_output=True).returncode == 2
    assert "`./classify FILE.ppm`" in (result.path / "README.md").read_text().replace("&& ", "`")
    assert "frontend" not in (result.path / "README.md").read_text()


def test_pictures_have_no_page_and_one_normalisation_per_channel(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(exporter, "find_runtime", lambda folder: folder)
    with pytest.raises(ConfigError, match="a network for pictures has no front end"):
        export(pictures, tmp_path / "page", "web")
    file = load_model(pictures)
    mean = np.zeros((3, 32, 1), np.float32)
    save_model(tmp_path / "m.safetensors", replace(file, mean=mean, std=mean + 1))
    with pytest.raises(ConfigError, match="the mean differs from place to place"):
        export(tmp_path / "m.safetensors", tmp_path / "c", "c")
    grey = {"name": "resnet20", "num_classes": 3, "options": {"in_channels": 1}}
    one = np.ones((1, 1, 1), np.float32)
    network = build_model("resnet20", 3, in_channels=1)
    save_model(tmp_path / "m.safetensors", ModelFile(network, grey, file.classes, (1, 32, 32), 0 * one, one, None))
    with pytest.raises(ConfigError, match=r"pictures with 1 channel\(s\), and the C code reads those with 3"):
        export(tmp_path / "m.safetensors", tmp_path / "c", "c")
    with pytest.raises(ModelError, match=r"pictures with 1 channel\(s\), and pictures are read in RGB"):
        Predictor(tmp_path / "m.safetensors")


def test_c_without_a_compiler_says_so(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(exporter, "find_compiler", lambda: None)
    outcome = run_cli("export", trained, "--to", "c", "--out", tmp_path / "c")
    assert (outcome.code, "not compared: there is no C compiler" in outcome.out) == (0, True)
    assert "not measured: there was no C compiler" in (tmp_path / "c/README.md").read_text()
    report = json.loads((tmp_path / "c/report.json").read_text())
    assert (report["compared"], report["largest_difference"], report["same_decisions"]) == (0, None, 0)
    with np.load(tmp_path / "c/parity/parity.npz") as data:
        assert set(data) == {"features", "mean", "std", "logits"}
        features = data["features"].transpose(0, 1, 3, 2).reshape(3, -1)
        other = np.roll(data["logits"], 1, axis=1)  # the same values, other decisions
    monkeypatch.setattr(parity_check, "run_c", lambda *_: np.concatenate([features, other], axis=1))
    facts = json.loads((tmp_path / "c/parity/parity.json").read_text())
    facts["tolerances"]["outputs"] = 1e3
    (tmp_path / "c/parity/parity.json").write_text(json.dumps(facts))
    assert parity_check.compare(tmp_path / "c/parity") == []


@pytest.mark.parametrize("to", ["onnx", "c"])
def test_an_int8_network_that_decides_otherwise_is_named(trained, tmp_path, monkeypatch, to):
    def save_shifted(path, file, train):
        file.model.head[1].bias.data[0] += 1e3  # from here on every clip gets the first class
        onnx_file.save_onnx(path, file)
        file.model.head[1].bias.data[0] -= 1e3

    monkeypatch.setattr(exporter, "save_int8", save_shifted)
    outcome = run_cli("export", trained, "--to", to, "--precision", "int8", "--out", tmp_path / "board")
    report = json.loads((tmp_path / "board/report.json").read_text())
    others = 6 - report["same_decisions"]
    sentence = f"in int8, {others} of 6 test clips get another class than from the trained network: export it in "
    sentence += "float32, or measure the accuracy that is left: asc-mrkd compress RUN int8 --out DIR"
    assert (outcome.code, others > 0, report["warning"]) == (0, True, sentence)
    assert f"warning: {sentence}\n" in outcome.err
    assert f"\n**Warning:** {sentence}.\n" in (tmp_path / "board/README.md").read_text()
    assert exporter.Comparison("test clips", 100, 1.0, 90).warning("int8") == ""  # 90 % are enough
    assert exporter.Comparison().warning("int8") == ""  # nothing was compared


@pytest.mark.parametrize("with_frontend", [False, True])
def test_a_network_that_gives_nan_is_not_kept(trained, tmp_path, monkeypatch, with_frontend):
    def run(session, x):
        return np.full((len(x), 3), np.nan, np.float32)

    monkeypatch.setattr(exporter.OnnxSession, "run", run)
    with pytest.raises(ModelError, match="gives NaN or infinite values in float16") as caught:
        export(trained, tmp_path / "half", precision="float16", with_frontend=with_frontend)
    assert "export it in float32" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_the_check_is_printed(trained, tmp_path):
    code, out, _ = run_cli("export", trained, "--out", tmp_path / "board")
    assert code == 0
    assert out.startswith(f"{tmp_path / 'board'}: onnx, float32, flash ")
    assert "compared with the network on 6 test clips: logits differ by up to " in out
    assert "6 of 6 decisions are the same" in out


def test_a_wrong_file_is_not_kept(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "TOLERANCE", -1.0)
    with pytest.raises(ModelError, match="computes something else"):
        export(trained, tmp_path / "board")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_former_export(float32, trained, tmp_path, monkeypatch):
    shutil.copytree(float32[0].path, tmp_path / "board")
    before = {path: path.read_bytes() for path in (tmp_path / "board").rglob("*.*")}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    outcome = run_cli("export", trained, "--out", tmp_path / "board")
    assert (outcome.code, "the disk is full" in outcome.err) == (2, True)
    assert {path: path.read_bytes() for path in (tmp_path / "board").rglob("*.*")} == before
    assert names_in(tmp_path) == {"board"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "onx"}, "no format 'onx'"),
        ({"precision": "int9"}, "no onnx precision 'int9'"),
        ({"to": "c", "precision": "float16"}, "no c precision 'float16'"),
    ],
)
def test_wrong_options(trained, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        export(trained, tmp_path / "board", **options)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_refused(trained, float32, tmp_path, monkeypatch):
    with pytest.raises(ModelError, match="already"):
        export(float32[0].path / "model.onnx", tmp_path / "again")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(RunError, match="is not an export"):
        export(trained, tmp_path / "mine")
    file = load_model(trained)
    save_model(tmp_path / "m.safetensors", replace(file, frontend=file.frontend.model_copy(update={"n_fft": 320})))
    with monkeypatch.context() as context:
        context.setattr(exporter, "_load_data", None)  # it is refused before the work begins
        with pytest.raises(ConfigError, match="n_fft 320 is not a power of two"):
            export(tmp_path / "m.safetensors", tmp_path / "board", "c")
    (tmp_path / "m.safetensors").unlink()
    monkeypatch.setattr(onnx_file.torch.onnx, "export", fail_to_export)
    with pytest.raises(ModelError, match=r"has the operator aten\.strange\.default, which ONNX does not have"):
        onnx_file.save_onnx(tmp_path / "board.onnx", load_model(trained))
    for name in ("onnx", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError) as raised:
        export(trained, tmp_path / "board")
    assert raised.value.hint == "pip install 'asc-mrkd[deploy]'"
    assert names_in(tmp_path) == {"mine"}


def fail_to_export(*_: object, **__: object) -> None:
    """Fail as torch does for an operator that it cannot write."""
    raise RuntimeError("No ONNX function found for <OpOverload(op='aten.strange', overload='default')>.")
