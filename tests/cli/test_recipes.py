"""The verb `recipes`: its list on a narrow terminal, and copies that are whole or not there."""

import filecmp
import multiprocessing
import os
import signal

import pytest
from helpers.cli import run_cli
from helpers.recipes import RECIPES

from asc_mrkd.cli.recipes import copy_recipe


@pytest.mark.parametrize("columns", ["80", "60"])
def test_f4_the_list_of_recipes_fits_the_terminal(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    lines = run_cli("recipes", "ls").out.splitlines()
    assert all(len(line) <= int(columns) for line in lines if line.startswith(" "))
    assert any(line.startswith("    paper.yaml: ") for line in lines)


def copy_until_killed(out, files):
    """Copy a recipe and kill this process after that number of files."""
    replace = os.replace
    done = []

    def replace_or_die(source, target):
        if len(done) == files:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(target)
        replace(source, target)

    os.replace = replace_or_die
    copy_recipe("dcase18", out)


@pytest.mark.parametrize("files", [0, 2, 6])
def test_f2_6_a_copy_of_a_recipe_is_whole_or_not_there(tmp_path, files):
    out = tmp_path / "mine"
    child = multiprocessing.get_context("fork").Process(target=copy_until_killed, args=(out, files))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert not (out / "dcase18").exists()
    assert run_cli("recipes", "cp", "dcase18", out).code == 0
    for name in ("dcase18", "common"):
        assert not filecmp.dircmp(RECIPES / name, out / name).left_only
    assert sorted(path.name for path in out.iterdir()) == ["common", "dcase18"]


def test_a_second_recipe_leaves_the_functions_of_the_first(tmp_path):
    first = run_cli("recipes", "cp", "dcase18", tmp_path)
    assert (first.code, first.err) == (0, "")
    (tmp_path / "common/recipe.sh").write_text("mine")
    second = run_cli("recipes", "cp", "cifar10", tmp_path)
    assert second.code == 0
    assert f"warning: {tmp_path / 'common'} was there already and stays" in second.err
    assert "in recipe.sh. A copy into another folder" in second.err
    assert (tmp_path / "common/recipe.sh").read_text() == "mine"


def test_recipes(tmp_path):
    assert "dcase18: bash " in run_cli("recipes", "ls").out
    code, out, _ = run_cli("recipes", "cp", "dcase18", tmp_path / "mine")
    assert (code, out) == (0, f"bash {tmp_path / 'mine/dcase18/run.sh'}\n")
    assert (tmp_path / "mine/common/recipe.sh").is_file()
    assert (tmp_path / "mine/dcase18/conf/paper.yaml").is_file()
    assert run_cli("recipes", "cp", "dcase18", tmp_path / "mine").code == 2, "nothing is overwritten"
