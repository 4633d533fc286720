"""The benchmark of the methods: what it counts on a run is what the registry declares."""

from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from asc_mrkd.config import MethodConfig
from asc_mrkd.methods import METHODS, check_method
from asc_mrkd.models import build_model
from asc_mrkd.mrkd.networks import state_of

TOOLS = Path(__file__).parents[2] / "tools"
SMALL = {"depth": 8, "width": 4}
"""Options of the network that is trained."""


def test_counted_passes_are_the_declared_ones(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(TOOLS)
    import bench_methods
    import benchmark

    # What is counted does not depend on the size.
    monkeypatch.setattr(benchmark.Bench, "batch", 4)
    # In bfloat16 a new teacher is folded, which runs it twice: once in an interval, which is one step here.
    monkeypatch.setattr("asc_mrkd.engine.loop.trainer.has_fast_bfloat16", lambda device: False)
    monkeypatch.setattr(bench_methods, "Bench", partial(benchmark.Bench, options=SMALL))
    csv = tmp_path / "benchmarks.csv"
    bench_methods.main(["--steps", "1", "--rounds", "1", "--device", "cpu", "--csv", str(csv)])
    printed = capsys.readouterr().out.splitlines()
    assert max(map(len, printed)) <= 80
    assert any(line.startswith("A backup costs ") for line in printed)

    lines = pd.read_csv(csv).pivot_table(index="part", columns="unit", values="theirs")
    assert {part.split()[0] for part in lines.index} == {n for n, row in METHODS.items() if not row.needs_teachers}
    for part, counted in lines.iterrows():
        name, *options = part.split()
        section = check_method(MethodConfig(name=name, **dict(option.split("=") for option in options)))
        passes = METHODS[name].passes(section.options)
        assert (counted["forwards/step"], counted["backwards/step"]) == passes, part
    backups = lines.loc[[f"mrkd num_backups={n}" for n in (1, 3, 5)], "extra bytes"]
    network = sum(tensor.nbytes for tensor in state_of(build_model("resnet20", 100, **SMALL)).values())
    assert backups.diff()[1:].tolist() == pytest.approx([2 * (network + 4 * 100 * 100)] * 2), "tensors and ensemble"
