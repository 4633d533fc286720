"""Compressed networks: their values, sizes and folders, and the budget that is fitted by trying steps."""

import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.cli import run_cli
from helpers.progress import RecordedProgress

from asc_mrkd import compress, fit_budget
from asc_mrkd.budget import RULES, check_budget
from asc_mrkd.compression import compressor as compressor_module
from asc_mrkd.compression.compressor import LADDER, Compressor, ladder_for
from asc_mrkd.compression.quantise import spread_inputs
from asc_mrkd.compression.steps import parse_steps
from asc_mrkd.compression.table import candidate_cells, candidates_table
from asc_mrkd.deploy.model_file import load_model
from asc_mrkd.engine.data.samples import open_data
from asc_mrkd.errors import ConfigError, MissingExtraError, RunError
from asc_mrkd.evaluation import evaluate
from asc_mrkd.models.pruning import prunable_layers
from asc_mrkd.runs import RunFolder
from asc_mrkd.submission.system import compression_measures


@pytest.fixture(scope="module")
def compressor(trained) -> Compressor:
    return Compressor(trained)


def test_the_network_as_trained_has_the_metrics_of_its_run(compressor, trained):
    candidate = compressor.measure("")
    summary = evaluate(trained)
    assert candidate.metrics.accuracy == summary.per_seed["accuracy"][0]
    assert candidate.metrics.log_loss == pytest.approx(summary.per_seed["log_loss"][0], abs=1e-9)
    assert candidate.budget.bytes == check_budget(trained).bytes
    assert candidate.file_bytes == (trained / "seed0/model.safetensors").stat().st_size


def test_float16_takes_half(compressor, trained, tmp_path):
    before = compressor.measure("")
    after = compressor.write("float16", tmp_path / "half")
    assert after.budget.bytes * 2 == before.budget.bytes
    assert after.metrics.accuracy == pytest.approx(before.metrics.accuracy, abs=0.2)
    stored = load_model(tmp_path / "half")
    original = load_model(trained)
    assert (stored.dtype, original.dtype) == ("float16", "float32")
    for name, tensor in original.model.state_dict().items():
        found = stored.model.state_dict()[name]
        assert found.dtype == tensor.dtype
        if tensor.is_floating_point():
            assert torch.equal(found, tensor.half().float()), name


def test_pruning_leaves_half_of_the_weights(compressor, tmp_path):
    candidate = compressor.write("prune:amount=0.5", tmp_path / "pruned")
    weights = [layer.weight for layer in prunable_layers(load_model(tmp_path / "pruned").model).values()]
    total = sum(w.numel() for w in weights)
    kept = sum(int(w.count_nonzero()) for w in weights)
    assert kept == total - round(0.5 * (total - 1))
    assert candidate.budget.counted == kept


def test_the_folder_is_a_run(compressor, trained, tmp_path):
    out = tmp_path / "new" / "small"
    compressor.write("prune:amount=0.3,scope=layer,kernels=1x1+float16", out)
    record = json.loads((out / "seed0/compression.json").read_text())
    assert record["steps"] == ["prune:amount=0.3,scope=layer,kernels=1x1", "float16"]
    summary = evaluate(out)
    assert (summary.seeds, summary.unfinished_seeds) == ([0], [])
    assert list(out.parent.iterdir()) == [out]
    card = (out / "README.md").read_text()
    (out / "README.md").write_text(card[: card.index("## Yours")] + "## Yours\n\nMade by Ada.\n")
    compressor.write("float16", out)  # a second call replaces it, but not what the user has written
    assert (out / "README.md").read_text().endswith("## Yours\n\nMade by Ada.\n")
    assert json.loads((out / "seed0/compression.json").read_text())["steps"] == ["float16"]
    with pytest.raises(RunError, match="is not a compressed network"):
        compressor.write("float16", trained)
    assert load_model(trained).dtype == "float32"


def test_a_network_compressed_twice_remembers_all_steps(compressor, tmp_path):
    compressor.write("float16", tmp_path / "half")
    Compressor(tmp_path / "half").write("prune:amount=0.5", tmp_path / "both")
    seed = RunFolder(tmp_path / "both").seed_folder(0)
    assert json.loads(seed.compression.read_text())["steps"] == ["float16", "prune:amount=0.5"]
    measures = compression_measures(seed, compressor.experiment, None)
    assert measures == ("weights stored as float16", "magnitude pruning")
    assert "float16, prune:amount=0.5" in (tmp_path / "both/README.md").read_text()


def test_a_seed_of_another_run_or_of_other_steps_is_refused(compressor, tmp_path):
    compressor.write("float16", tmp_path / "half")
    config = tmp_path / "half/config.yaml"
    text = config.read_text()
    config.write_text(text.replace("epochs: 6\n", "epochs: 7\n"))  # so the seed is of another run
    with pytest.raises(RunError, match=r"is of another run: train\.epochs is 6 in it and 7 in"):
        evaluate(tmp_path / "half")
    config.write_text(text)
    compressor.write("prune:amount=0.5", tmp_path / "pruned")
    shutil.copytree(tmp_path / "pruned/seed0", tmp_path / "half/seed1")
    settings = tmp_path / "half/seed1/settings.json"
    settings.write_text(settings.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(RunError, match=r"compressed by the steps prune:amount=0\.5 and float16"):
        evaluate(tmp_path / "half")


def test_the_table_names_the_samples_and_every_verdict(compressor):
    candidate = replace(compressor.measure(""), samples="images")
    budget = check_budget("resnet20", replace(RULES["dcase2020-task1b"], limit=1_000_000, grey_limit=2_000_000))
    cells = [candidate_cells(replace(candidate, budget=verdict))[-1] for verdict in (candidate.budget, budget)]
    assert (budget.decision, cells) == ("grey", ["yes", "grey"])
    assert "of all test images" in candidates_table([candidate], candidate.budget.rule).notes[0]


@pytest.mark.slow
def test_int8_is_written_and_read(compressor, tmp_path):
    before = compressor.measure("")
    after = compressor.write("int8", tmp_path / "int8")
    assert sorted(path.name for path in (tmp_path / "int8/seed0").iterdir()) == [
        "compression.json",
        "model.onnx",
        "model.onnx.sha256",
        "predictions.csv",
        "predictions.csv.sha256",
        "settings.json",
    ]
    assert after.budget.bytes < before.budget.bytes / 2
    assert after.budget.multiply_adds > 0
    assert abs(after.metrics.accuracy - before.metrics.accuracy) <= 0.2
    assert load_model(tmp_path / "int8").classes == load_model(compressor.seed_folder.path).classes
    with pytest.raises(RunError, match=r"is not the model\.safetensors"):
        Compressor(tmp_path / "int8")


def test_calibration_samples_are_normalised_training_samples(compressor):
    train, _ = open_data(compressor.experiment.data).load(torch.device("cpu"))
    batches = list(spread_inputs(train, 3))
    assert [batch.shape for batch in batches] == [(1, *train.gather(slice(0, 1)).shape[1:])] * 3
    np.testing.assert_array_equal(batches[-1], train.normalise(train.gather(slice(len(train) - 1, None))).numpy())


def test_the_ladder_gets_harder_and_fits_the_rule(compressor):
    assert [parse_steps(steps) for steps in LADDER]
    file = compressor.file
    assert list(LADDER) == ladder_for(RULES["dcase2020-task1b"], file)
    in_2022 = ["", "int8", "decompose:factor=2+float16", "decompose:factor=2+int8", "decompose:factor=4+int8"]
    assert ladder_for(RULES["dcase2022-task1"], file) == in_2022


@pytest.mark.parametrize(
    ("change", "factors"),
    [
        ({"options": {"width": 6}}, ["2", "2"]),
        ({"options": {"width": 4, "decomposition": 2}}, []),
        ({"name": "resnet20", "options": {}}, []),
        ({"code": {}}, []),
    ],
)
def test_the_ladder_leaves_out_steps_that_the_network_does_not_allow(compressor, change, factors):
    file = replace(compressor.file, architecture=compressor.file.architecture | change)
    ladder = ladder_for(RULES["dcase2020-task1b"], file)
    assert ladder[:7] == list(LADDER[:7])
    assert [steps.partition("factor=")[2][0] for steps in ladder[7:]] == factors


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("half", "no step 'half'"),
        ("prune", "amount"),
        ("prune:amont=0.3", "amont"),
        ("prune:amount=2", "amount"),
        ("decompose:factor=1", "factor"),
        ("float16:bits=3", "bits"),
        ("float16+int8", "cannot be combined"),
        ("int8+prune:amount=0.1", "cannot be combined"),
        ("float16+float16", "cannot be combined"),
    ],
)
def test_steps_that_are_wrong(compressor, tmp_path, steps, message):
    with pytest.raises(ConfigError, match=message):
        compressor.write(steps, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_runs_that_cannot_be_compressed(tmp_path, trained):
    with pytest.raises(RunError, match="no trained model"):
        Compressor(tmp_path)
    with pytest.raises(ConfigError, match="no rule 'dcase1900'"):
        Compressor(trained, "dcase1900")


def test_fit_budget_keeps_the_first_that_fits(trained, tmp_path):
    options = "--out", tmp_path / "fitted", "--json"
    code, out, _ = run_cli("fit-budget", trained, "--rule", "dcase2020-task1b", *options)
    assert (code, [record["steps"] for record in json.loads(out)]) == (0, [""])
    code, out, _ = run_cli("fit-budget", trained, "--try", "float16", "--try", "prune:amount=0.5", *options)
    assert (code, [record["steps"] for record in json.loads(out)]) == (0, ["float16"])
    assert json.loads((tmp_path / "fitted/seed0/compression.json").read_text())["steps"] == ["float16"]


def test_every_step_has_a_line_of_its_own_in_the_table(compressor):
    cells = candidate_cells(compressor.measure("prune:amount=0.5,scope=layer+float16"))
    assert cells[0].split("\n") == ["prune:amount=0.5,scope=layer+", "float16"]


def test_compress_returns_both_measurements(trained, tmp_path):
    progress = RecordedProgress()
    result = compress(trained, "float16", tmp_path / "half", progress=progress)
    assert (result.before.steps, result.after.steps, result.rule) == ("", "float16", RULES["dcase2020-task1b"])
    assert result.before.budget.bytes == 2 * result.after.budget.bytes
    [(title, total, unit, done, advances)] = progress.tasks
    assert (title, unit, done, sum(advances)) == ("measuring", "clips", 0, total)


def test_fit_budget_without_a_folder_only_measures(trained, tmp_path):
    rule = replace(RULES["dcase2020-task1b"], limit=check_budget(trained).bytes // 2)
    progress = RecordedProgress()
    fitted = fit_budget(trained, rule, progress=progress)
    assert fitted.within
    assert [candidate.steps for candidate in fitted.candidates] == ["", "float16"]
    [(title, total, unit, _, advances)] = progress.tasks
    assert (title, unit, sum(advances)) == ("measuring", "clips", total * 2 / len(LADDER))
    assert not fit_budget(trained, replace(rule, limit=1), steps=iter(["", "float16"])).within


def test_fit_budget_says_no_and_writes_nothing(trained, tmp_path, monkeypatch):
    rule = "dcase2022-task1"  # zeros count there, and a ladder of one's own is taken as it is
    monkeypatch.setitem(RULES, rule, replace(RULES[rule], limit=10))
    options = "--rule", rule, "--try", "prune:amount=0.5", "--out", tmp_path / "fitted"
    code, out, _ = run_cli("fit-budget", trained, *options)
    assert (code, "prune:amount=0.5" in out) == (1, True)
    assert not list(tmp_path.iterdir())


def test_fit_budget_refuses_a_folder_before_it_measures(trained, monkeypatch):
    monkeypatch.setattr(Compressor, "_write_run", None)
    code, _, err = run_cli("fit-budget", trained, "--out", trained)
    assert (code, "is not a compressed network" in err) == (2, True)


def test_t4_data_that_have_moved_are_given_by_their_place(trained, store, tmp_path):
    moved = shutil.copytree(store, tmp_path / "elsewhere")
    run = shutil.copytree(trained, tmp_path / "run")
    config = run / "config.yaml"
    config.write_text(config.read_text().replace(str(store), "gone/store"))
    options = "--out", tmp_path / "small"
    for command in (("compress", run, "float16", *options), ("fit-budget", run, *options)):
        code, _, err = run_cli(*command)
        assert (code, "hint: add where they are now: data.store=FOLDER" in err) == (2, True)
        assert not (tmp_path / "small").exists()
        assert run_cli(*command, f"data.store={moved}").code == 0
        shutil.rmtree(tmp_path / "small")
    code, _, err = run_cli("compress", run, "float16", f"data.sttore={moved}", *options)
    assert (code, "write data.store=FOLDER" in err) == (2, True)
    code, _, err = run_cli("compress", run, "float16", "train.epochs=3", *options)
    assert (code, "is not the place of the data" in err) == (2, True)


def test_everything_is_checked_before_the_data_are_read(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(compressor_module, "Compressor", None)
    with pytest.raises(ConfigError, match="no step 'half'"):
        compress(trained, "half", tmp_path / "new" / "out")
    with pytest.raises(ConfigError, match="no step 'half'"):
        fit_budget(trained, out=tmp_path / "new" / "out", steps=["float16", "half"])
    with pytest.raises(RunError, match="is not a compressed network"):
        compress(trained, "float16", trained)
    with pytest.raises(ConfigError, match="no rule 'dcase1900'"):
        fit_budget(trained, "dcase1900")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match="needs onnx"):
        compress(trained, "int8", tmp_path / "new" / "out")
    assert not list(tmp_path.iterdir())
