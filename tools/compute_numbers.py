"""The numbers that the package computes: small stores, runs, budgets, compressed networks, submissions and reports.

They come from the command line and the public file formats only, so that modules may move without a change here.
"""

import csv
import hashlib
import json
import os
import runpy
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import soundfile as sf
import yaml

PROCESSES = 2
"""Commands at the same time, each with one thread."""

PRELOADED = (
    "torch._dynamo",
    "pandas",
    "scipy.signal",
    "numba",
    "pydantic",
    "typer",
    "rich.console",
    "safetensors.torch",
)
"""Modules that take seconds to import: they are imported once, and the commands are forked."""

COLUMNS = ("filename", "label", "identifier", "source_label", "split", "status", "frames", "crc32")
"""Recorded columns of a store's clips.csv."""

DEVICES = ("a", "b", "c", "s1", "s2", "s3", "s4", "s5", "s6")
"""Recording devices that the built-in clips are given in turn, because challenges ask for results of each device."""

CLIPS_PER_CLASS = 3
"""Two train, one tests."""

SCENES = f"--clips-per-class {CLIPS_PER_CLASS} --workers 1"
DATA_SETS = {
    "scenes": f"make-scenes data/scenes {SCENES}",
    "three-classes": f"make-scenes data/three-classes {SCENES} --layout tau2020-3class",
    "images": "make-images data/images --per-class 10 --workers 1",
}

STORES = {
    "scenes": "--data data/scenes --spec pmel256",
    "three-classes": "--data data/three-classes --spec pmel256",
    "scenes-mono": "--data data/scenes --spec pmel256_mono",
    "first-seconds": "--data data/first-seconds --spec logmel256",
    "scenes-baseline": "--data data/scenes --spec baseline40",
    "scenes-task2": "--data data/scenes --spec cpjku18_task2",
    "shard1": "--data data/scenes --spec baseline40 --shard 1/2",
    "shard2": "--data data/scenes --spec baseline40 --shard 2/2",
}
"""Options of extract-features, by the name of the store."""

# Convolutions of fewer than 8 channels are wrong in torch's channels_last, so it is switched off.
TRAIN = "device: cpu, threads: 1, channels_last: false, epochs: 2"
EXPERIMENTS = {
    "scenes": f"""
data: {{store: stores/scenes}}
model: {{name: cp_resnet, options: {{width: 4, rho: 3, blocks: [2, 1, 0]}}}}
augment: {{roll_frames: 4, crop_frames: 24}}
train: {{{TRAIN}, batch_size: 4, optimizer: {{lr: 0.05}}}}
seeds: [0, 1]
""",
    "images": f"""
data: {{images: data/images}}
model: {{name: resnet20, options: {{depth: 8, width: 4}}}}
augment: {{pad: 4, flip: true}}
train: {{{TRAIN}, batch_size: 8, optimizer: {{lr: 0.05, weight_decay: 0.0001}}}}
seeds: [0, 1]
""",
}
"""Experiment files of 10 steps (scenes) and 20 steps (images)."""

MIXUP = "augment.mixup=0.3"


def method_override(name: str, options: str = "") -> str:
    """Return the override that chooses a method.

    >>> method_override("pskd", "source: model")
    'method={name: pskd, source: model}'
    """
    return f"method={{name: {name}, {options}}}" if options else f"method={name}"


def mrkd_override(options: str) -> str:
    """Return the override that chooses MrKD with backups from the third step on."""
    return method_override("mrkd", f"interval: 3, {options}")


PLAIN_METHODS = (
    "ce",
    "label_smoothing",
    "pskd",
    "msd",
    "byot",
    "dml",
    "ban",
    "cskd",
    "ema_teacher",
    "dlb",
    "tfkd_reg",
)

METHODS: dict[str, list[str]] = {
    **{name: [method_override(name)] for name in PLAIN_METHODS},
    "ce-mixup": [method_override("ce"), MIXUP],
    "pskd-model-mixup": [method_override("pskd", "source: model"), MIXUP],
    "mrkd-paper": [mrkd_override("preset: paper")],
    "mrkd-paper-mixup": [mrkd_override("preset: paper"), MIXUP],
    "mrkd-robust": [mrkd_override("preset: robust")],
    "mrkd-robust-mixup": [mrkd_override("preset: robust"), MIXUP],
}
"""Overrides of the runs on scenes and on images."""

ABLATIONS: dict[str, str] = {
    "mrkd-plain": "variant: plain",
    "mrkd-no_ka": "variant: no_ka",
    "mrkd-no_fcn": "variant: no_fcn",
    "mrkd-mean": "variant: mean",
    "mrkd-revision": "adjustment: revision",
    "mrkd-skip_wrong": "adjustment: skip_wrong",
    "mrkd-mask": "adjustment: mask",
    "mrkd-detached": "adjustment_gradient: detached",
    "mrkd-kl+ce": "ensemble_loss: kl+ce",
    "mrkd-layernorm": "ensemble_input: layernorm",
    "mrkd-ema": "snapshot_source: ema",
}
"""Options of the MrKD runs on images only, added to the preset `robust`."""

RUNS: dict[str, list[str]] = {
    **{f"scenes/{name}": ["scenes.yaml", *overrides] for name, overrides in METHODS.items()},
    **{f"images/{name}": ["images.yaml", *overrides] for name, overrides in METHODS.items()},
    **{
        f"images/{name}": ["images.yaml", mrkd_override(f"preset: robust, {options}")]
        for name, options in ABLATIONS.items()
    },
    "images/mrkd-epochs": ["images.yaml", method_override("mrkd", "preset: robust, interval: 1 epochs")],
    "scenes/mrkd-together": ["scenes.yaml", mrkd_override("preset: robust")],
    "scenes/adam": ["scenes.yaml", "train.optimizer={name: adam, lr: 0.01}", "train.schedule={hold: 1, floor: 0.1}"],
    "scenes/damped": ["scenes.yaml", "model.options={width: 4, rho: 3, blocks: [2, 1, 0], damping: 0.1}"],
    "images/prune": ["images.yaml", "train.prune={amount: 0.3, ramp_epochs: 1}"],
    "scenes/prune": ["scenes.yaml", "train.prune={keep: 800, scope: layer, ramp: exp, ramp_epochs: 1}"],
    "images/wide": ["images.yaml", "model.options={depth: 8, width: 16}", "train.epochs=1"],
    "scenes/three-classes": ["scenes.yaml", "data.store=stores/three-classes"],
    "scenes/five-seeds": ["scenes.yaml", "train.epochs=1", "--seeds", "0-4"],
}
"""Arguments of train, by the name of the run folder."""

COMPRESSIONS = {
    "scenes/float16": "runs/scenes/ce prune:amount=0.2+float16",
    "scenes/int8": "runs/scenes/ce int8",
    "scenes/decompose": "runs/scenes/ce decompose:factor=4",
    "images/float16": "runs/images/ce prune:amount=0.2+float16",
    "images/int8": "runs/images/ce int8",
}
"""Arguments of compress, by the name of the result."""

FIT_BUDGET = "fit-budget runs/images/wide --rule dcase2021-task1a --out compressed/fit-budget --json"
"""Four rungs of the ladder; the last one fits."""

NETWORK_FUNCTIONS = {
    "baseline_2020": "--rule dcase2020-task1b --input-shape 1,40,500",
    "baseline_2021": "--rule dcase2021-task1a --input-shape 1,40,500",
    "baseline_2021_folded": "--rule dcase2021-task1a --input-shape 1,40,500",
    "baseline_2022_int8": "--rule dcase2024-task1 --input-shape 1,40,51",
    "nessi_test": "--rule dcase2022-task1 --input-shape 3,320,320",
    "submission_2": "--rule dcase2020-task1b --input-shape 2,256,431",
    "baseline_2018": "--rule dcase2025-task1 --input-shape 1,40,500",
}
"""Options of check-budget for the functions of tests/**/baselines.py."""

BUDGETS = {
    "submission_1": "cp_resnet:rho=3,width=48,blocks=4,0,0,decomposition=4,num_classes=3 --precision float16",
    "submission_3": "cp_resnet_damped:num_classes=3 --precision float16",
    "cp_resnet-2021": "cp_resnet --rule dcase2021-task1a",
    "cp_resnet-2024": "cp_resnet --rule dcase2024-task1 --precision int8",
    "cp_resnet_damped-2022": "cp_resnet_damped --rule dcase2022-task1",
    "cp_mobile-2025": "cp_mobile --rule dcase2025-task1 --precision float16",
    "cp_resnet_damped-2025": "cp_resnet_damped --rule dcase2025-task1 --precision float16",
}
"""Arguments of check-budget."""

STORED_BUDGETS = {
    "run": "runs/scenes/ce --rule dcase2024-task1",
    "pruned-run": "runs/images/prune --rule dcase2021-task1a",
    "float16": "compressed/scenes/float16 --rule dcase2021-task1a",
    "int8": "compressed/scenes/int8 --rule dcase2022-task1",
}
"""Arguments of check-budget for networks that this script trains."""

REPORTS = {
    "evaluate/scenes": "evaluate runs/scenes/five-seeds --json",
    "evaluate/images": "evaluate runs/images/mrkd-robust --json",
    "compare/scenes": "compare runs/scenes/five-seeds runs/scenes/mrkd-robust runs/scenes/mrkd-robust-mixup --json",
    "compare/paired": "compare runs/scenes/ce runs/scenes/mrkd-robust --paired --json",
    "compare/images": "compare runs/images/ce runs/images/mrkd-robust --welch --json",
    "report/scenes": "report runs/scenes/ce runs/scenes/mrkd-paper --json --out report-scenes.html",
    "report/images": "report runs/images/ce runs/images/mrkd-paper --json --out report-images.html",
    "predict/scenes": "predict runs/scenes/ce evaluation --top 10 --json",
    "predict/images": "predict runs/images/ce data/images/test --top 10 --json",
    "predict/int8": "predict compressed/scenes/int8 evaluation --top 10 --json",
}
"""Commands that print scores as JSON."""

SPLITS = " ".join(
    f"--split {percent}=runs/scenes/five-seeds/seed{seed}" for seed, percent in enumerate((5, 10, 25, 50, 100))
)
SUBMISSIONS = {
    "2018-1a": "runs/scenes/ce --task dcase2018-task1a --label Doe_INST_task1a_1 --ensemble",
    "2020-1a": "runs/scenes/five-seeds --task dcase2020-task1a --label Doe_INST_task1a_1",
    "2020-1b": "runs/scenes/three-classes --task dcase2020-task1b --label Doe_INST_task1b_2",
    "2020-1b-audio": "runs/scenes/three-classes --task dcase2020-task1b --label Doe_INST_task1b_1 --audio evaluation",
    "2021-1a": "runs/scenes/mrkd-robust --task dcase2021-task1a --label Doe_INST_task1a_1 --precision float16",
    "2021-1a-int8": "compressed/scenes/int8 --task dcase2021-task1a --label Doe_INST_task1a_1",
    "2024-1": f"{SPLITS} --task dcase2024-task1 --label Doe_INST_task1_1",
}
"""Arguments of submit make, by the name of the package."""

Values = dict[str, Any]
"""Computed values by name, as JSON can hold them; bytes are replaced by their SHA-256 sum."""


class CommandFailed(Exception):
    """A command that ended with an error; the message is the command and its stderr."""


@dataclass(frozen=True)
class Outcome:
    """A finished command."""

    code: int
    stdout: str
    stderr: str


def run_command(arguments: Sequence[str], work: Path, folder: Path) -> None:
    """Run `python -m asc_mrkd` within this process, in the folder `work`; its output goes to two files in `folder`."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), descriptor)
    os.chdir(work)
    sys.argv[1:] = arguments
    runpy.run_module("asc_mrkd", run_name="__main__", alter_sys=True)


@dataclass(frozen=True)
class Place:
    """The package that computes and the folder it works in."""

    root: Path
    """Folder that holds asc_mrkd and tests."""
    work: Path

    def run(self, *arguments: str) -> Outcome:
        """Run `asc-mrkd` in the work folder, in a separate process."""
        with tempfile.TemporaryDirectory() as folder:
            process = get_context("fork").Process(target=run_command, args=(arguments, self.work, Path(folder)))
            process.start()
            process.join()
            texts = [(Path(folder) / name).read_text() for name in ("stdout", "stderr")]
        return Outcome(process.exitcode or 0, *texts)

    def command(self, *arguments: str) -> None:
        """Run `asc-mrkd`.

        Raises:
            CommandFailed: the exit code is not 0.
        """
        done = self.run(*arguments)
        if done.code:
            raise CommandFailed(f"asc-mrkd {shlex.join(arguments)}\n{done.stderr.strip()}")

    def output(self, *arguments: str) -> dict[str, Any]:
        """Run `asc-mrkd` with `--json`; return the exit code and the printed value.

        Raises:
            CommandFailed: the exit code is neither 0 nor 1, or nothing is printed.
        """
        done = self.run(*arguments)
        if done.code not in (0, 1) or not done.stdout:
            raise CommandFailed(f"asc-mrkd {shlex.join(arguments)}\n{done.stderr.strip()}")
        return {"exit_code": done.code, "printed": json.loads(done.stdout)}

    def test_file(self, name: str) -> Path:
        """Return the path of a file of the tests, which may be in any folder."""
        found = sorted((self.root / "tests").glob(f"**/{name}"))
        if not found:
            raise CommandFailed(f"there is no {name} in {self.root / 'tests'}")
        return found[0]


Job = Callable[[Place], Values]


def make_data_set(name: str, place: Place) -> Values:
    """Make a built-in data set; record its files but the README, which has the version of the package."""
    place.command(*shlex.split(DATA_SETS[name]))
    folder = place.work / "data" / name
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "README.md"]
    sums = [[path.relative_to(folder).as_posix(), sha256_of_file(path)] for path in files]
    for meta in folder.glob("*/meta.csv"):
        assign_devices(meta)
    return {f"data/{name}": sums}


def cut_scenes(place: Place) -> Values:
    """Make a data set of the first second of every scene, because the front end logmel256 takes clips of one second."""
    folder = place.work / "data" / "first-seconds"
    [scenes] = (place.work / "data" / "scenes").iterdir()
    shutil.copytree(scenes, folder, ignore=shutil.ignore_patterns("*.wav"))
    for clip in scenes.glob("audio/*.wav"):
        samples, rate = sf.read(clip, dtype="int32")
        sf.write(folder / "audio" / clip.name, samples[:rate], rate, subtype="PCM_24")
    return {}


def assign_devices(meta: Path) -> None:
    """Write the recording devices in turn into the last column of a meta.csv: the same for all clips of a class."""
    header, *lines = meta.read_text().splitlines()
    changed = [header]
    for number, line in enumerate(lines):
        device = DEVICES[number // CLIPS_PER_CLASS % len(DEVICES)]
        changed.append("\t".join([*line.split("\t")[:-1], device]))
    meta.write_text("\n".join(changed) + "\n")


def make_store(name: str, place: Place) -> Values:
    """Extract the features of a data set."""
    out = f"stores/{name}"
    place.command("extract-features", *shlex.split(STORES[name]), "--out", out, "--workers", "1")
    return {f"store/{name}": store_values(place.work / out)}


def join_stores(place: Place) -> Values:
    """Join the two shards."""
    place.command("join-stores", "stores/shard1", "stores/shard2", "--out", "stores/joined")
    return {"store/joined": store_values(place.work / "stores" / "joined")}


def store_values(folder: Path) -> dict[str, Any]:
    """Return the recorded values of a store."""
    with (folder / "clips.csv").open(newline="") as stream:
        clips = list(csv.DictReader(stream))
    return {
        "features": sha256_of_file(folder / "features.npy"),
        "statistics": hash_statistics(folder / "stats.npz"),
        "clips": [{name: clip[name] for name in COLUMNS if name in clip} for clip in clips],
    }


def hash_statistics(path: Path) -> dict[str, list[Any]]:
    with np.load(path) as arrays:
        return {name: [str(arrays[name].dtype), arrays[name].shape, sha256(arrays[name].tobytes())] for name in arrays}


def collect_recordings(place: Place) -> Values:
    """Make a folder of three recordings with the names of an evaluation set."""
    folder = place.work / "evaluation" / "audio"
    folder.mkdir(parents=True)
    clips = sorted((place.work / "data" / "scenes").glob("*/audio/*.wav"))
    for number, clip in enumerate(clips[::11]):
        os.link(clip, folder / f"{number}.wav")
    return {}


def train(name: str, place: Place) -> Values:
    """Train a run."""
    place.command("train", *RUNS[name], "--out", f"runs/{name}")
    folder = place.work / "runs" / name
    return network_values(name, folder) | {f"{name}/metrics": last_metrics(folder / "metrics.jsonl")}


def network_values(name: str, folder: Path) -> Values:
    """Return the weights and predictions of all seeds of a run folder."""
    seeds = sorted(folder.glob("seed*"))
    return {
        f"{name}/weights": [hash_weights(seed) for seed in seeds],
        f"{name}/predictions": [sha256_of_file(seed / "predictions.csv") for seed in seeds],
    }


def hash_weights(seed: Path) -> list[list[Any]]:
    """Return name, type, shape and sum of every tensor of a seed folder's model file."""
    path = seed / "model.onnx"
    return hash_onnx(path) if path.exists() else hash_safetensors(seed / "model.safetensors")


def hash_safetensors(path: Path) -> list[list[Any]]:
    """Return name, type, shape and sum of the tensors of a .safetensors file.

    The file is the length of its header in 8 bytes, the header in JSON, and the bytes of the tensors.
    """
    data = path.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    sums = []
    for name, tensor in sorted(header.items()):
        first, last = tensor["data_offsets"]
        sums.append([name, tensor["dtype"], tensor["shape"], sha256(data[start + first : start + last])])
    return sums


def hash_onnx(path: Path) -> list[list[Any]]:
    """Return name, type, shape and sum of the initialisers of an .onnx file."""
    sums = []
    for tensor in sorted(onnx.load(path).graph.initializer, key=lambda tensor: tensor.name):
        values = onnx.numpy_helper.to_array(tensor)
        sums.append([tensor.name, str(values.dtype), values.shape, sha256(values.tobytes())])
    return sums


def last_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the last value of every key of a metrics.jsonl, seed by seed."""
    last: dict[int, dict[str, Any]] = {}
    for line in path.read_text().splitlines():
        record = json.loads(line)
        last.setdefault(record["seed"], {}).update(record)
    return [last[seed] for seed in sorted(last)]


def compress(name: str, place: Place) -> Values:
    """Compress a network."""
    out = f"compressed/{name}"
    printed = place.output("compress", *shlex.split(COMPRESSIONS[name]), "--out", out, "--json")
    return network_values(f"compress/{name}", place.work / out) | {f"compress/{name}/printed": printed}


def fit_budget(place: Place) -> Values:
    """Compress a network until it fits."""
    printed = place.output(*shlex.split(FIT_BUDGET))
    return network_values("fit-budget", place.work / "compressed" / "fit-budget") | {"fit-budget/printed": printed}


def count_function(name: str, place: Place) -> Values:
    """Count a network of the organisers."""
    source = f"{place.test_file('baselines.py')}:{name}"
    return {f"budget/{name}": place.output("check-budget", source, *NETWORK_FUNCTIONS[name].split(), "--json")}


def count_onnx_file(place: Place) -> Values:
    """Count the int8 baseline of 2022."""
    command = [sys.executable, str(place.test_file("onnx_models.py")), "baseline.onnx"]
    subprocess.run(command, cwd=place.work, check=True)
    return {"budget/onnx": place.output("check-budget", "baseline.onnx", "--rule", "dcase2022-task1", "--json")}


def count_network(name: str, arguments: str, place: Place) -> Values:
    """Count a network by name, or a run."""
    return {f"budget/{name}": place.output("check-budget", *shlex.split(arguments), "--json")}


def count_catalogue(place: Place) -> Values:
    """Count every network of the catalogue, for ten classes."""
    printed = place.output("models", "--json")["printed"]
    values: Values = {f"models/{model['name']}": without_texts(model) for model in printed}
    for model in printed:
        values |= count_network(model["name"], f"{model['name']}:num_classes=10", place)
    return values


def score(name: str, place: Place) -> Values:
    """Print the scores of runs."""
    return with_numbers(name, place.output(*shlex.split(REPORTS[name])))


def submit(name: str, place: Place) -> Values:
    """Make a package; record its output files and its meta file."""
    out = f"submissions/{name}"
    place.command("submit", "make", *shlex.split(SUBMISSIONS[name]), "--out", out)
    [package] = (place.work / out).glob("*.zip")
    values: Values = {}
    with zipfile.ZipFile(package) as archive:
        members = {member: archive.read(member) for member in sorted(archive.namelist())}
    outputs = [[member, sha256(content)] for member, content in members.items() if member.endswith(".csv")]
    values[f"submission/{name}/outputs"] = outputs
    for member, content in members.items():
        if member.endswith(".meta.yaml"):
            values[f"submission/{name}/meta"] = [member, sha256(content)]
            values[f"submission/{name}/meta/numbers"] = without_texts(yaml.safe_load(content))
    return values


STAGES: tuple[dict[str, Job], ...] = (
    {f"data/{name}": partial(make_data_set, name) for name in DATA_SETS},
    {"data/first-seconds": cut_scenes, "recordings": collect_recordings},
    {f"store/{name}": partial(make_store, name) for name in STORES},
    {
        "budgets of the catalogue": count_catalogue,
        "store/joined": join_stores,
        "budget/onnx": count_onnx_file,
        **{f"budget/{name}": partial(count_function, name) for name in NETWORK_FUNCTIONS},
        **{f"budget/{name}": partial(count_network, name, arguments) for name, arguments in BUDGETS.items()},
        **{name: partial(train, name) for name in RUNS},
    },
    {"fit-budget": fit_budget, **{f"compress/{name}": partial(compress, name) for name in COMPRESSIONS}},
    {
        **{f"budget/{name}": partial(count_network, name, arguments) for name, arguments in STORED_BUDGETS.items()},
        **{name: partial(score, name) for name in REPORTS},
        **{f"submission/{name}": partial(submit, name) for name in SUBMISSIONS},
    },
)
"""Jobs, stage by stage; those of one stage do not need each other."""


def compute(place: Place) -> tuple[Values, list[str]]:
    """Run all jobs; return the values and the errors."""
    for name, text in EXPERIMENTS.items():
        (place.work / f"{name}.yaml").write_text(text)
    values: Values = {}
    errors: list[str] = []
    workers = get_context("forkserver")
    workers.set_forkserver_preload(list(PRELOADED))
    # Not threads: those that start processes at the same time lose exit codes (multiprocessing.process._cleanup).
    with ProcessPoolExecutor(PROCESSES, workers) as pool:
        for jobs in STAGES:
            for found, error in pool.map(partial(run_job, place), jobs.items()):
                values |= found
                errors += [error] if error else []
    (place.work / "values.json").write_text(json.dumps(values, indent=1, sort_keys=True))
    return values, errors


def run_job(place: Place, named: tuple[str, Job]) -> tuple[Values, str]:
    """Run a job; return its values and its error, either of them empty."""
    name, job = named
    start = time.monotonic()
    try:
        values, error = job(place), ""
    except Exception as problem:  # one job that fails does not stop the others
        values, error = {}, f"{name}: {type(problem).__name__}: {problem}"
    print(f"{name}: {'failed' if error else f'{time.monotonic() - start:.0f} s'}", file=sys.stderr, flush=True)
    return values, error


def with_numbers(name: str, value: Any) -> Values:
    """Return a value as it is, and a second time without its texts."""
    return {name: value, f"{name}/numbers": without_texts(value)}


def without_texts(value: Any) -> Any:
    """Return a value without its texts.

    >>> without_texts({"name": "CE", "accuracy": [0.5, "half"]})
    {'accuracy': [0.5]}
    """
    if isinstance(value, Mapping):
        return {key: without_texts(item) for key, item in value.items() if not isinstance(item, str)}
    if isinstance(value, list):
        return [without_texts(item) for item in value if not isinstance(item, str)]
    return value


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
