"""The paper's tables: every cell is an experiment with a command, and the pages show what run folders hold."""

import functools
import re
import runpy
import shlex
import shutil
from pathlib import Path

import pytest
from helpers.recipes import RECIPES, ROOT

from asc_mrkd.config import save_experiment
from asc_mrkd.engine.sweeps import load_points
from asc_mrkd.methods import load_experiment

TOOL = runpy.run_path(str(ROOT / "tools" / "render_results.py"))
NAMES = ["cifar10", "cifar100", "cinic10", "dcase18", "dcase20"]

main = TOOL["main"]
load_cell = functools.cache(TOOL["load_cell"])
read_cells = TOOL["read_cells"]
compared_settings = TOOL["compared_settings"]


@pytest.fixture(autouse=True)
def small_test_sets(monkeypatch):
    """Take runs on ten clips of two classes for runs on the official test sets."""
    for name in NAMES:
        monkeypatch.setitem(TOOL["TEST_SETS"], name, (2, 10))


@pytest.mark.parametrize("name", NAMES)
def test_the_cells_of_a_table_are_different_experiments(name):
    for title, table in read_cells(RECIPES / name).groupby("table"):
        loaded = [load_cell(RECIPES / name, cell.conf, cell.overrides) for cell in table.itertuples()]
        assert len(set(map(compared_settings, loaded))) == len(loaded), title


@pytest.mark.parametrize("name", NAMES)
def test_the_commands_train_every_cell_once(name, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["--commands", name]) == 0
    trained = []
    for line in capsys.readouterr().out.splitlines():
        if line.startswith("#"):
            continue
        program, verb, conf, *settings, _, out = shlex.split(line)
        assert program == "asc-mrkd"
        assert out.startswith(f"exp/{name}/tables/")
        if verb == "sweep":
            trained += [experiment for _, experiment in load_points(conf, settings)]
        else:
            assert verb == "train"
            trained.append(load_experiment(conf, settings))
    cells = {(cell.conf, cell.overrides) for cell in read_cells(RECIPES / name).itertuples()}
    assert len(trained) == len(cells)
    wanted = [compared_settings(load_cell(RECIPES / name, *cell)) for cell in cells]
    assert sorted(wanted) == sorted(map(compared_settings, trained))


def test_the_pages_of_the_repository_are_up_to_date(tmp_path, capsys):
    assert main(["--check", "--runs", str(tmp_path)]) == 0, capsys.readouterr().out


def copy_recipe(tmp_path: Path, name: str) -> tuple[Path, list[str]]:
    """Copy a recipe; return its page and the arguments that render it from tmp_path/exp."""
    for folder in (name, "common"):
        shutil.copytree(RECIPES / folder, tmp_path / "recipes" / folder)
    folders = ["--recipes", str(tmp_path / "recipes"), "--runs", str(tmp_path / "exp")]
    return tmp_path / "recipes" / name / "RESULTS.md", [name, *folders]


def write_run(folder: Path, name: str, overrides: str, correct: list[int], clips: int = 10) -> None:
    """Write a run folder of the paper's setting with `overrides`: for each seed the number of right clips."""
    for seed, number in enumerate(correct):
        lines = [f"clip{clip},a,,,{'a,1.0,0.0' if clip < number else 'b,0.0,1.0'}" for clip in range(clips)]
        (folder / f"seed{seed}").mkdir(parents=True)
        text = "\n".join(["filename,label,identifier,source_label,prediction,a,b", *lines])
        (folder / f"seed{seed}" / "predictions.csv").write_text(text)
    save_experiment(load_cell(RECIPES / name, "paper", overrides), folder / "config.yaml")
    (folder / "metrics.jsonl").write_text("")


def lines_of(page: Path, row: str) -> list[list[str]]:
    """Return the cells of the first line of a row, and of the one below."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.read_text().splitlines()]
    first = next(number for number, cells in enumerate(lines) if cells[:1] == [row])
    return lines[first : first + 2]


def test_a_page_shows_the_paper_next_to_the_runs(tmp_path):
    page, arguments = copy_recipe(tmp_path, "cifar10")
    before = page.read_text()
    runs = tmp_path / "exp"
    write_run(runs / "a run", "cifar10", "model.name=resnet20 method=ce", [6, 8, 7, 7])
    write_run(runs / "sweep" / "method=msd", "cifar10", "model.name=resnet20 method=msd", [7])
    write_run(runs / "sweep" / "a" / "b", "cifar10", "model.name=resnet20", [6, 8])
    (runs / "unfinished" / "seed0").mkdir(parents=True)
    assert main([*arguments, "--check"]) == 1
    assert page.read_text() == before, "--check wrote something"
    assert main(arguments) == 0
    printed, here = lines_of(page, "ResNet-20")
    assert printed[1:] == ["paper", "7.61 ± 0.16", "7.27 ± 0.25", "7.14 ± 0.15", "7.08 ± 0.15"]
    assert here[1:] == ["here", "30.00 ± 8.16", "not run", "30.00 (1 seed)", "30.00 ± 14.14 (2 seeds)"]
    after = page.read_text()
    assert "Rows run here: 1 of 5" in after
    assert "ResNet-56" not in after.partition(TOOL["END"])[0], "a row that was not run"

    assert main([*arguments, "--check"]) == 0
    assert main(arguments) == 0
    assert page.read_text() == after, "rendering again changed the page"
    shutil.rmtree(runs)  # another machine, without these run folders
    assert main([*arguments, "--check"]) == 0
    assert "paper,model.name=resnet20 method=msd,30.00 (1 seed)," in (page.parent / "measured.csv").read_text()
    outside = re.compile(f"{TOOL['START']}.*{TOOL['END']}", re.DOTALL)
    assert outside.split(after) == outside.split(before), "hand-written text was changed"


def test_a_cell_takes_its_own_experiment_on_its_own_data_alone(tmp_path):
    page, arguments = copy_recipe(tmp_path, "cifar10")
    before = page.read_text()
    runs = tmp_path / "exp"
    write_run(runs / "short", "cifar10", "model.name=resnet20 train.epochs=10", [7] * 4)
    write_run(runs / "tuning", "cifar10", "model.name=resnet20 data.held_out=5000", [7] * 4)
    write_run(runs / "built in", "cifar10", "model.name=resnet20", [7] * 4, clips=9)
    assert main(arguments) == 0
    assert page.read_text() == before
    elsewhere = "train.device=cuda train.threads=1 train.precision=float32 train.evaluate_every=0 data.images=there"
    write_run(runs / "elsewhere", "cifar10", f"model.name=resnet20 {elsewhere}", [7] * 4)
    write_run(runs / "fewer seeds", "cifar10", "model.name=resnet20", [9])
    assert main(arguments) == 0
    assert lines_of(page, "ResNet-20")[1][5] == "30.00 ± 0.00"


def test_scenes_have_accuracies_and_a_plot_has_its_points(tmp_path):
    page, arguments = copy_recipe(tmp_path, "dcase18")
    write_run(tmp_path / "exp/run", "dcase18", "", [8] * 4)
    assert main(arguments) == 0
    printed, here = lines_of(page, "CP-ResNet + Mixup")
    assert (printed[5], here[5]) == ("80.52", "80.00 ± 0.00")

    page, arguments = copy_recipe(tmp_path / "images", "cifar100")
    write_run(tmp_path / "images/exp/point", "cifar100", "model.name=resnet110 method.num_backups=2", [7] * 4)
    write_run(tmp_path / "images/exp/run", "cifar100", "model.name=resnet56 method=ce", [7] * 4)
    assert main(arguments) == 0
    assert "Figure 8, number of backups (in the paper a plot)" in page.read_text()
    assert lines_of(page, "2 backups")[0][1:] == ["here", "not run", "30.00 ± 0.00", "not run"]
    assert page.read_text().count("| here | 30.00 ± 0.00 |") == 3, "Tables 2, 3 and 4 share their baseline"


def test_errors_say_what_to_do(tmp_path, capsys):
    page, arguments = copy_recipe(tmp_path, "cifar10")
    assert main(["cifar1", *arguments[1:]]) == 2
    assert "did you mean 'cifar10'?" in capsys.readouterr().err
    page.write_text("# Results\n")
    assert main(arguments) == 2
    assert "has no place for the tables" in capsys.readouterr().err
    assert page.read_text() == "# Results\n"
