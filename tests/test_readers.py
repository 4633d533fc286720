"""Every reader of our files is fed damage: it reads the file all the same, or refuses it with an error of ours.

The damage is drawn from a seed: bytes flipped, lost, doubled, not UTF-8; lines doubled, lost, swapped; names and
numbers replaced by others, by null, lists, or something huge. Where a file has a checksum it is made right again, so
that the reader gets to see the content.
"""

import json
import os
import random
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import yaml
from helpers.data import write_experiment
from helpers.runs import CONFIG, PREDICTIONS
from helpers.submission import AUTHORS
from safetensors import safe_open

from asc_mrkd.compression.steps import parse_steps
from asc_mrkd.config import StoreConfig
from asc_mrkd.datasets.images import open_images
from asc_mrkd.datasets.images.cache import DESCRIPTION
from asc_mrkd.datasets.images.cache import FOLDER as CACHE
from asc_mrkd.datasets.layouts import read_dataset
from asc_mrkd.deploy.description import KEY
from asc_mrkd.deploy.model_file import _checksum, load_model
from asc_mrkd.engine.data.samples import open_data
from asc_mrkd.engine.loop.checkpoint import load_checkpoint
from asc_mrkd.errors import AscMrkdError
from asc_mrkd.evaluation import evaluate
from asc_mrkd.features.spec import load_spec
from asc_mrkd.methods import load_experiment
from asc_mrkd.report.html import _environment_table
from asc_mrkd.runs import MetricsLog, RunFolder, SeedFolder, read_metrics, read_predictions
from asc_mrkd.schema import parse_call
from asc_mrkd.store.journal import Journal
from asc_mrkd.store.layout import open_store, write_sums
from asc_mrkd.store.origin import ORIGIN, read_origin
from asc_mrkd.submission import check_submission
from asc_mrkd.submission.check import read_clip_list
from asc_mrkd.submission.make import read_author_meta
from asc_mrkd.submission.system import compression_measures

ROUNDS = int(os.environ.get("READER_ROUNDS", "30"))
"""Damages for each reader."""

SEED = os.environ.get("READER_SEED", "")
"""Seed of the damages; another one draws others."""

CONTENTS = [
    b"",
    b"\n",
    b"5\n",
    b"null",
    b"[1]",
    b'{"a": 1}',
    b"\xff\xfe\x00garbage",
    b"[" * 3000,
    b"9" * 6000,
    b"\0" * 50,
]
"""Contents that replace a whole file."""

WORDS = [
    "null",
    "true",
    "-1",
    "0",
    "1.5",
    "NaN",
    "Infinity",
    "1e999",
    "9" * 400,
    "9" * 5000,
    '""',
    "[]",
    "{}",
    "[[[1]]]",
]
WORDS += [
    "x" * 3000,
    "\0",
    "²",
    "\udcff",
    "\x1b[31m",
    '"',
    "'",
    ",",
    "\t",
    "\n",
    ":",
    "&a [*a]",
    "../..",
    "-0",
    "1_0",
    "é",
]
"""Texts that replace a number or a name."""

ALIASES = (
    "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
    + "\n".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9))
    + "\nsubmission: {label: *a8, authors: *a8}"
)
"""A text of 500 bytes that stands for 400 million values."""

NAMES_AND_NUMBERS = re.compile(r"-?\d+(?:\.\d+)?|[A-Za-z_]\w*")


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Return the content with some damage."""
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        content = rng.choice(DAMAGES)(content, rng)
    return content


def flip_byte(content: bytes, rng: random.Random) -> bytes:
    position = rng.randrange(len(content) + 1)
    return content[:position] + bytes([rng.randrange(256)]) + content[position + 1 :]


def lose_piece(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content) + 1)
    return content[:start] + content[start + rng.choice([1, 7, 100, len(content)]) :]


def double_piece(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content) + 1)
    return content[: start + rng.choice([1, 7, 100])] + content[start:]


def replace_all(content: bytes, rng: random.Random) -> bytes:
    return rng.choice(CONTENTS)


def move_lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True) or [b""]
    line = rng.choice(lines)
    lines[rng.randrange(len(lines))] = rng.choice([line, line * 2, b""])
    return b"".join(lines)


def replace_word(content: bytes, rng: random.Random) -> bytes:
    text = content.decode(errors="surrogateescape")
    words = list(NAMES_AND_NUMBERS.finditer(text))
    if not words:
        return content
    word = rng.choice(words)
    new = rng.choice([*WORDS, rng.choice(words)[0]])
    return (text[: word.start()] + new + text[word.end() :]).encode(errors="surrogateescape")


DAMAGES = [flip_byte, lose_piece, double_piece, replace_all, move_lines, *[replace_word] * 4]


def damaged_json(value: Any, rng: random.Random) -> Any:
    """Return a value of JSON with one part replaced, added or lost."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {name: part for name, part in value.items() if name != key}
        return {**value, key: damaged_json(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.6:
        index = rng.randrange(len(value))
        return rng.choice([value[:index], [*value, value[index]], [*value[:index], damaged_json(value[index], rng)]])
    others = [
        None,
        True,
        -1,
        0,
        3,
        1.5,
        1e300,
        10**9,
        10**30,
        float("nan"),
        "",
        "x",
        "x" * 3000,
        "\0",
        [],
        {},
        [[]],
        {"a": {}},
    ]
    return rng.choice(others)


@dataclass
class Reader:
    """A file and the function that reads it."""

    path: Path
    read: Callable[[], Any]
    repair: Callable[[], Any] = lambda: None
    """Function that makes the checksums right after the damage."""


def make_run(place: Path) -> Path:
    run = place / "run"
    (run / "seed0").mkdir(parents=True)
    (run / "config.yaml").write_text(CONFIG)
    (run / "seed0/predictions.csv").write_text(PREDICTIONS)
    metrics(run, None)
    return run


def metrics(place: Path, request: Any) -> Reader:
    path = place / "metrics.jsonl"
    path.write_text(
        "".join(json.dumps({"seed": s, "epoch": e, "loss": 1.5, "ce": 0.2}) + "\n" for s in (0, 1) for e in (1, 2))
    )
    return Reader(path, lambda: read_metrics(path))


def metrics_log(place: Path, request: Any) -> Reader:
    path = metrics(place, request).path
    return Reader(path, lambda: MetricsLog(place, 0))


def environment(place: Path, request: Any) -> Reader:
    path = place / "environment.json"
    path.write_text(json.dumps({"python": "3.11", "cores": 2, "gpu": None, "packages": {"torch": "2.11"}}))
    return Reader(path, lambda: _environment_table(path))


def config(place: Path, request: Any) -> Reader:
    run = RunFolder(make_run(place))
    return Reader(run.config_file, lambda: (run.experiment, evaluate(run)))


def experiment(place: Path, request: Any) -> Reader:
    path = write_experiment(place / "conf.yaml", place)
    return Reader(path, lambda: load_experiment(path))


def override(place: Path, request: Any) -> Reader:
    conf = write_experiment(place / "conf.yaml", place)
    path = place / "override"
    path.write_text("train.optimizer={name: sgd, lr: 0.1}")
    return Reader(path, lambda: load_experiment(conf, [path.read_bytes().decode(errors="surrogateescape")]))


def call(place: Path, request: Any) -> Reader:
    path = place / "call"
    path.write_text("decompose:factor=2+prune:amount=0.5,scope=global+float16")

    def read() -> None:
        text = path.read_bytes().decode(errors="surrogateescape")
        parse_call(text)
        parse_steps(text)

    return Reader(path, read)


def predictions(place: Path, request: Any) -> Reader:
    path = make_run(place) / "seed0/predictions.csv"
    return Reader(path, lambda: read_predictions(path))


def seed_settings(place: Path, request: Any) -> Reader:
    run = RunFolder(make_run(place))
    seed = run.seed_folder(0)
    seed.write_settings(run.experiment)
    seed.settings.write_text(json.dumps(json.loads(seed.settings.read_text())))  # in one line, as the tests read it
    return Reader(seed.settings, seed.require_own)


def front_end(place: Path, request: Any) -> Reader:
    path = place / "spec.yaml"
    shutil.copy(request.getfixturevalue("store") / "spec.yaml", path)
    return Reader(path, lambda: load_spec(path))


def store_file(name: str, signed: bool) -> Callable[[Path, Any], Reader]:
    def make(place: Path, request: Any) -> Reader:
        folder = place / "store"
        shutil.copytree(request.getfixturevalue("store"), folder)

        def read() -> None:
            store = open_store(folder)
            store.statistics()
            for split in ("train", "test"):
                store.features[store.rows(split)["row"].to_numpy()]

        def repair() -> None:
            if signed and (folder / name).exists():
                write_sums(folder)

        return Reader(folder / name, read, repair)

    return make


def journal(place: Path, request: Any) -> Reader:
    path = place / "journal.csv"
    path.write_text("0,123,\n1,,missing\n2,77,\n")
    return Reader(path, lambda: Journal(place))


def model_file(place: Path, request: Any) -> Reader:
    path = place / "model.safetensors"
    shutil.copy(request.getfixturevalue("trained") / "seed0/model.safetensors", path)
    return Reader(path, lambda: load_model(path))


def checkpoint(place: Path, request: Any) -> Reader:
    path = place / "checkpoint.pt"
    shutil.copy(request.getfixturevalue("trained") / "seed0/checkpoint.pt", path)
    return Reader(path, lambda: load_checkpoint(path))


def compression(place: Path, request: Any) -> Reader:
    run = make_run(place)
    seed = SeedFolder(run / "seed0")
    seed.compression.write_text(json.dumps({"steps": ["prune:amount=0.5", "float16"], "accuracy": 0.5}))
    chosen = RunFolder(run).experiment
    return Reader(seed.compression, lambda: compression_measures(seed, chosen, None))


def clip_list(place: Path, request: Any) -> Reader:
    path = place / "list.csv"
    path.write_text("filename\naudio/1.wav\naudio/2.wav\n")
    return Reader(path, lambda: read_clip_list(path))


def authors(place: Path, request: Any) -> Reader:
    path = place / "authors.yaml"
    path.write_text(AUTHORS)
    return Reader(path, lambda: read_author_meta(path))


def submission(suffix: str) -> Callable[[Path, Any], Reader]:
    def make(place: Path, request: Any) -> Reader:
        source = place / "source"
        label = "Doe_INST_task1a_1"
        (source / label).mkdir(parents=True)
        (source / label / f"{label}.output.txt").write_text("audio/1.wav\tbus\naudio/2.wav\ttram\n")
        (source / label / f"{label}.meta.yaml").write_text(AUTHORS)
        clips = place / "list.csv"
        clips.write_text("audio/1.wav\naudio/2.wav\n")
        if suffix != ".zip":
            return Reader(
                source / label / f"{label}{suffix}", lambda: check_submission(source, "dcase2018-task1a", clips)
            )
        path = place / "package.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(source.rglob("*.*")):
                archive.write(file, file.relative_to(source))
        return Reader(path, lambda: check_submission(path, "dcase2018-task1a", clips))

    return make


def dataset(name: str) -> Callable[[Path, Any], Reader]:
    def make(place: Path, request: Any) -> Reader:
        folder = place / "data"
        (folder / "evaluation_setup").mkdir(parents=True)
        names = [f"audio/{label}-paris-{i}-{i}-a.wav" for label in ("bus", "tram") for i in range(3)]
        rows = "".join(f"{one}\t{one[6:].split('-')[0]}\tparis-{i}\ta\n" for i, one in enumerate(names))
        (folder / "meta.csv").write_text("filename\tscene_label\tidentifier\tsource_label\n" + rows)
        train = "".join(f"{one}\t{one[6:].split('-')[0]}\n" for one in names[::2])
        (folder / "evaluation_setup/fold1_train.txt").write_text(train)
        (folder / "evaluation_setup/fold1_test.txt").write_text("".join(f"{one}\n" for one in names[1::2]))
        return Reader(folder / name, lambda: read_dataset(folder))

    return make


def table(place: Path, request: Any) -> Reader:
    path = place / "own.csv"
    rows = [f"{label}{number}.wav,{label},{number},g{number}" for label in ("bus", "tram") for number in range(3)]
    path.write_text("\n".join(["filename,category,start,session", *rows]))
    for name in ("bus0.wav", "tram0.wav"):
        (place / name).touch()
    return Reader(path, lambda: read_dataset(path))


def store_of_pieces(place: Path, request: Any) -> Reader:
    folder = place / "store"
    shutil.copytree(request.getfixturevalue("store"), folder)
    lines = (folder / "clips.csv").read_text().splitlines()
    more = ["fold,recording,start,end,short", *(f"{n % 3},a.wav,{n}.5,{n + 1}.5,repeat" for n in range(len(lines) - 1))]
    (folder / "clips.csv").write_text("".join(f"{line},{end}\n" for line, end in zip(lines, more, strict=True)))
    write_sums(folder)

    def repair() -> None:
        write_sums(folder)

    data = StoreConfig(store=str(folder), folds=3, fold=1)
    return Reader(folder / "clips.csv", lambda: open_data(data).load(torch.device("cpu")), repair)


def origin(place: Path, request: Any) -> Reader:
    (place / ORIGIN).write_text("data: own\nsplit_seed: 0\ndone:\n- every recording is one clip of 10 s\n")
    return Reader(place / ORIGIN, lambda: read_origin(place))


def image_cache(place: Path, request: Any) -> Reader:
    folder = place / "images"
    shutil.copytree(request.getfixturevalue("images"), folder)
    open_images(folder)
    return Reader(folder / CACHE / DESCRIPTION, lambda: open_images(folder))


READERS: dict[str, Callable[[Path, Any], Reader]] = {
    "metrics.jsonl": metrics,
    "metrics.jsonl, to continue": metrics_log,
    "environment.json": environment,
    "config.yaml": config,
    "experiment": experiment,
    "override": override,
    "steps of a compression": call,
    "predictions.csv": predictions,
    "settings.json": seed_settings,
    "front end": front_end,
    **{f"{name} of a store": store_file(name, False) for name in ("SHA256SUMS", "features.npy", "classes.txt")},
    **{f"signed {name}": store_file(name, True) for name in ("clips.csv", "spec.yaml", "classes.txt", "stats.npz")},
    "signed clips.csv of pieces": store_of_pieces,
    "origin.yaml": origin,
    "table of own recordings": table,
    "journal": journal,
    "model file": model_file,
    "checkpoint": checkpoint,
    "compression.json": compression,
    "cache of images": image_cache,
    "list of clips": clip_list,
    "authors": authors,
    **{f"submission {suffix}": submission(suffix) for suffix in (".output.txt", ".meta.yaml", ".zip")},
    **{
        name: dataset(name)
        for name in ("meta.csv", "evaluation_setup/fold1_train.txt", "evaluation_setup/fold1_test.txt")
    },
}
"""Readers by the names of their files."""

SLOW = ("cache of images", "checkpoint", "model file")
"""Readers that get fewer damages."""


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_f3_3_damage_is_read_or_refused(name, tmp_path, request):
    reader = READERS[name](tmp_path, request)
    reader.read()
    content = reader.path.read_bytes()
    rng = random.Random(SEED + name)
    for number in range(ROUNDS // 3 if name in SLOW else ROUNDS):
        wrong = damaged(content, rng)
        reader.path.write_bytes(wrong)
        reader.repair()
        must_be_read_or_refused(reader.read, f"{name}, damage {number}: {wrong[:400]!r}")


@pytest.mark.slow
def test_f3_3_description_of_a_model_file_with_a_right_checksum(tmp_path, trained):
    path = tmp_path / "model.safetensors"
    with safe_open(trained / "seed0/model.safetensors", framework="pt") as file:
        description = json.loads(file.metadata()[KEY])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del description["sha256"]
    rng = random.Random(SEED)
    for number in range(2 * ROUNDS):
        wrong = damaged_json(description, rng)
        signed = {**wrong, "sha256": _checksum(tensors, wrong)} if isinstance(wrong, dict) else wrong
        path.write_bytes(safetensors.torch.save(tensors, metadata={KEY: json.dumps(signed)}))
        must_be_read_or_refused(lambda: load_model(path), f"damage {number}: {json.dumps(wrong)[:600]}")


def test_f3_4_a_message_is_never_long():
    error = AscMrkdError("line 3: " + "9" * 10_000 + " is not a label", "known: " + "x" * 10_000)
    assert len(str(error)) < 1100
    assert str(error).startswith("line 3: 9")
    assert str(error).endswith("9 is not a label")
    assert len(error.hint) < 1100


@pytest.mark.parametrize(
    "name", ["environment.json", "compression.json", "settings.json", "metrics.jsonl", "metrics.jsonl, to continue"]
)
def test_f3_3_json_of_other_values(name, tmp_path, request):
    reader = READERS[name](tmp_path, request)
    values = [json.loads(line) for line in reader.path.read_text().splitlines()]
    rng = random.Random(SEED + name)
    for number in range(ROUNDS):
        wrong = "".join(json.dumps(damaged_json(value, rng)) + "\n" for value in values)
        reader.path.write_text(wrong)
        must_be_read_or_refused(reader.read, f"{name}, damage {number}: {wrong[:400]}")


@pytest.mark.parametrize("text", ["[" * 3000, "a: " + "9" * 6000, "a: !!timestamp x", "a: !!int ''", ALIASES])
def test_f3_4_small_meta_files_with_large_answers(text, tmp_path):
    reader = submission(".meta.yaml")(tmp_path, None)
    reader.path.write_text(text)
    found = [problem.code for problem in reader.read()]
    assert "yaml" in found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["experiment", "config.yaml", "front end", "signed spec.yaml", "authors"])
def test_f3_3_yaml_of_other_values(name, tmp_path, request):
    reader = READERS[name](tmp_path, request)
    values = yaml.safe_load(reader.path.read_text())
    rng = random.Random(SEED + name)
    for number in range(ROUNDS):
        wrong = yaml.safe_dump(damaged_json(values, rng))
        reader.path.write_text(wrong)
        reader.repair()
        must_be_read_or_refused(reader.read, f"{name}, damage {number}: {wrong[:400]}")


def must_be_read_or_refused(read: Callable[[], Any], what: str) -> None:
    """Fail if reading ends in an error that is not one of ours."""
    try:
        read()
    except AscMrkdError:
        return
    except Exception as error:
        pytest.fail(f"{type(error).__name__}: {error}\n{what}")
