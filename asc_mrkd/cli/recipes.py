"""asc-mrkd recipes: list the shipped recipes, or copy one."""

import os
import shutil
import textwrap
from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.terminal import say
from asc_mrkd.errors import ConfigError, require_known, shell_command
from asc_mrkd.files import atomic_writer
from asc_mrkd.folders import resource_folder
from asc_mrkd.locks import exclusive_lock

INDENT = "    "
"""Indent of what belongs to a recipe."""

app = typer.Typer(help="List the shipped recipes, or copy one to change it.", no_args_is_help=True)


@app.command("ls")
def print_recipes() -> None:
    """List the recipes and their experiment files.

    Example: asc-mrkd recipes ls
    """
    for recipe in find_recipes():
        say(f"{recipe.name}: {start_of(recipe)}")
        for conf in sorted(recipe.glob("conf/*.yaml")):
            title = conf.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
            width = shutil.get_terminal_size().columns
            say(textwrap.fill(f"{conf.name}: {title}", width, initial_indent=INDENT, subsequent_indent=2 * INDENT))


@app.command("cp")
def copy_recipe(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Recipe, as listed by `asc-mrkd recipes ls`.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to copy the recipe into.")],
) -> None:
    """Copy a recipe into a folder of yours, with the shell functions that it uses.

    The recipe `template` holds a network, a method and an experiment to start your own from.

    Example: asc-mrkd recipes cp dcase18 my_recipes
    """
    recipes = {recipe.name: recipe for recipe in find_recipes()}
    require_known(name, recipes, "recipe")
    if (out / name).exists():
        raise ConfigError(f"{out / name} exists already", "choose another folder; nothing was overwritten")
    out.mkdir(parents=True, exist_ok=True)
    shipped = resource_folder("recipes") / "common"
    with exclusive_lock(out, ConfigError):
        if not (out / "common").exists():
            copy_whole(shipped, out / "common")
        copy_whole(recipes[name], out / name)
    changed = changed_files(shipped, out / "common")
    if changed:
        say(
            f"warning: {out / 'common'} was there already and stays; it differs from that of this version in "
            f"{', '.join(changed)}. A copy into another folder gets the new one.",
            err=True,
        )
    say(start_of(out / name))


def copy_whole(source: Path, target: Path) -> None:
    """Copy a folder to a new place, whole or not at all; what a killed copy has left is removed."""
    temporary = target.with_name(f".{target.name}.tmp")
    if temporary.exists():
        shutil.rmtree(temporary)
    try:
        for file in sorted(path for path in source.rglob("*") if path.is_file()):
            with atomic_writer(temporary / file.relative_to(source)) as stream:
                stream.write(file.read_bytes())
        os.rename(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def changed_files(source: Path, target: Path) -> list[str]:
    """Return the names of the files below `source` that `target` lacks or has with another content."""
    names = sorted(file.relative_to(source) for file in source.rglob("*") if file.is_file())
    changed = []
    for name in names:
        copy = target / name
        if not copy.is_file() or copy.read_bytes() != (source / name).read_bytes():
            changed.append(str(name))
    return changed


def start_of(recipe: Path) -> str:
    """Return the command that starts a recipe; of one without stages the page to read."""
    script = recipe / "run.sh"
    return shell_command("bash", script) if script.is_file() else f"read {recipe / 'README.md'}"


def find_recipes() -> list[Path]:
    """Return the folders of the shipped recipes."""
    return sorted(path.parent for path in resource_folder("recipes").glob("*/README.md"))
