"""The catalogue of methods, and that what it says a step costs is what a step does."""

import json

import pytest
import torch
from helpers.cli import run_cli
from torch import nn

from asc_mrkd.config import MethodConfig
from asc_mrkd.methods import METHODS, TrainingContext, build_method, check_method

STEPS, BATCH, CLASSES = 6, 8, 3


class Counting(nn.Module):
    """A network that counts the samples which pass it and its copies, forward and backward."""

    def __init__(self, counts: dict[str, int], seed: int = 0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.ModuleList([nn.Conv2d(1, 4, 3, padding=1), nn.Linear(64, CLASSES)])
        self.count = Counter(counts)

    branch_points = ("layers.0",)

    def forward(self, x):
        self.count("forward", x)
        logits = self.layers[1](self.layers[0](x).relu().flatten(1))
        if logits.requires_grad:
            logits.register_hook(lambda gradient: self.count("backward", gradient))
        return logits


class Counter:
    """Counts for all copies of a network together."""

    def __init__(self, counts: dict[str, int]):
        self.counts = counts

    def __call__(self, kind: str, rows: torch.Tensor) -> None:
        if rows.device.type != "meta":
            self.counts[kind] = self.counts.get(kind, 0) + len(rows)

    def __deepcopy__(self, memo) -> "Counter":
        return self


def context(counts: dict[str, int], generations: int) -> TrainingContext:
    """Return the context of a run of 2 epochs over all generations."""
    return TrainingContext(
        num_classes=CLASSES,
        input_shape=(1, 4, 4),
        train_samples=BATCH,
        epochs=2 // generations,
        steps_per_epoch=STEPS // 2,
        seed=0,
        new_model=lambda seed: Counting(counts, seed),
    )


@pytest.mark.parametrize("name", [name for name, row in METHODS.items() if not row.needs_teachers])
def test_a_step_does_the_passes_that_the_table_declares(name):
    counts: dict[str, int] = {}
    section = check_method(MethodConfig(name=name, **({"interval": 2} if name == "mrkd" else {})))
    method = build_method(section, Counting(counts), context(counts, section.options.get("generations", 1)))
    x, y = torch.randn(BATCH, 1, 4, 4), torch.arange(BATCH) % CLASSES
    supplied = {"index": torch.arange(BATCH), "second_view": x, "pair": x, "previous": None}
    for _ in range(STEPS):  # until all backups are real and the last generation is in progress
        counts.clear()
        losses = method(x, y, **{need: supplied[need] for need in method.needs})
        losses.total.backward()
        method.step()
        supplied["previous"] = (x, y)
    assert (counts["forward"] / BATCH, counts["backward"] / BATCH) == METHODS[name].passes(section.options)


def test_every_method_is_listed_with_its_options():
    listed = {record["name"]: record for record in json.loads(run_cli("methods", "--json").out)}
    assert listed.keys() == METHODS.keys()
    for name, record in listed.items():
        assert record["options"] == check_method(MethodConfig(name=name)).options
        assert record["title"] == METHODS[name].title
        assert record["summary"]
    assert listed["mrkd"]["forwards"] == 4
    assert listed["pskd"]["needs"] == ["sample numbers"]


def test_the_table_keeps_to_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = run_cli("methods").out
    assert max(map(len, out.splitlines())) <= 80
    assert "4f + 1b" in out
