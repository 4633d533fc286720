"""asc-mrkd recipes: the recipes that come along, listed and copied."""

from pathlib import Path
from typing import Annotated

import typer

from asc_mrkd.errors import ConfigError, suggest
from asc_mrkd.files import resource_folder

app = typer.Typer(help="List the recipes that come along, or copy one to change it.", no_args_is_help=True)


@app.command("ls")
def ls() -> None:
    """List the recipes and their experiment files.

    Example: asc-mrkd recipes ls
    """
    for recipe in _recipes():
        typer.echo(f"{recipe.name}: bash {recipe / 'run.sh'}")
        for conf in sorted(recipe.glob("conf/*.yaml")):
            typer.echo(f"    {conf.name}: {conf.read_text().splitlines()[0].lstrip('# ')}")


@app.command("cp")
def cp(
    name: Annotated[str, typer.Argument(help="Recipe, as listed by `recipes ls`.")],
    out: Annotated[Path, typer.Argument(help="Folder to copy it into.")],
) -> None:
    """Copy a recipe and the shell functions it uses into a folder of yours.

    Example: asc-mrkd recipes cp dcase18 my_recipes
    """
    import shutil

    known = {recipe.name: recipe for recipe in _recipes()}
    if name not in known:
        raise ConfigError(f"there is no recipe '{name}'", suggest(name, known))
    if (out / name).exists():
        raise ConfigError(f"{out / name} exists already", "choose another folder; nothing was overwritten")
    shutil.copytree(known[name], out / name)
    shutil.copytree(resource_folder("recipes") / "common", out / "common", dirs_exist_ok=True)
    typer.echo(f"bash {out / name / 'run.sh'}")


def _recipes() -> list[Path]:
    return sorted(path.parent for path in resource_folder("recipes").glob("*/run.sh"))
