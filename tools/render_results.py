"""Write the paper's tables into RESULTS.md of the recipes: the paper's figures next to those of the run folders.

    python tools/render_results.py                      # all recipes, from the run folders below exp/
    python tools/render_results.py cifar100 --runs DIR
    python tools/render_results.py --check              # exit code 1 if a RESULTS.md is not up to date
    python tools/render_results.py --commands cifar100  # print the commands that train the cells of the tables

Every cell is a row of paper.csv: a conf file and overrides. A run folder fills the cells whose experiment it holds,
whatever its name, if it was scored on the official test set. Only the text between the two marker comments of a
RESULTS.md is replaced. measured.csv next to it keeps the figures, so that cells run on another machine stay.
"""

import argparse
import json
import math
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from asc_mrkd import config, methods
from asc_mrkd.config import RUNTIME_KEYS, Experiment
from asc_mrkd.errors import AscMrkdError, ConfigError, suggest
from asc_mrkd.evaluation import RunSummary, evaluate
from asc_mrkd.files import write_text
from asc_mrkd.folders import resource_folder
from asc_mrkd.report.columns import report_columns

START = "<!-- made by tools/render_results.py -->"
END = "<!-- end -->"

SHOWN = """\
{heading} after the last epoch, mean ± standard deviation over four seeds unless said otherwise; the baseline is
cross-entropy."""

OTHERS = """\
Rows run here: {shown} of {total}. `python tools/render_results.py --commands {recipe}` prints the commands that run the
cells; [paper.csv](paper.csv) has the paper's figures."""

NOT_COMPARED = (
    *RUNTIME_KEYS,
    "data.store",
    "data.images",
    "train.threads",
    "train.precision",
    "train.channels_last",
    "train.compile",
)
"""Settings in which a run may differ from its cell: where and how it was computed."""

TEST_SETS = {
    "cifar10": (10, 10_000),
    "cifar100": (100, 10_000),
    "cinic10": (10, 90_000),
    "dcase18": (10, 2_518),
    "dcase20": (3, 4_185),
}
"""Classes and test samples of the official data sets; runs on other data are no results of the recipe."""


@dataclass(frozen=True)
class Measured:
    """The result of a cell."""

    text: str
    """Mean ± standard deviation over the seeds, in percent."""
    machine: str
    """GPU of the run, or else its processor."""


Cell = tuple[str, str]
"""The experiment of a cell: name of the conf file, overrides."""


def main(arguments: list[str] | None = None) -> int:
    """Do as the arguments say for every recipe they name, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", metavar="RECIPE", nargs="*", help="default: all recipes that have a paper.csv")
    parser.add_argument("--runs", type=Path, default=Path("exp"), help="folder with run folders at any depth")
    parser.add_argument("--recipes", type=Path, default=resource_folder("recipes"), help="folder of the recipes")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a file would be written")
    parser.add_argument("--commands", action="store_true", help="print the commands that train the cells, and stop")
    options = parser.parse_args(arguments)
    try:
        recipes = find_recipes(options.recipes, options.names)
        if options.commands:
            for recipe in recipes:
                print("\n".join(commands(recipe)))
            return 0
        out_of_date = [path for recipe in recipes for path in update(recipe, options.runs, options.check)]
    except AscMrkdError as error:
        print(f"error: {error}\nhint: {error.hint or 'python tools/render_results.py -h'}", file=sys.stderr)
        return error.exit_code
    return 1 if options.check and out_of_date else 0


def find_recipes(folder: Path, names: list[str]) -> list[Path]:
    """Return the folders of the named recipes, or of all that have a paper.csv."""
    known = {path.parent.name: path.parent for path in sorted(folder.glob("*/paper.csv"))}
    for name in names:
        if name not in known:
            raise ConfigError(f"{folder} has no recipe '{name}' with a paper.csv", suggest(name, known))
    return [known[name] for name in names or known]


def read_cells(recipe: Path) -> pd.DataFrame:
    """Read paper.csv: table, row, column, conf, overrides, mean, std, all as text; `mean` is empty in a figure."""
    return pd.read_csv(recipe / "paper.csv", dtype=str, keep_default_na=False)


def experiments(cells: pd.DataFrame) -> list[Cell]:
    """Return conf and overrides of every cell, in the order of paper.csv."""
    return list(cells[["conf", "overrides"]].itertuples(index=False, name=None))


def load_cell(recipe: Path, conf: str, overrides: str) -> Experiment:
    """Load the experiment of a cell."""
    return methods.load_experiment(recipe / "conf" / f"{conf}.yaml", shlex.split(overrides))


def commands(recipe: Path) -> Iterator[str]:
    """Yield a `train` command for every experiment of the tables and a `sweep` for every figure, under its cells."""
    cells = read_cells(recipe)
    in_figure = cells["mean"] == ""
    for (conf, overrides), same in cells[~in_figure].groupby(["conf", "overrides"], sort=False):
        for cell in same.itertuples():
            yield f"# {cell.table}: {cell.row}, {cell.column}"
        settings = shlex.split(overrides)
        name = ",".join([conf, *settings])
        yield command("train", recipe, conf, settings, name)
    for (title, conf), figure in cells[in_figure].groupby(["table", "conf"], sort=False):
        yield f"# {title}"
        name = title.partition(",")[0].replace(" ", "").lower()
        yield command("sweep", recipe, conf, swept(figure["overrides"].tolist()), name)


def command(verb: str, recipe: Path, conf: str, settings: list[str], name: str) -> str:
    """Return an `asc-mrkd` command that writes to exp/RECIPE/tables/NAME."""
    path = os.path.relpath(recipe / "conf" / f"{conf}.yaml")
    return shlex.join(["asc-mrkd", verb, path, *settings, "--out", f"exp/{recipe.name}/tables/{name}"])


def swept(points: list[str]) -> list[str]:
    """Return the settings of the sweep that has these points.

    >>> swept(["a=1 b=x", "a=2 b=x", "a=1 b=y", "a=2 b=y"])
    ['a=1,2', 'b=x,y']
    """
    values: dict[str, list[str]] = {}
    for point in points:
        for setting in shlex.split(point):
            key, _, value = setting.partition("=")
            if value not in values.setdefault(key, []):
                values[key].append(value)
    if math.prod(map(len, values.values())) != len(points):
        raise ConfigError(f"{', '.join(points)} are not all combinations of their values", "complete paper.csv")
    return [f"{key}={','.join(each)}" for key, each in values.items()]


def update(recipe: Path, runs: Path, check: bool) -> list[Path]:
    """Bring RESULTS.md and measured.csv of a recipe up to date, unless `check`; return the files that were not."""
    cells = read_cells(recipe)
    measured = read_measured(recipe) | collect(recipe, cells, runs)
    page = recipe / "RESULTS.md"
    contents = {page: replace_part(page, render(recipe, cells, measured)), recipe / "measured.csv": as_csv(measured)}
    out_of_date = [path for path, text in contents.items() if text_of(path) != text]
    for path in out_of_date:
        if check:
            print(f"{path} is not up to date")
        else:
            write_text(path, contents[path])
            print(f"{path} is written")
    return out_of_date


def text_of(path: Path) -> str:
    """Return the text of a file; nothing if it is missing."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def read_measured(recipe: Path) -> dict[Cell, Measured]:
    """Read measured.csv: the cells that were run, here or elsewhere."""
    if not (recipe / "measured.csv").exists():
        return {}
    rows = pd.read_csv(recipe / "measured.csv", dtype=str, keep_default_na=False)
    return {(row.conf, row.overrides): Measured(row.text, row.machine) for row in rows.itertuples()}


def as_csv(measured: dict[Cell, Measured]) -> str:
    """Return the text of measured.csv."""
    if not measured:
        return ""
    rows = [{"conf": conf, "overrides": overrides, **asdict(one)} for (conf, overrides), one in measured.items()]
    return pd.DataFrame(rows).sort_values(["conf", "overrides"]).to_csv(index=False, lineterminator="\n")


def collect(recipe: Path, cells: pd.DataFrame, runs: Path) -> dict[Cell, Measured]:
    """Return the result of every cell whose experiment a run folder holds; of several, that with the most seeds."""
    found: dict[str, RunSummary] = {}
    wanted = {cell: load_cell(recipe, *cell) for cell in dict.fromkeys(experiments(cells))}
    settings = {cell: compared_settings(experiment) for cell, experiment in wanted.items()}
    for folder in find_runs(runs):
        held = compared_settings(config.load_experiment(folder / "config.yaml"))
        if held not in settings.values():
            continue
        summary = evaluate(folder)
        if (len(summary.classes), summary.test_clips) != TEST_SETS[recipe.name]:
            continue
        if held not in found or len(summary.seeds) > len(found[held].seeds):
            found[held] = summary
    return {cell: measure(found[held], wanted[cell]) for cell, held in settings.items() if held in found}


def find_runs(folder: Path) -> list[Path]:
    """Return the run folders below a folder that have a finished seed."""
    return sorted({path.parents[1] for path in folder.rglob("seed*/predictions.csv")})


def compared_settings(experiment: Experiment) -> str:
    """Return all settings of an experiment but NOT_COMPARED, as text."""
    values = experiment.model_dump()
    for key in NOT_COMPARED:
        *sections, last = key.split(".")
        inner = values
        for section in sections:
            inner = inner[section]
        inner.pop(last, None)
    return json.dumps(values, sort_keys=True)


def measure(run: RunSummary, plan: Experiment) -> Measured:
    """Return mean ± standard deviation over the finished seeds of a run, in percent."""
    column = report_columns(run.domain).comparison[0]
    text = column.write(run.spread(column.metric))
    if len(run.seeds) == 1:
        text += " (1 seed)"
    elif len(run.seeds) != len(plan.seeds):
        text += f" ({len(run.seeds)} seeds)"
    environment = json.loads(text_of(run.folder / "environment.json") or "{}")
    return Measured(text, environment.get("gpu") or environment.get("processor") or "")


def replace_part(path: Path, part: str) -> str:
    """Return the text of a page with `part` between its markers.

    Raises:
        ConfigError: the page does not have both markers, in order.
    """
    before, start, rest = text_of(path).partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ConfigError(f"{path} has no place for the tables", f"write '{START}' and '{END}', each on its own line")
    return f"{before}{START}\n\n{part}\n\n{END}{after}"


def render(recipe: Path, cells: pd.DataFrame, measured: dict[Cell, Measured]) -> str:
    """Return the rows that were run as Markdown tables."""
    here = [measured.get(cell) for cell in experiments(cells)]
    cells = cells.assign(here=[one.text if one else "" for one in here])
    rows = cells.groupby(["table", "row"])
    was_run = rows["here"].transform("any")
    parts = []
    if was_run.any():
        first = load_cell(recipe, cells["conf"][0], cells["overrides"][0])
        parts.append(SHOWN.format(heading=report_columns(first.domain).comparison[0].heading))
    for title, table in cells[was_run].groupby("table", sort=False):
        is_plot = (table["mean"] == "").all()
        parts += [f"### {title}{' (in the paper a plot)' if is_plot else ''}", markdown_table(table)]
    shown = cells[was_run].groupby(["table", "row"]).ngroups
    parts.append(OTHERS.format(shown=shown, total=rows.ngroups, recipe=recipe.name))
    return "\n\n".join(parts)


def markdown_table(cells: pd.DataFrame) -> str:
    """Return one table: for every row a line with the paper's figures and one with those measured here."""
    columns = cells["column"].unique().tolist()
    lines = [["", "", *columns], ["---"] * (2 + len(columns))]
    for label, row in cells.groupby("row", sort=False):
        if row["mean"].any():
            paper = [f"{mean} ± {std}" if std else mean for mean, std in zip(row["mean"], row["std"], strict=True)]
            lines.append([label, "paper", *paper])
            label = ""
        lines.append([label, "here", *(text or "not run" for text in row["here"])])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
