"""Run the scripts of the recipes as a user does, with the commands of this environment first on the PATH."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.warm import command_folder

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"


def run_script(script: Path, *options: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a folder."""
    command = script_command(script, options)
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)


def start_script(script: Path, *options: object, folder: Path) -> subprocess.Popen[str]:
    """Start a shell script in a folder, in a separate process group, so that all of it can be interrupted."""
    return subprocess.Popen(
        script_command(script, options),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def script_command(script: Path, options: tuple[object, ...]) -> list[str]:
    """Return the command that runs a shell script; skip the test if there is no bash."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is missing")
    return [bash, str(script), *map(str, options)]


def environment() -> dict[str, str]:
    """Return the environment variables with a quick asc-mrkd first on the PATH, then the commands of this Python."""
    folders = [str(command_folder()), str(Path(sys.executable).parent), os.environ["PATH"]]
    return {**os.environ, "PATH": os.pathsep.join(folders)}


def run_recipe(name: str, *options: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the recipe `name` in a folder."""
    return run_script(RECIPES / name / "run.sh", *options, folder=folder)


def dry_run(name: str, *options: object, folder: Path) -> list[str]:
    """Return the commands that a dry run of the recipe `name` prints, without `asc-mrkd`."""
    done = run_recipe(name, *options, "--dry-run", folder=folder)
    assert done.returncode == 0, done.stderr
    assert not list(folder.iterdir()), "a dry run wrote something"
    return printed_commands(done.stdout)


def printed_commands(out: str) -> list[str]:
    """Return the commands in the output of a script, without `asc-mrkd` and without the quotes of the shell."""
    commands = [shlex.split(line) for line in out.splitlines() if line.startswith("+ ")]
    return [" ".join(words[1:]).removeprefix("asc-mrkd ") for words in commands]


def printed_stages(out: str) -> list[int]:
    """Return the numbers of the stages that the output of a script names."""
    return [int(line.split()[2].rstrip(":")) for line in out.splitlines() if line.startswith("== stage")]


def run_names(commands: list[str]) -> list[str]:
    """Return the names of the run folders that `train` commands write."""
    return [line.split(" --out ")[1].split()[0].rpartition("/")[2] for line in commands if line.startswith("train")]


def modification_times(paths: list[Path]) -> list[int]:
    """Return the modification time of every file, in nanoseconds."""
    return [path.stat().st_mtime_ns for path in paths]
