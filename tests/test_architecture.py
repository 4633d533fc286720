"""The rules of the house: imports only go down, heavy libraries come late, nothing that executes data is called."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import asc_mrkd

PACKAGE = Path(asc_mrkd.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "_shipped" not in path.parts)

FLOORS = (
    {"errors", "lazy"},
    {"locks"},
    {"files", "texts"},
    {
        "asc_mrkd",
        "device",
        "dist",
        "folders",
        "machine",
        "notebook",
        "own_code",
        "progress",
        "rng",
        "schema",
        "workers",
    },
    {"config"},
    {"audio", "download", "models", "mrkd"},
    {"datasets"},
    {"features", "methods", "runs"},
    {"store"},
    {"deploy"},
    {"budget"},
    {"engine", "evaluation"},
    {"doctor", "report"},
    {"compression"},
    {"exports"},
    {"submission"},
    {"cli"},
    {"__main__"},
)
"""Parts of the package from the ground up; a part imports itself and lower floors only."""

FLOOR = {part: number for number, floor in enumerate(FLOORS) for part in floor}

FORBIDDEN = {
    r"yaml\.(load|unsafe_load|full_load)\(": "yaml.safe_load",
    r"^\s*(import|from) (pickle|dill|joblib|shelve|marshal)": "safetensors, JSON or torch.load(weights_only=True)",
    r"(?<![\w.])(eval|exec)\(": "no data is ever executed",
    r"weights_only=False": "weights_only=True",
    r"torch\.load\((?!.*weights_only=True)": "weights_only=True",
    r"extractall\(": "reading members one by one",
    r"allow_pickle=True": "allow_pickle=False",
    r"shell=True": "a list of arguments",
}
"""Patterns that must not appear in the package, and their replacements."""

UNPICKLER = PACKAGE / "datasets/images/unpickle.py"
"""The one file that may import pickle: CIFAR comes in no other form, and this reader makes no call of a pickle."""

TOUCHES_FILES = r"open|print|Path|.*\.(open|read|write|load|save)(_text|_bytes)?"


def part_of(path: Path) -> str:
    """Return the part that a file belongs to: a top-level folder or module, or the package itself."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "asc_mrkd" if first == "__init__" else first


def imported_parts(path: Path) -> Iterator[str]:
    """Yield the parts that a file imports, anywhere in it."""
    modules: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            modules += [f"{node.module}.{alias.name}" for alias in node.names]
    for module in modules:
        package, _, rest = module.partition(".")
        if package == "asc_mrkd":
            part = rest.partition(".")[0]
            yield part if part in FLOOR else "asc_mrkd"


def test_every_part_has_a_floor():
    assert {part_of(path) for path in FILES} == set(FLOOR)


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path):
    if path == PACKAGE / "__init__.py":
        return  # it names the homes of the public functions, for type checkers alone
    own = part_of(path)
    for part in imported_parts(path):
        assert part == own or FLOOR[part] < FLOOR[own], f"{own} imports {part}"


def test_results_alone_name_functions_of_higher_rooms():
    """A notebook asks a result for its HTML; no other call goes up."""
    lines = [line.strip() for path in FILES for line in path.read_text().splitlines() if "shown_by(" in line]
    uses = [line for line in lines if not line.startswith("def ")]
    assert len(uses) >= 5
    assert not [line for line in uses if not line.startswith("_repr_html_ = shown_by(")]


@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_nothing_that_executes_data(pattern):
    found = [
        f"{path.relative_to(PACKAGE)}:{number}"
        for path in FILES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(pattern, line) and not (path == UNPICKLER and line in ("import pickle", "import pickletools"))
    ]
    assert not found, f"use {FORBIDDEN[pattern]}"


def test_the_method_opens_no_file_and_prints_nothing():
    for path in (PACKAGE / "mrkd").glob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text()))
        calls = {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}
        assert not {call for call in calls if re.fullmatch(TOUCHES_FILES, call)}


def modules_after(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has imported after `code`."""
    code += "\nimport sys; print('MODULES', *{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("MODULES")[2].split())


@pytest.mark.slow
def test_reading_a_model_imports_no_compiler_and_training_no_audio_library(trained, conf, image_conf, tmp_path):
    code = f"""
import sys
from asc_mrkd import load_model
load_model({str(trained)!r})
from asc_mrkd.models import MODELS, build_model, without_storage
with without_storage():  # as reading a model begins
    for name in MODELS:
        build_model(name, 10)
assert "torch" in sys.modules
assert "torch._dynamo" not in sys.modules
from asc_mrkd import load_experiment, train
for number, conf in enumerate([{str(conf)!r}, {str(image_conf)!r}]):
    train(load_experiment(conf, ["train.epochs=1"]), f"{tmp_path}/{{number}}", [0])
"""
    modules = modules_after(code)
    assert not modules & {"librosa", "soundfile", "soxr", "torchaudio"}


def test_a_worker_of_the_extraction_imports_little():
    modules = modules_after("import asc_mrkd.store.worker, asc_mrkd.workers")
    assert "soundfile" in modules
    assert not modules & {"torch", "torchaudio", "librosa", "pandas", "sklearn"}


@pytest.mark.slow
def test_runs_are_read_and_scored_without_torch():
    modules = modules_after("import asc_mrkd.runs, asc_mrkd.evaluation")
    assert not modules & {"torch", "torchaudio", "librosa", "soundfile"}


def test_help_imports_nothing_heavy():
    code = """
import sys
from asc_mrkd.cli import main
sys.argv = ["asc-mrkd", "--help"]
try:
    main()
except SystemExit as end:
    assert end.code == 0
"""
    assert not modules_after(code) & {"torch", "numpy", "pandas", "scipy", "sklearn", "librosa", "matplotlib"}


def test_import_of_the_package_is_free():
    assert not modules_after("import asc_mrkd") & {"torch", "numpy", "pandas", "typer"}
