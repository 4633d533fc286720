"""The attack of tools/torture.sh, with a few of its trials; the killed ranks are in engine/test_parallel.py."""

import pytest
from torture.__main__ import ATTACKS, attack, main
from torture.material import Material


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Material:
    """Targets of the attacks."""
    return Material(tmp_path_factory.mktemp("torture"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "ranks"])
def test_every_trial_comes_out_right(name, material):
    tally = attack(name, material, share=0.02)
    assert tally.tried
    assert not tally.wrong


def test_an_unknown_attack_is_refused_with_the_known_ones(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["torture", "--only", "kils"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "there is no attack 'kils'; known: kills, " in capsys.readouterr().err
