"""The paper's tables: an experiment file for every cell, its figures as printed, and the pages rendered from both."""

import re
import runpy
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from asc_mrkd.config import save_experiment
from asc_mrkd.models import build_model

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"
TOOL = runpy.run_path(str(ROOT / "tools" / "render_results.py"))
main, planned = TOOL["main"], TOOL["planned"]

PRINTED = {
    "cifar100": """
Table 2: ResNet-32: 30.08 ± 0.57, 28.15 ± 0.28, 28.31 ± 0.18, 28.12 ± 0.27
Table 2: ResNet-56: 27.76 ± 0.24, 26.24 ± 0.35, 26.18 ± 0.27, 26.23 ± 0.16
Table 2: ResNet-110: 25.79 ± 0.44, 24.91 ± 0.62, 25.38 ± 0.35, 24.76 ± 0.15
Table 2: ResNet-164: 23.46 ± 0.31, 21.85 ± 0.33, 21.72 ± 0.22, 22.12 ± 0.21
Table 2: WRN-16-8: 20.35 ± 0.37, 19.33 ± 0.51, 19.34 ± 0.18, 19.12 ± 0.16
Table 2: WRN-28-10: 19.60 ± 0.22, 18.71 ± 0.35, 18.56 ± 0.16, 18.32 ± 0.09
Table 2: ResNeXt-29 8x64d: 18.57 ± 0.24, 17.55 ± 0.31, 17.46 ± 0.25, 17.23 ± 0.18
Table 3: ResNet-32: 30.08, 28.85, 28.17, 28.12
Table 3: ResNet-56: 27.76, 26.74, 26.02, 26.23
Table 3: ResNet-110: 25.79, 25.17, 24.79, 24.76
Table 3: ResNet-164: 23.46, 22.85, 22.46, 22.12
Table 3: WRN-16-8: 20.35, 19.63, 19.24, 19.12
Table 3: WRN-28-10: 19.60, 19.01, 18.58, 18.32
Table 4: ResNet-56: 27.96 ± 0.42, 26.64 ± 0.15, 26.33 ± 0.16, 26.42 ± 0.16
Table 4: ResNet-110: 25.97 ± 0.39, 25.21 ± 0.23, 24.76 ± 0.15, 24.89 ± 0.14
Table 4: ResNet-164: 23.66 ± 0.31, 22.55 ± 0.25, 22.12 ± 0.21, 22.02 ± 0.16
""",
    "cinic10": """
Table 5: ResNet-20: 17.86 ± 0.21, 16.88 ± 0.23, 16.75 ± 0.09, 16.62 ± 0.08
Table 5: ResNet-32: 16.63 ± 0.17, 15.61 ± 0.27, 15.76 ± 0.08, 15.55 ± 0.14
Table 5: ResNet-56: 15.44 ± 0.20, 14.75 ± 0.16, 14.91 ± 0.07, 14.74 ± 0.07
Table 5: WRN-16-8: 11.85 ± 0.16, 11.09 ± 0.09, 11.12 ± 0.09, 11.15 ± 0.06
Table 5: ResNeXt-29 8x64d: 11.35 ± 0.15, 10.25 ± 0.22, 10.33 ± 0.15, 10.17 ± 0.10
""",
    "cifar10": """
Table 6: ResNet-20: 7.61 ± 0.16, 7.27 ± 0.25, 7.14 ± 0.15, 7.08 ± 0.15
Table 6: ResNet-32: 6.53 ± 0.14, 6.26 ± 0.15, 6.18 ± 0.17, 5.96 ± 0.15
Table 6: ResNet-56: 6.14 ± 0.19, 5.62 ± 0.13, 5.73 ± 0.09, 5.58 ± 0.21
Table 6: WRN-16-8: 4.42 ± 0.14, 3.75 ± 0.22, 3.88 ± 0.10, 3.81 ± 0.11
Table 6: ResNeXt-29 8x64d: 4.11 ± 0.19, 3.51 ± 0.09, 3.66 ± 0.08, 3.61 ± 0.06
""",
    "dcase18": """
Table 7: CP-ResNet: 77.26, 78.08, 78.26, 78.32
Table 7: CP-ResNet + Mixup: 79.99, 80.28, 79.03, 80.52
""",
    "dcase20": """
Table 8: Freq-damp: 97.05, 97.22, 97.32, 97.34
Table 8: Freq-damp + Mixup: 96.65, 97.37, 96.84, 97.52
""",
}
"""Errors (accuracies of DCASE) in percent, copied by hand, apart from paper.csv."""

BACKUPS = {"name": "mrkd", "copies": 3, "alpha": 0.5, "temperature": 3.0, "depth": 2, "before_first": "init"}
MRKD = {**BACKUPS, "ensemble": True, "ensemble_loss": "kl", "adjustment": "swap"}
METHODS = {
    "Baseline": {"name": "ce"},
    "Self-KD": {"name": "pskd"},
    "MSD": {"name": "msd"},
    "MrKD": MRKD,
    "MrKD without FCN and KA": {**BACKUPS, "ensemble": False, "adjustment": "none"},
    "MrKD without KA": {**MRKD, "adjustment": "none"},
    "CE loss": {**MRKD, "ensemble_loss": "ce"},
    "KL loss": MRKD,
    "CE + KL loss": {**MRKD, "ensemble_loss": "kl+ce"},
}
"""What a column of the tables stands for."""

COLUMNS = {
    "Table 3": ["Baseline", "MrKD without FCN and KA", "MrKD without KA", "MrKD"],
    "Table 4": ["Baseline", "CE loss", "KL loss", "CE + KL loss"],
}
"""Of those tables that do not compare the methods."""

SWEPT = {"Figure 7": "interval", "Figure 8": "copies", "Figure 9": "depth"}


def paper(recipe: str) -> pd.DataFrame:
    """Return paper.csv; `mean` is empty where the paper has a plot."""
    return pd.read_csv(RECIPES / recipe / "paper.csv", dtype=str, keep_default_na=False)


def network_of(label: str) -> str:
    """Return how a network of the paper is called here, without underscores."""
    label = label.removesuffix(" + Mixup").replace("Freq-damp", "cp_resnet_damped")
    return re.sub(r"[\W_]", "", label).lower()


@pytest.mark.parametrize("recipe", PRINTED)
def test_the_figures_are_as_printed(recipe):
    cells = paper(recipe)
    rows = {}
    for (table, label), row in cells[cells["mean"] != ""].groupby(["table", "row"], sort=False):
        texts = [f"{mean} ± {std}" if std else mean for mean, std in zip(row["mean"], row["std"], strict=True)]
        rows[f"{table.partition(',')[0]}: {label}"] = texts
        assert row["column"].tolist() == COLUMNS.get(table.partition(",")[0], ["Baseline", "Self-KD", "MSD", "MrKD"])
    lines = [line.rpartition(": ") for line in PRINTED[recipe].strip().splitlines()]
    assert rows == {name: texts.split(", ") for name, _, texts in lines}


@pytest.mark.parametrize("recipe", PRINTED)
def test_every_file_fills_a_cell_and_opens_with_its_command(recipe):
    files = {path.stem: path.read_text() for path in (RECIPES / recipe / "conf" / "tables").glob("*")}
    cells = paper(recipe)
    assert files.keys() == set(cells["conf"].str.partition("/")[0])
    for name, text in files.items():
        verb = "sweep" if name.startswith("figure") else "train"
        assert f"asc-mrkd {verb} recipes/{recipe}/conf/tables/{name}.yaml" in text
        assert f"--out exp/{recipe}/tables/{name}" in text
    for cell in cells.itertuples():
        if cell.mean and cell.conf.startswith(f"{cell.table.partition(',')[0].replace(' ', '').lower()}_"):
            figure = f"{cell.mean} ± {cell.std}" if cell.std else cell.mean
            assert f"The paper's {'accuracy' if 'dcase' in recipe else 'error'}: {figure} %." in files[cell.conf]


@pytest.mark.parametrize("recipe", PRINTED)
def test_experiments_are_what_their_row_and_column_say(recipe):
    for cell in paper(recipe).itertuples():
        experiment = planned(RECIPES / recipe, cell.conf)
        method, train = experiment.method.model_dump(), experiment.train
        swept = SWEPT.get(cell.table.partition(",")[0])
        network, column = (cell.column, "MrKD") if swept else (cell.row, cell.column)
        wanted = {**METHODS[column], **({swept: int(cell.row.split()[0])} if swept else {})}
        assert {key: method.get(key) for key in wanted} == wanted, cell.conf
        if method["name"] == "mrkd" and swept != "interval":
            assert method["interval"] == (0.125 if "dcase" in recipe else "25 epochs")
        assert experiment.model.name.replace("_", "") == network_of(network)
        assert experiment.augment.mixup == (0.3 if "Mixup" in cell.row else 0.0)
        assert (train.epochs, train.batch_size) == (200, 10 if "dcase" in recipe else 128)
        assert experiment.seeds == [0, 1, 2, 3]


def test_a_sweep_has_the_points_of_its_figure():
    cells = paper("cifar100")
    for path in (RECIPES / "cifar100" / "conf" / "tables").glob("figure*.yaml"):
        [(key, points)] = re.findall(r"'(method\.\w+)=([\d,]+)'", path.read_text())
        confs = [f"{path.stem}/{key}={point}" for point in points.split(",")]
        assert confs == [conf for conf in cells["conf"] if conf.startswith(f"{path.stem}/")]


def test_the_low_complexity_network_is_the_challenges():
    experiment = planned(RECIPES / "dcase20", "table8_cp_resnet_damped_ce")
    with torch.device("meta"):
        network = build_model(experiment.model.name, 3, **experiment.model.options)
    assert sum(p.numel() for p in network.parameters()) == 245_958


def test_the_pages_of_the_repository_are_up_to_date(tmp_path, capsys):
    assert main(["--check", "--runs", str(tmp_path)]) == 0, capsys.readouterr().out


def copy_recipe(tmp_path: Path, name: str) -> tuple[Path, list[str]]:
    """Copy a recipe; return its page and the arguments that render it from tmp_path/exp."""
    for folder in (name, "common"):
        shutil.copytree(RECIPES / folder, tmp_path / "recipes" / folder)
    folders = ["--recipes", str(tmp_path / "recipes"), "--runs", str(tmp_path / "exp")]
    return tmp_path / "recipes" / name / "RESULTS.md", [name, *folders]


def write_run(tmp_path: Path, recipe: str, conf: str, correct: list[int], **train: object) -> None:
    """Write the run folder of a cell: for each seed the number of right clips of ten; `train` is changed."""
    experiment, folder = planned(RECIPES / recipe, conf), tmp_path / "exp" / recipe / "tables" / conf
    for seed, number in enumerate(correct):
        lines = [f"clip{clip},a,,,{'a,1.0,0.0' if clip < number else 'b,0.0,1.0'}" for clip in range(10)]
        (folder / f"seed{seed}").mkdir(parents=True)
        text = "\n".join(["filename,label,identifier,source_label,prediction,a,b", *lines])
        (folder / f"seed{seed}" / "predictions.csv").write_text(text)
    changed = experiment.model_copy(update={"train": experiment.train.model_copy(update=train)})
    save_experiment(changed, folder / "config.yaml")
    (folder / "metrics.jsonl").write_text("")


def lines_of(page: Path, row: str) -> list[list[str]]:
    """Return the cells of the first line of a row, and of the one below."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.read_text().splitlines()]
    first = next(number for number, cells in enumerate(lines) if cells[:1] == [row])
    return lines[first : first + 2]


def test_a_page_shows_the_paper_beside_the_runs(tmp_path):
    page, arguments = copy_recipe(tmp_path, "cifar10")
    before = page.read_text()
    write_run(tmp_path, "cifar10", "table6_resnet20_ce", [6, 8, 7, 7])
    write_run(tmp_path, "cifar10", "table6_resnet20_msd", [7])
    write_run(tmp_path, "cifar10", "table6_resnet20_mrkd", [6, 8])
    unfinished = tmp_path / "exp/cifar10/tables/table6_resnet20_pskd/seed0"
    unfinished.mkdir(parents=True)
    assert main([*arguments, "--check"]) == 1
    assert page.read_text() == before, "--check wrote something"
    assert main(arguments) == 0
    printed, here = lines_of(page, "ResNet-20")
    assert printed[1:] == ["paper", "7.61 ± 0.16", "7.27 ± 0.25", "7.14 ± 0.15", "7.08 ± 0.15"]
    assert here[1:] == ["here", "30.00 ± 8.16", "not run", "30.00 (1 seed)", "30.00 ± 14.14 (2 seeds)"]

    after = page.read_text()
    assert main([*arguments, "--check"]) == 0
    assert main(arguments) == 0
    assert page.read_text() == after, "rendering again changed the page"
    shutil.rmtree(tmp_path / "exp")  # another machine, without these run folders
    assert main([*arguments, "--check"]) == 0
    assert "table6_resnet20_msd,30.00 (1 seed)," in (page.parent / "measured.csv").read_text()
    outside = re.compile(f"{TOOL['START']}.*{TOOL['END']}", re.DOTALL)
    assert outside.split(after) == outside.split(before), "hand-written text was changed"


def test_another_setting_is_named(tmp_path):
    page, arguments = copy_recipe(tmp_path, "cifar10")
    elsewhere = {"device": "cuda", "threads": 1, "precision": "float32", "evaluate_every": 0}
    write_run(tmp_path, "cifar10", "table6_resnet20_ce", [7] * 4, **elsewhere)
    write_run(tmp_path, "cifar10", "table6_resnet20_mrkd", [7] * 4, epochs=10, batch_size=64)
    assert main(arguments) == 0
    _, here = lines_of(page, "ResNet-20")
    assert here[2] == "30.00 ± 0.00"
    assert here[5] == "30.00 ± 0.00 (other settings, note 1)"
    [note] = [line for line in page.read_text().splitlines() if line.startswith("Note")]
    assert note == (
        "Note 1: `table6_resnet20_mrkd` was run with other settings: train.epochs is 10, in the file 200; "
        "train.batch_size is 64, in the file 128."
    )


def test_scenes_have_accuracies_and_a_plot_has_its_points(tmp_path):
    page, arguments = copy_recipe(tmp_path, "dcase18")
    write_run(tmp_path, "dcase18", "table7_cp_resnet_mixup_mrkd", [8] * 4)
    assert main(arguments) == 0
    printed, here = lines_of(page, "CP-ResNet + Mixup")
    assert (printed[5], here[5]) == ("80.52", "80.00 ± 0.00")

    page, arguments = copy_recipe(tmp_path / "images", "cifar100")
    write_run(tmp_path / "images", "cifar100", "figure8_resnet110/method.copies=2", [7] * 4)
    write_run(tmp_path / "images", "cifar100", "table2_resnet56_ce", [7] * 4)
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
