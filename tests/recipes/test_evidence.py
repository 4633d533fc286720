"""tools/evidence.sh: its stages by dry runs, and one of them as a whole at a tiny size."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "evidence.sh"


@pytest.fixture
def start(tmp_path):
    """Return a function that starts the script in an empty folder."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def run(*options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", str(SCRIPT), *options], cwd=tmp_path, env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            # Tests in the background of a shell ignore SIGINT, and what they start would too.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip

    return run


def outcome(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def test_stages_are_listed_and_wrong_options_stop_it(start, tmp_path):
    code, out, _ = outcome(start("--list"))
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list("12345")
    for options, message in (
        (["--tpy"], "unknown option --tpy"),
        (["--toy", "--jobs", "0"], "--jobs takes a number"),
        (["--jobs=2"], "--data DIR is needed"),
    ):
        code, _, err = outcome(start(*options))
        assert (code, message in err) == (2, True), err
    assert not list(tmp_path.iterdir())


def test_a_dry_run_shows_the_protocol(start, tmp_path):
    code, out, err = outcome(start("--data", "cifar", "--dry-run", "--jobs", "4", "method.alpha=0.3"))
    assert code == 0, err
    commands = [line.removeprefix("+ asc-mrkd ") for line in out.splitlines() if line.startswith("+ ")]
    trained = [line for line in commands if line.startswith("train") and "/cifar100/tables/" in line]
    runs = {line.split(" --out ")[1].split()[0].rpartition("table2_")[2] for line in trained}
    names = ("ce", "pskd", "mrkd", "mrkd_robust", "mrkd_chosen")
    assert runs == {f"{network}_{name}" for network in ("resnet20", "resnet32") for name in names}
    assert len(trained) == len(runs) * 4  # seeds
    assert all("held_out" not in line for line in trained)
    tuned = [line for line in commands if line.startswith("sweep")]
    assert all("data.held_out=5000" in line for line in tuned)
    assert "method.teacher_bn=eval,batch method.before_first=init,ramp,skip" in tuned[0]
    assert "method.alpha=0.1,0.3,0.5,0.7,0.9 method.temperature=2,3,4" in tuned[1]
    assert "method.ensemble_input=raw,temperature,layernorm method.adjustment_gradient=literal,detached" in tuned[2]
    assert ["method.alpha=0.3" in line for line in tuned] == [False, False, True]  # what was chosen holds from there on
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_stage_is_stopped_and_continued(start, tmp_path):
    options = ["--toy", "--stage", "1", "--stop-stage", "1", "--seeds", "0", "--jobs", "2", "--out", "out"]
    options += ["data.subset=40", "train.epochs=15"]
    process = start(*options)
    runs = tmp_path / "out" / "first"
    while process.poll() is None and not list(runs.glob("*/seed0/checkpoint.pt")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    code, _, err = outcome(process)
    assert code == 3, err
    assert "the same command continues" in err
    assert len(list(runs.glob("*/seed0/model.safetensors"))) < 4
    code, out, err = outcome(start(*options))
    assert code == 0, err
    assert "a person reads this table" in out
    table = pd.read_csv(runs / "sweep.csv")
    assert table[["method.teacher_bn", "method.before_first"]].to_numpy().tolist() == [
        [bn, first] for bn in ("eval", "batch") for first in ("init", "ramp")
    ]
