"""The benchmark of the teachers: every way takes the passes that the registry declares, and copies what it says."""

from pathlib import Path

import pandas as pd

from asc_mrkd.config import MethodConfig
from asc_mrkd.methods import METHODS, check_method

TOOLS = Path(__file__).parents[2] / "tools"


def test_counted_passes_are_the_declared_ones(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(TOOLS)
    import bench_teachers
    import benchmark

    monkeypatch.setattr(benchmark.Bench, "batch", 4)  # what is counted does not depend on it
    # In bfloat16 a new backup is folded, which runs it twice: once in an interval, which is one step here.
    monkeypatch.setattr("asc_mrkd.engine.loop.trainer.has_fast_bfloat16", lambda device: False)
    monkeypatch.setattr(bench_teachers, "NETWORK_OPTIONS", {"resnet20": {"depth": 8, "width": 8}})
    monkeypatch.setattr(bench_teachers, "BACKUPS", (1, 2))
    csv = tmp_path / "benchmarks.csv"
    bench_teachers.main(["--steps", "1", "--rounds", "1", "--device", "cpu", "--csv", str(csv)])
    printed = capsys.readouterr().out.splitlines()
    assert max(map(len, printed)) <= 80

    counted = [line.split()[:3] for line in printed if line[0] != " " and "f+" in line]
    assert counted[0] == ["plain", "1f+1b", counted[0][2]]
    for title, backups, passes in counted[1:]:
        options = bench_teachers.WAYS[title] | {"num_backups": int(backups)}
        forwards, backwards = METHODS["mrkd"].passes(check_method(MethodConfig(name="mrkd", **options)).options)
        assert passes == f"{forwards}f+{backwards}b", title
    assert len(counted) == 1 + 2 * len(bench_teachers.WAYS)

    peaks = pd.read_csv(csv).query("unit == 'bytes at peak'").set_index("part")["theirs"]
    for title in ("exact/batch", "exact/eval", "cached", "repeat"):
        assert peaks[f"{title} num_backups=2"] > peaks[f"{title} num_backups=1"]
    assert peaks["replay num_backups=2"] < peaks["exact/batch num_backups=2"], "no copy of the network"
