"""Write the paper's tables into RESULTS.md of the recipes: its figures (paper.csv) beside those of the run folders.

    python tools/render_results.py                      # every recipe, run folders in exp/RECIPE/tables
    python tools/render_results.py cifar100 --runs exp
    python tools/render_results.py --check              # exit 1 where a RESULTS.md is not what would be written

Only what stands between the two marker comments of a RESULTS.md is replaced. What the run folders say is kept in
measured.csv beside it, so that cells measured on another machine stay.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from asc_mrkd.config import Experiment, load_experiment
from asc_mrkd.config.domain import kind_of
from asc_mrkd.errors import AscMrkdError, ConfigError, suggest
from asc_mrkd.evaluation import summarise_run
from asc_mrkd.files import resource_folder, write_text
from asc_mrkd.report.columns import LAYOUTS
from asc_mrkd.schema import differing_key

START, END = "<!-- made by tools/render_results.py -->", "<!-- end -->"

INTRO = """\
{heading} after the last epoch, mean ± standard deviation over four seeds unless said otherwise; the baseline is
cross-entropy. Every cell has its experiment file in [conf/tables](conf/tables)."""

ARITHMETIC = ("train.threads", "train.precision", "train.channels_last", "train.compile")
SAME_SETTINGS = (*Experiment.not_numbers, "data.store", "data.images", *ARITHMETIC)
"""Keys in which a run may differ from its experiment file: where and how it was computed."""


@dataclass(frozen=True)
class Measured:
    """What a run folder says of a cell."""

    text: str = "not run"
    differences: str = ""
    """Where its settings are not those of the experiment file."""
    machine: str = ""
    """The GPU, or the processor, of the run."""


def main(arguments: list[str] | None = None) -> int:
    """Render the recipes that the arguments name and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", metavar="RECIPE", nargs="*", help="default: all that have a paper.csv")
    parser.add_argument("--runs", type=Path, default=Path("exp"), help="folder of RECIPE/tables/RUN (default: exp)")
    parser.add_argument("--recipes", type=Path, default=resource_folder("recipes"), help="folder of the recipes")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where something would be written")
    options = parser.parse_args(arguments)
    try:
        return render_all(options.recipes, options.names, options.runs, options.check)
    except AscMrkdError as error:
        print(f"error: {error}\nhint: {error.hint or 'python tools/render_results.py -h'}", file=sys.stderr)
        return error.exit_code


def render_all(recipes: Path, names: list[str], runs: Path, check: bool) -> int:
    """Bring RESULTS.md of the named recipes up to date, or only tell which are not; return the exit code."""
    known = {path.parent.name: path.parent for path in sorted(recipes.glob("*/paper.csv"))}
    code = 0
    for name in names or known:
        if name not in known:
            raise ConfigError(f"{recipes} has no recipe '{name}' with a paper.csv", suggest(name, known))
        measured = collect(known[name], runs / name / "tables")
        page, table = known[name] / "RESULTS.md", known[name] / "measured.csv"
        contents = {page: replace_part(text_of(page), render(known[name], measured), page), table: as_csv(measured)}
        for path, after in contents.items():
            if text_of(path) == after:
                continue
            print(f"{path} is {'not up to date' if check else 'written'}")
            if check:
                code = 1
            else:
                write_text(path, after)
    return code


def text_of(path: Path) -> str:
    """Return what a file holds; nothing if there is none."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def collect(recipe: Path, runs: Path) -> dict[str, Measured]:
    """Return what is known of every cell: what its run folder says, or what measured.csv has kept of another one."""
    kept: dict[str, Measured] = {}
    if (recipe / "measured.csv").exists():
        rows = pd.read_csv(recipe / "measured.csv", dtype=str, keep_default_na=False).to_dict("records")
        kept = {row.pop("conf"): Measured(**row) for row in rows}
    confs = pd.read_csv(recipe / "paper.csv", dtype=str)["conf"].unique()
    finished = [conf for conf in confs if any((runs / conf).glob("seed*/predictions.csv"))]
    return {conf: kept.get(conf, Measured()) for conf in confs} | {c: measure(recipe, runs, c) for c in finished}


def as_csv(measured: dict[str, Measured]) -> str:
    """Return measured.csv: the cells that have been run."""
    rows = [{"conf": conf, **asdict(cell)} for conf, cell in measured.items() if cell != Measured()]
    return pd.DataFrame(rows).to_csv(index=False, lineterminator="\n") if rows else ""


def replace_part(page: str, part: str, path: Path) -> str:
    """Put the part between the markers of a page.

    Raises:
        ConfigError: the page does not have both markers, in order.
    """
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ConfigError(f"{path} has no place for the tables", f"write '{START}' and '{END}', each on its own line")
    return f"{before}{START}\n\n{part}\n\n{END}{after}"


def render(recipe: Path, measured: dict[str, Measured]) -> str:
    """Return the tables of a recipe as Markdown."""
    paper = pd.read_csv(recipe / "paper.csv", dtype=str, keep_default_na=False)
    heading = LAYOUTS[kind_of(planned(recipe, paper["conf"][0])).name].comparison[0].heading
    parts = [INTRO.format(heading=heading)]
    for title, cells in paper.groupby("table", sort=False):
        is_plot = (cells["mean"] == "").all()
        parts += [f"### {title}{' (in the paper a plot)' if is_plot else ''}", *table(cells, measured)]
    return "\n\n".join(parts)


def table(cells: pd.DataFrame, measured: dict[str, Measured]) -> list[str]:
    """Return the Markdown of one table: for every row a line of the paper and one of here; then its notes."""
    columns = cells["column"].unique().tolist()
    lines, notes = [["", "", *columns], ["---"] * (2 + len(columns))], []
    for label, row in cells.groupby("row", sort=False):
        if row["mean"].any():
            paper = [f"{mean} ± {std}" if std else mean for mean, std in zip(row["mean"], row["std"], strict=True)]
            lines.append([label, "paper", *paper])
            label = ""
        here = []
        for conf in row["conf"]:
            cell = measured[conf]
            if cell.differences:
                notes.append(f"Note {len(notes) + 1}: `{conf}` was run with other settings: {cell.differences}.")
            here.append(f"{cell.text} (other settings, note {len(notes)})" if cell.differences else cell.text)
        lines.append([label, "here", *here])
    return ["\n".join(f"| {' | '.join(line)} |" for line in lines), *notes]


def planned(recipe: Path, conf: str) -> Experiment:
    """Return the experiment of a cell: the name of a file in conf/tables, or FILE/KEY=VALUE for a point of a sweep."""
    name, _, override = conf.partition("/")
    return load_experiment(recipe / "conf" / "tables" / f"{name}.yaml", [override] if override else [])


def measure(recipe: Path, runs: Path, conf: str) -> Measured:
    """Return mean ± standard deviation over the finished seeds of a cell, in percent."""
    plan, run = planned(recipe, conf), summarise_run(runs / conf)
    column = LAYOUTS[run.kind.name].comparison[0]
    text, seeds = column.write(run.spread(column.metric)), len(run.seeds)
    if seeds != len(plan.seeds):
        text += f" ({seeds} seed{'s' if seeds > 1 else ''})"
    environment = json.loads(text_of(runs / conf / "environment.json") or "{}")
    machine = environment.get("gpu") or environment.get("processor") or ""
    return Measured(text, differences(run.experiment, plan), machine)


def differences(run: Experiment, plan: Experiment) -> str:
    """Return every setting of a run that is not that of its experiment file."""
    found: dict[str, str] = {}
    while text := differing_key(run, plan, (*SAME_SETTINGS, *found)):
        found[text.partition(" is ")[0]] = text.replace(" here and ", ", in the file ").removesuffix(" there")
    return "; ".join(found.values())


if __name__ == "__main__":
    sys.exit(main())
