"""The attack of tools/torture.sh, with a few of its trials.

Killed workers are in tests/store, killed ranks and two writers in tests/engine.
"""

import sys
from importlib import import_module

import pytest
from helpers.recipes import ROOT, run_script

SCRIPT = ROOT / "tools" / "torture.sh"

ATTACKS = "kills,calls,checkpoints,models,stores,predictions,others,values,disks"


@pytest.mark.slow
def test_every_trial_comes_out_right(tmp_path):
    done = run_script(SCRIPT, "--share", 0.005, "--only", ATTACKS, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [line.rsplit(maxsplit=2) for line in done.stdout.splitlines()[1:]]
    assert len(rows) == len(ATTACKS.split(","))
    assert all(tried == right != "0" for _, tried, right in rows)
    calls = rows[ATTACKS.split(",").index("calls")]
    assert calls[1] == "2", "a training and an extraction, each with something to lose"


def test_an_unknown_attack_is_refused_with_the_known_ones(monkeypatch, capsys):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    monkeypatch.setattr(sys, "argv", ["torture", "--only", "kils"])
    with pytest.raises(SystemExit) as end:
        import_module("torture.__main__").main()
    assert end.value.code == 2
    assert "there is no attack 'kils'; known: kills, " in capsys.readouterr().err
