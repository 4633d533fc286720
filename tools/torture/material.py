"""Targets of the attacks: a small store, small images, recordings, their experiments, and undisturbed runs of them."""

import shutil
from functools import cached_property
from pathlib import Path

import yaml
from helpers.data import draw_images, make_store, write_experiment
from helpers.store import Recordings, write_recordings, write_spec

from torture.trials import run

METHODS = ("ce", "mrkd", "pskd", "ema_teacher", "dlb", "dml")
"""Methods whose state differs in kind: none, backups, stored predictions, a moving average, the last batch, peers."""

CLIPS = 120
"""Recordings of the extraction."""


class Material:
    """Everything below one folder, made when it is first needed and used by all attacks.

    Args:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def store(self) -> Path:
        """A finished feature store of three classes."""
        folder = self.folder / "store"
        if not folder.exists():
            make_store(folder)
        return folder

    @cached_property
    def scenes(self) -> Path:
        """The experiment of that store."""
        return write_experiment(self.folder / "scenes.yaml", self.store)

    @cached_property
    def images(self) -> Path:
        """The experiment of a small image set."""
        folder = self.folder / "images"
        if not folder.exists():
            draw_images(folder)
        values = {
            "data": {"images": str(folder)},
            "model": {"name": "resnet20", "options": {"depth": 8, "width": 4}},
            "method": {"name": "mrkd", "interval": 5},
            "augment": {"pad": 2, "flip": True},
            "train": {"epochs": 6, "batch_size": 10, "optimizer": {"lr": 0.05}, "threads": 1},
        }
        path = self.folder / "images.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    @cached_property
    def recordings(self) -> Recordings:
        """Recordings in the official layout."""
        folder = self.folder / "recordings"
        if folder.exists():
            shutil.rmtree(folder)
        return write_recordings(folder, CLIPS)

    @cached_property
    def spec(self) -> Path:
        """The front end of the recordings."""
        return write_spec(self.folder / "spec.yaml")

    def trained(self, conf: Path, method: str = "mrkd") -> Path:
        """Return a finished, undisturbed run of seed 0; not to be changed."""
        out = self.folder / "whole" / f"{conf.stem}-{method}"
        if not (out / "seed0" / "model.safetensors").exists():
            code, printed = run(*train_command(conf, method, out), log=self.folder / "whole.log")
            assert code == 0, printed
        return out

    def extracted(self) -> Path:
        """Return the finished, undisturbed store of the recordings; not to be changed."""
        out = self.folder / "whole" / "extracted"
        if not out.exists():
            code, printed = run(*extract_command(self, out), log=self.folder / "whole.log")
            assert code == 0, printed
        return out


def train_command(conf: Path, method: str, out: Path) -> list[object]:
    """Return the arguments that train seed 0 of an experiment with a method."""
    section = "{name: mrkd, interval: 5}" if method == "mrkd" else method
    changes = ["augment.mixup=0"] if method == "pskd" and conf.stem == "scenes" else []
    return ["train", conf, f"method={section}", *changes, "--out", out, "--seeds", 0]


def extract_command(material: Material, out: Path) -> list[object]:
    """Return the arguments that extract the recordings with two workers."""
    data = material.recordings.root
    return ["extract-features", "--data", data, "--spec", material.spec, "--out", out, "--workers", 2]
