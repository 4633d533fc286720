"""Damaged files: each is refused by an error of the toolkit, or was not damaged in what it says."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import yaml

from asc_mrkd.config import load_experiment
from asc_mrkd.deploy.model_file import load_model
from asc_mrkd.engine.data.samples import open_data
from asc_mrkd.engine.loop.checkpoint import load_checkpoint
from asc_mrkd.errors import AscMrkdError
from asc_mrkd.runs import RunFolder, read_predictions
from torture.material import Material, train_command
from torture.trials import Tally, differing, fault_of_refusal, folder_results, fresh, refuses, run, seed_results

Damage = tuple[str, Callable[[bytes], bytes]]
"""Name of a damage, and the function from the content of a file to the damaged content."""


def random_damages(number: int, size: int) -> Iterator[Damage]:
    """Yield damages of a binary file: flipped bits, cuts, zeros, doubled and lost pieces, anywhere."""
    rng = random.Random(0)
    for index in range(number):
        start = rng.randrange(size)
        length = rng.choice([1, 16, 512, 4096])
        bit = 1 << rng.randrange(8)
        kinds: list[Damage] = [
            (f"bit flipped at {start}", lambda data, i=start, b=bit: data[:i] + bytes([data[i] ^ b]) + data[i + 1 :]),
            (f"cut at {start}", lambda data, i=start: data[:i]),
            (f"{length} zeros at {start}", lambda data, i=start, n=length: data[:i] + bytes(n) + data[i + n :]),
            (f"{length} bytes lost at {start}", lambda data, i=start, n=length: data[:i] + data[i + n :]),
            (f"{length} bytes doubled at {start}", lambda data, i=start, n=length: data[: i + n] + data[i:]),
        ]
        yield kinds[index % len(kinds)]


def damage_checkpoint(tally: Tally, material: Material) -> None:
    """Damage a checkpoint: loading refuses it, or gives the very state."""
    whole = RunFolder(material.trained(material.scenes)).seed_folder(0).checkpoint
    expected = load_checkpoint(whole)
    _damage_binary(tally, material, whole, load_checkpoint, expected)


def damage_model_file(tally: Tally, material: Material) -> None:
    """Damage a model file: loading refuses it, or gives the very network."""
    whole = RunFolder(material.trained(material.scenes)).seed_folder(0).model
    expected = _content_of_model(whole)
    _damage_binary(tally, material, whole, _content_of_model, expected)


def _content_of_model(path: Path) -> dict:
    file = load_model(path)
    meaning = {"classes": file.classes, "shape": list(file.input_shape), "frontend": str(file.frontend)}
    return {"weights": file.model.state_dict(), "mean": file.mean, "std": file.std, **meaning}


def _damage_binary(tally: Tally, material: Material, whole: Path, load: Callable[[Path], dict], expected: dict) -> None:
    content = whole.read_bytes()
    path = material.folder / f"damaged{whole.suffix}"
    for name, damage in random_damages(tally.count(463), len(content)):
        path.write_bytes(damage(content))
        try:
            fault = "" if equal_states(load(path), expected) else "another content was loaded"
        except AscMrkdError:
            fault = ""
        tally.judge(fault, name)


def equal_states(one: object, other: object) -> bool:
    """Return whether two nested containers of tensors, arrays and plain values hold the same bits."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal_states(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(equal_states, one, other))
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return one == other


def damage_store(tally: Tally, material: Material) -> None:
    """Damage a feature store: training refuses it, and so does `check-data`."""
    expected = folder_results(material.store, tuple(path.name for path in material.store.iterdir()))
    log = material.folder / "store.log"
    for name, damage in tally.choose(list(_store_damages(material.store))):
        folder = fresh(material.folder / "damaged-store")
        shutil.copytree(material.store, folder)
        damage(folder)
        assert folder_results(folder, tuple(expected)) != expected, name
        config = load_experiment(material.scenes, [f"data.store={folder}"]).data
        is_refused = refuses(lambda config=config: open_data(config).load(torch.device("cpu")))
        tally.judge("" if is_refused else "it would be trained on", f"store, {name}, training")
        code, printed = run("check-data", folder, log=log)
        is_found = code in (1, 2) and "Traceback" not in printed
        tally.judge("" if is_found else f"check-data ends with {code}: {printed[-200:]}", f"store, {name}, check-data")


def _store_damages(store: Path) -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Yield damages of a store: of rows and values by meaning, then of the bytes of each file."""
    yield "row 0 over row 1", lambda folder: _change_rows(folder, lambda x: _assign(x, 1, x[0]))
    yield "rows 0 and 3 swapped", lambda folder: _change_rows(folder, lambda x: _assign(x, [0, 3], x[[3, 0]]))
    yield "a row of zeros", lambda folder: _change_rows(folder, lambda x: _assign(x, 2, 0))
    yield "a row of NaN", lambda folder: _change_rows(folder, lambda x: _assign(x, 2, np.nan))
    for index in (0, 5):
        yield f"a label of row {index} changed", lambda folder, i=index: _change_cell(folder, i, 1, "park", "tram")
        yield f"the split of row {index} mistyped", lambda folder, i=index: _change_cell(folder, i, 4, "trian", "trian")
    yield "row -1", lambda folder: _replace_text(folder / "clips.csv", "\n0,", "\n-1,")
    yield "row 999", lambda folder: _replace_text(folder / "clips.csv", "\n0,", "\n999,")
    yield "std -1", lambda folder: _change_statistics(folder, lambda values: _assign(values["std"], 0, -1))
    yield "another mean", lambda folder: _change_statistics(folder, lambda values: _assign(values["mean"], 0, 1))
    yield "another fmax", lambda folder: _change_spec(folder, "fmax", 3000.0)
    yield "another hop_length", lambda folder: _change_spec(folder, "hop_length", 64)
    for path in sorted(store.iterdir()):
        size = path.stat().st_size
        for name, damage in random_damages(8, size):
            yield f"{path.name}, {name}", lambda folder, n=path.name, d=damage: _rewrite(folder / n, d)


def _assign(values: np.ndarray, where: object, new: object) -> None:
    values[where] = new


def _rewrite(path: Path, damage: Callable[[bytes], bytes]) -> None:
    content = path.read_bytes()
    damaged = damage(content)
    path.write_bytes(damaged if damaged != content else content[:-1])


def _change_rows(folder: Path, change: Callable[[np.ndarray], None]) -> None:
    features = np.load(folder / "features.npy", mmap_mode="r+")
    change(features)
    features.flush()


def _change_cell(folder: Path, line: int, column: int, new: str, otherwise: str) -> None:
    """Change a cell of clips.csv; `otherwise` is taken where it holds `new` already."""
    lines = (folder / "clips.csv").read_text().splitlines()
    cells = lines[line + 1].split(",")
    cells[column] = otherwise if cells[column] == new else new
    lines[line + 1] = ",".join(cells)
    (folder / "clips.csv").write_text("\n".join(lines) + "\n")


def _replace_text(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new, 1))


def _change_statistics(folder: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    with np.load(folder / "stats.npz") as archive:
        values = {name: archive[name] for name in archive.files}
    change(values)
    np.savez(folder / "stats.npz", **values)


def _change_spec(folder: Path, key: str, value: float) -> None:
    values = yaml.safe_load((folder / "spec.yaml").read_text())
    (folder / "spec.yaml").write_text(yaml.safe_dump(values | {key: value}))


def damage_predictions(tally: Tally, material: Material) -> None:
    """Damage predictions.csv: reading refuses it."""
    whole = RunFolder(material.trained(material.scenes)).seed_folder(0).predictions
    run_folder = fresh(material.folder / "damaged-run")
    shutil.copytree(material.trained(material.scenes), run_folder)
    path = RunFolder(run_folder).seed_folder(0).predictions
    content = whole.read_bytes()
    for name, damage in tally.choose(list(_table_damages(content))):
        damaged = damage(content)
        assert damaged != content, name
        path.write_bytes(damaged)
        is_refused = refuses(lambda: read_predictions(path))
        tally.judge("" if is_refused else "it was read", f"predictions, {name}")


def _table_damages(content: bytes) -> Iterator[Damage]:
    lines = content.splitlines(keepends=True)
    for number in range(1, len(lines)):
        yield f"cut after line {number}", lambda data, n=number: b"".join(data.splitlines(keepends=True)[:n])
    for number in range(1, min(5, len(lines))):
        yield f"line {number} lost", lambda data, n=number: _without(data.splitlines(keepends=True), n)
    yield "a line twice", lambda data: data + data.splitlines(keepends=True)[-1]
    yield "two lines swapped in their labels", lambda data: _swap_words(data, b",bus,", b",park,")
    yield "a digit changed", lambda data: _last_digit_changed(data)
    yield from random_damages(23 - 7 - len(lines) + 1, len(content))


def _without(lines: list[bytes], number: int) -> bytes:
    return b"".join(lines[:number] + lines[number + 1 :])


def _swap_words(data: bytes, one: bytes, other: bytes) -> bytes:
    return data.replace(one, b"\0").replace(other, one).replace(b"\0", other)


def _last_digit_changed(data: bytes) -> bytes:
    position = max(data.rfind(digit) for digit in (b"1", b"2", b"3", b"4"))
    return data[:position] + bytes([data[position] + 1]) + data[position + 1 :]


CONTENTS = [b"", b"5\n", b"null\n", b"[1]\n", b'{"a": 1}\n', b"\xff\xfe\x00garbage", b"[" * 5000, b"9" * 6000 + b"\n"]
"""Contents that are not what a file must hold."""

OTHER_FILES = ("config.yaml", "environment.json", "metrics.jsonl", "spec.yaml", "predictions.csv")
"""Files that are replaced by each of CONTENTS; spec.yaml is a front end."""


def damage_other_files(tally: Tally, material: Material) -> None:
    """Replace text files by odd content: every verb that reads them works all the same or refuses in a sentence."""
    whole = material.trained(material.scenes)
    expected = seed_results(whole)
    log = material.folder / "others.log"
    for name, content in tally.choose([(name, content) for name in OTHER_FILES for content in CONTENTS]):
        run_folder = fresh(material.folder / "odd-run")
        shutil.copytree(whole, run_folder)
        if name == "spec.yaml":
            spec = material.folder / "odd.yaml"
            spec.write_bytes(content)
            data = material.recordings.root
            verb: list[object] = ["extract-features", "--data", data, "--spec", spec, "--out", material.folder / "odd"]
        else:
            place = run_folder / "seed0" if name == "predictions.csv" else run_folder
            (place / name).write_bytes(content)
            verb = ["report", run_folder, "--out", material.folder / "odd.html"]
        code, printed = run(*verb, log=log)
        fault = fault_of_refusal(code, printed) if code else ""
        if not fault and name != "spec.yaml":
            again, printed = run(*train_command(material.scenes, "mrkd", run_folder), log=log)
            fault = fault_of_refusal(again, printed) if again else differing(expected, seed_results(run_folder))
        tally.judge(fault, f"{name} holds {content[:12]!r}")
