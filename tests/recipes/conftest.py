"""Running the recipe of a test module, which names its folder as RECIPE."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def recipe(request) -> Run:
    """Return a function that runs run.sh in a folder, with the commands of this environment first on the PATH."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")

    def run(*options: object, folder: Path, name: str | None = None) -> subprocess.CompletedProcess[str]:
        script = (request.module.RECIPE if name is None else request.module.RECIPES / name) / "run.sh"
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        command = [bash, str(script), *map(str, options)]
        return subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True)

    return run


@pytest.fixture
def dry_run(recipe) -> Callable[..., list[str]]:
    """Return a function that gives the commands that a dry run prints."""

    def run(*options: object, folder: Path, name: str | None = None) -> list[str]:
        done = recipe(*options, "--dry-run", folder=folder, name=name)
        assert done.returncode == 0, done.stderr
        assert not list(folder.iterdir()), "a dry run did something"
        return [line.removeprefix("+ asc-mrkd ") for line in done.stdout.splitlines() if line.startswith("+ ")]

    return run
