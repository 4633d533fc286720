"""asc-mrkd recipes: list the shipped recipes, or copy one."""

from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.cli.terminal import say
from asc_mrkd.errors import ConfigError, suggest
from asc_mrkd.files import resource_folder

app = typer.Typer(help="List the shipped recipes, or copy one to change it.", no_args_is_help=True)


@app.command("ls")
def print_recipes() -> None:
    """List the recipes and their experiment files.

    Example: asc-mrkd recipes ls
    """
    for recipe in find_recipes():
        say(f"{recipe.name}: bash {recipe / 'run.sh'}")
        for conf in sorted(recipe.glob("conf/*.yaml")):
            title = conf.read_text().splitlines()[0].lstrip("# ")
            say(f"    {conf.name}: {title}")


@app.command("cp")
def copy_recipe(
    name: Annotated[str, typer.Argument(help="Recipe, as listed by `recipes ls`.")],
    out: Annotated[Path, typer.Argument(help="Folder to copy the recipe into.")],
) -> None:
    """Copy a recipe, and the shell functions that it uses, into a folder of yours.

    Example: asc-mrkd recipes cp dcase18 my_recipes
    """
    import shutil

    recipes = {recipe.name: recipe for recipe in find_recipes()}
    if name not in recipes:
        raise ConfigError(f"there is no recipe '{name}'", suggest(name, recipes))
    if (out / name).exists():
        raise ConfigError(f"{out / name} exists already", "choose another folder; nothing was overwritten")
    shutil.copytree(recipes[name], out / name)
    shutil.copytree(resource_folder("recipes") / "common", out / "common", dirs_exist_ok=True)
    say(f"bash {out / name / 'run.sh'}")


def find_recipes() -> list[Path]:
    """Return the folders of the shipped recipes."""
    return sorted(path.parent for path in resource_folder("recipes").glob("*/run.sh"))
