"""Data parallelism: two processes on the CPU, joined by gloo, against one."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
import safetensors.torch
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import yaml
from helpers.warm import warm_command_line
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from asc_mrkd.config import load_experiment
from asc_mrkd.deploy.model_file import ModelFile, save_model
from asc_mrkd.dist import all_gather_rows, all_reduce_sum, local_rows, rank
from asc_mrkd.engine.data.samples import open_data
from asc_mrkd.engine.loop import trainer as trainer_module
from asc_mrkd.engine.loop.parallel import STOP_CHECK_EVERY, any_rank_stops, require_rows
from asc_mrkd.engine.loop.trainer import Trainer
from asc_mrkd.errors import ConfigError
from asc_mrkd.methods import METHODS
from asc_mrkd.mrkd import MemoryReplay
from asc_mrkd.workers import start_early

WITH_BN_OF_THEIR_OWN = {"msd", "byot"}  # early classifiers, which see the rows of their process
SECTIONS = {name: name for name, row in METHODS.items() if not row.needs_teachers} | {
    "mrkd": "{name: mrkd, interval: 2}",
    "mrkd, paper": "{name: mrkd, interval: 2, preset: paper}",
    "mrkd, replay": "{name: mrkd, interval: 2, teachers: replay}",
    "pskd, model": "{name: pskd, source: model}",
    "kd": "{name: kd, teacher_files: TEACHER, loss: dkd}",
    "kd, mrkd": "{name: kd, teacher_files: TEACHER, variant: mrkd}",
}
MIXED = {"ce, Mixup": "ce", "cskd, Mixup": "cskd", "dlb, Mixup": "dlb"}


def network_without_bn(name: str = "", num_classes: int = 3, **options) -> nn.Module:
    layers = nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU(), nn.Flatten()
    model = nn.Sequential(*layers, nn.Linear(72, num_classes))
    model.branch_points = ("1",)
    return model


def trained(conf: Path, section: str, mixup: float = 0.0) -> dict[str, object]:
    """Train for two epochs and return what the method keeps and what the log says.

    Of 30 images, batches of 9 give uneven shares (5 and 4 rows) and a last batch of 2 and 1.
    """
    section = section.replace("TEACHER", str(conf.with_name("teacher.safetensors")))
    overrides = [
        f"method={section}",
        f"augment.mixup={mixup}",
        "data.subset=30",
        "train.batch_size=9",
        "train.epochs=2",
    ]
    experiment = load_experiment(conf, overrides)
    samples, _ = open_data(experiment.data).load(torch.device("cpu"))
    trainer = Trainer(experiment, 0, samples, 3)
    records = []
    while trainer.epoch < trainer.epochs:
        records.append(trainer.train_epoch(lambda amount, note: None, lambda: False))
    return {"state": dict(trainer.method.state_dict()), "losses": [record["loss"] for record in records]}


def save_teacher(conf: Path) -> None:
    """Save an untrained network as the teacher of those methods that need one."""
    experiment = load_experiment(conf)
    source = open_data(experiment.data)
    samples, _ = source.load(torch.device("cpu"))
    trainer = Trainer(experiment, 7, samples, 3)
    statistics = samples.mean.numpy(), samples.std.numpy()
    architecture = {"num_classes": 3, **experiment.model.model_dump()}
    file = ModelFile(trainer.student.eval(), architecture, source.classes, source.input_shape, *statistics, None)
    save_model(conf.with_name("teacher.safetensors"), file)


def own_loop() -> dict[str, object]:
    """Train a user's model in a user's loop, wrapped as users do it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    student = DistributedDataParallel(model) if dist.is_initialized() else model
    mrkd = MemoryReplay(student, 3, num_backups=2, interval=2)
    optimizer = torch.optim.SGD(mrkd.parameters(), lr=0.1, momentum=0.9)
    for step in range(9):
        generator = torch.Generator().manual_seed(step)
        x, y = torch.randn(8, 4, generator=generator), torch.randint(3, (8,), generator=generator)
        loss = mrkd(x[local_rows()], y[local_rows()])
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        mrkd.step()
    parts = {"model": model, "ensemble": mrkd.ensemble}
    return {name: part.state_dict() for name, part in parts.items()} | {"ring": [mrkd.backups[0], mrkd.backups[1]]}


def everything(conf: Path) -> dict[str, object]:
    """Do all that is compared below."""
    original, rows = trainer_module.build_network, torch.arange(14).view(7, 2)
    trainer_module.build_network = network_without_bn
    try:
        found = {name: trained(conf, section) for name, section in SECTIONS.items()}
        found |= {title: trained(conf, name, mixup=0.3) for title, name in MIXED.items()}
    finally:
        trainer_module.build_network = original
    found |= {f"{name}, BN": trained(conf, SECTIONS[name]) for name in ("mrkd", "msd", "ema_teacher")}
    return found | {
        "loop": own_loop(),
        "rows": all_gather_rows(rows[local_rows()]),
        "uneven": all_gather_rows(torch.arange(4) + 10 if rank() else torch.arange(1)),
        "world": all_reduce_sum(torch.ones(1)),
    }


def _joined(rank: int, port: int, conf: Path, folder: Path) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    torch.save(everything(conf), folder / f"{rank}.pt")
    dist.destroy_process_group()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Found(NamedTuple):
    """Results of `everything` in the first of two processes, in the second, and in a process alone."""

    first: dict
    second: dict
    alone: dict


@pytest.fixture(scope="module")
def found(image_values, tmp_path_factory) -> Found:
    folder = tmp_path_factory.mktemp("processes")
    conf = folder / "conf.yaml"
    conf.write_text(yaml.safe_dump(image_values))
    save_teacher(conf)
    start_early()
    mp.start_processes(_joined, (free_port(), conf, folder), nprocs=2, start_method="forkserver")
    first, second = (torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    return Found(first, second, everything(conf))


def tensors(tree) -> list[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        return [tree]
    values = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ()
    return [tensor for value in values for tensor in tensors(value)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [*sorted(SECTIONS.keys() - WITH_BN_OF_THEIR_OWN), "ce, Mixup", "cskd, Mixup", "dlb, Mixup", "loop"]
)
def test_two_processes_give_the_numbers_of_one(found, name):
    """Without batch normalisation, which sees the rows of its process, all sums are those of the whole batch."""
    for a, b in zip(tensors(found.first[name]), tensors(found.alone[name]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    if name in SECTIONS:
        assert found.first[name]["losses"] == pytest.approx(found.alone[name]["losses"], rel=1e-4)


def test_all_processes_hold_the_same_bits(found):
    """Weights, statistics of batch normalisation, backups, ensembles, kept predictions."""
    for name, ours in found.first.items():
        for a, b in zip(tensors(ours), tensors(found.second[name]), strict=True):
            assert torch.equal(a, b), name


def test_rows_come_back_in_the_order_of_the_batch(found):
    assert torch.equal(found.first["rows"], torch.arange(14).view(7, 2))
    assert found.first["world"] == 2
    assert found.alone["world"] == 1


def test_no_row_is_lost_where_a_process_has_more_than_another(found):
    assert found.first["uneven"].tolist() == [0, 10, 11, 12, 13]


def test_a_batch_too_small_to_share_is_refused(monkeypatch):
    monkeypatch.setattr("asc_mrkd.engine.loop.parallel.world_size", lambda: 2)
    require_rows(50, 10)
    with pytest.raises(ConfigError, match="2 processes cannot share a batch of 1"):
        require_rows(51, 10)


def trained_without_torchrun(conf: Path, out: Path) -> dict[str, torch.Tensor]:
    """Train in two processes that find each other by the variables that torchrun sets."""
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    command = warm_command_line("train", conf, "--out", out)
    environments = [{**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank} for rank in ("0", "1")]
    processes = [subprocess.Popen(command, env=environment) for environment in environments]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    return safetensors.torch.load_file(out / "seed0" / "model.safetensors")


def started(conf: Path, out: Path) -> subprocess.Popen:
    """Start `torchrun ... asc-mrkd train`; what it prints goes into a file next to the run folder."""
    launcher = ["torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port()), "--no-python"]
    command = [sys.executable, "-m", *launcher, *warm_command_line("train", conf, "--out", out)]
    with open(out.with_suffix(".log"), "a") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})


def finished(process: subprocess.Popen, out: Path) -> dict[str, torch.Tensor]:
    assert process.wait(timeout=120) == 0, out.with_suffix(".log").read_text()
    return safetensors.torch.load_file(out / "seed0" / "model.safetensors")


def hit(process: subprocess.Popen, number: signal.Signals) -> None:
    """Send a signal: to the launcher, or, if it kills, to one of the two processes that it has started."""
    if number == signal.SIGKILL:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[-1]), number)
    else:
        process.send_signal(number)


@pytest.mark.slow
def test_torchrun_trains_and_continues_to_the_same_bits(image_conf, tmp_path):
    image_conf.write_text(image_conf.read_text().replace("epochs: 4", "epochs: 15"))
    whole = trained_without_torchrun(image_conf, tmp_path / "whole")
    out, log = tmp_path / "parts", tmp_path / "parts" / "metrics.jsonl"
    for number in (signal.SIGTERM, signal.SIGKILL):
        before = len(log.read_text().splitlines()) if log.exists() else 0
        process = started(image_conf, out)
        while process.poll() is None and not (log.exists() and len(log.read_text().splitlines()) > before + 1):
            time.sleep(0.01)
        hit(process, number)
        assert process.wait(timeout=120) != 0
        assert not (out / "seed0" / "model.safetensors").exists()
    parts = finished(started(image_conf, out), out)
    assert all(torch.equal(tensor, parts[name]) for name, tensor in whole.items())
    epochs = [json.loads(line)["epoch"] for line in log.read_text().splitlines()]
    assert epochs == list(range(1, 16))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_stop_is_told_to_all_processes_and_stays(monkeypatch, device):
    monkeypatch.setattr("asc_mrkd.engine.loop.parallel.is_parallel", lambda: True)
    monkeypatch.setattr("asc_mrkd.engine.loop.parallel.is_any", lambda value: value)
    signals = iter([False] * 3 + [True] + [False] * 200)
    ask = any_rank_stops(lambda: next(signals), torch.device(device))
    answers = [ask() for _ in range(250)]
    assert answers == sorted(answers), "once it is true, it stays true"
    assert answers.index(True) == (3 if device == "cpu" else 4 * STOP_CHECK_EVERY - 1)
