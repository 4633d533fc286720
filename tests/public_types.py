"""Types of the public names for type checkers; `mypy` reads this file, nothing runs it."""

from pathlib import Path
from typing import assert_type

import torch

import asc_mrkd
from asc_mrkd.budget import Verdict
from asc_mrkd.config import Experiment
from asc_mrkd.datasets.findings import DataCheck
from asc_mrkd.deploy.model_file import ModelFile
from asc_mrkd.evaluation import RunSummary
from asc_mrkd.mrkd import Losses
from asc_mrkd.runs import RunFolder
from asc_mrkd.store.layout import FeatureStore
from asc_mrkd.submission import Problem


def use_the_public_names(x: torch.Tensor, y: torch.Tensor) -> None:
    model = asc_mrkd.build_model("cp_resnet", num_classes=10)
    assert_type(model, torch.nn.Module)
    mrkd = asc_mrkd.MemoryReplay(model, num_classes=10)
    assert_type(mrkd, asc_mrkd.MemoryReplay)
    assert_type(mrkd.forward(x, y), Losses)
    predictor = asc_mrkd.Predictor("exp/ce")
    assert_type(predictor.classes, list[str])
    assert_type(asc_mrkd.load_model("exp/ce"), ModelFile)
    experiment = asc_mrkd.load_experiment("conf.yaml")
    assert_type(experiment, Experiment)
    assert_type(asc_mrkd.extract("scenes", "exp/store"), FeatureStore)
    assert_type(asc_mrkd.fit_experiment("exp/store"), Experiment)
    assert_type(asc_mrkd.train(experiment, "exp/ce", seeds=[0]), RunFolder)
    assert_type(asc_mrkd.evaluate("exp/ce"), RunSummary)
    assert_type(asc_mrkd.check_budget("exp/ce"), Verdict)
    assert_type(asc_mrkd.check_data("scenes"), DataCheck)
    assert_type(asc_mrkd.make_submission("exp/ce", "task", "label", "out"), Path)
    assert_type(asc_mrkd.check_submission("package.zip", "task"), list[Problem])


def mistype_a_public_name() -> None:
    print(asc_mrkd.MemoryReply)  # type: ignore[attr-defined]
