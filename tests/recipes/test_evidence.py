"""tools/evidence.sh: its stages by dry runs, and all of them at a tiny size."""

import os
import signal
import time

import pandas as pd
import pytest
from helpers.recipes import ROOT, printed_commands, printed_stages, run_script, start_script

SCRIPT = ROOT / "tools" / "evidence.sh"


def test_stages_are_listed_and_wrong_options_stop_it(tmp_path):
    listed = run_script(SCRIPT, "--list", "--data", "cifar", folder=tmp_path)
    assert listed.returncode == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list("12345")
    for options, message in (["--tpy"], "unknown option --tpy"), (["--method=ce"], "unknown option --method"):
        done = run_script(SCRIPT, *options, folder=tmp_path)
        assert done.returncode == 2
        assert message in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_dry_run_shows_the_protocol(tmp_path):
    options = ["--data", "cifar", "--dry-run", "--jobs", "4", "method.alpha=0.3", "train.precision=float32"]
    done = run_script(SCRIPT, *options, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    sweeps = [line for line in printed_commands(done.stdout) if line.startswith("sweep")]
    assert all("--seeds 0-3 --jobs 4" in line and "train.precision=float32" in line for line in sweeps)
    assert all("method={name: mrkd, preset: robust" in line for line in sweeps[:3])
    assert ["data.held_out=5000" in line for line in sweeps] == [True, True, True, False, False]
    assert "method.teacher_bn=eval,batch method.warmup=untrained,ramp,skip" in sweeps[0]
    assert "method.alpha=0.1,0.3,0.5,0.7,0.9 method.temperature=2,3,4" in sweeps[1]
    assert "method.ensemble_input=raw,temperature,layernorm method.adjustment_gradient=literal,detached" in sweeps[2]
    paper, robust, chosen = (
        f"{{name: mrkd, preset: {options}}}"
        for options in (
            "paper, num_backups: 3, interval: 25 epochs",
            "robust, num_backups: 3, interval: 25 epochs",
            "robust, num_backups: 3, interval: 25 epochs, alpha: 0.3",
        )
    )
    for network, line in zip(["resnet20", "resnet32"], sweeps[3:], strict=True):
        assert f" model.name={network} method=ce,pskd,{paper},{robust},{chosen} " in line
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_stopped_rehearsal_continues_to_the_end_and_its_figures_stay_out_of_the_pages(tmp_path):
    pages = {path: path.read_bytes() for path in ROOT.glob("recipes/*/RESULTS.md")}
    options = ["--out", "out", "--seeds", "0", "data.subset=40", "train.epochs=2"]
    process = start_script(SCRIPT, *options, folder=tmp_path)
    first = tmp_path / "out" / "first"
    while process.poll() is None and not list(first.glob("*/seed0/checkpoint.pt")):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 3, err
    assert "the same command continues" in err
    assert len(list(first.glob("*/seed0/model.safetensors"))) < 6

    done = run_script(SCRIPT, *options, "--stop-stage", "1", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert printed_stages(done.stdout) == [0, 1]
    table = pd.read_csv(first / "sweep.csv")
    assert table[["method.teacher_bn", "method.warmup"]].to_numpy().tolist() == [
        [bn, warmup] for bn in ("eval", "batch") for warmup in ("untrained", "ramp", "skip")
    ]
    done = run_script(SCRIPT, *options, "--stage", "4", folder=tmp_path)  # stages 2 and 3 are sweeps like stage 1
    assert done.returncode == 0, done.stderr
    assert printed_stages(done.stdout) == [4, 5]
    assert "MrKD" in done.stdout.rpartition("== stage 5")[2]
    assert "</html>" in (tmp_path / "out" / "resnet20.html").read_text()
    assert {path: path.read_bytes() for path in pages} == pages
