"""The application itself: its verbs, shell completion, and an interruption."""

import os
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from helpers.cli import run_cli

import asc_mrkd.cli
from asc_mrkd.cli import recipes
from asc_mrkd.cli.app import VERBS, build_app

pytestmark = pytest.mark.slow

FILES = {path.stem for path in Path(asc_mrkd.cli.__file__).parent.glob("*.py")}
SHARED = {"__init__", "answers", "app", "catalogue", "options", "own_recordings", "progress", "terminal", "training"}
"""Files that hold no verb."""


def test_every_verb_has_a_file_and_every_file_a_verb():
    verbs = [verb.replace("-", "_") for names in VERBS.values() for verb in names]
    assert sorted(verbs) == sorted(FILES - SHARED)


def complete(shell: str, words: str) -> list[str]:
    """Return what a shell is offered for the last of the words."""
    variables = {"_ASC_MRKD_COMPLETE": f"complete_{shell}", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    command = [sys.executable, "-X", "importtime", "-m", "asc_mrkd"]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=True)
    assert not re.search(r"\| +torch$", done.stderr, re.MULTILINE), "a Tab does not wait for torch"
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("asc-mrkd check", ["check-data", "check-budget"]),
        ("asc-mrkd submit ", ["make", "check", "tasks"]),
        ("asc-mrkd submit check --task dcase2021", ["dcase2021-task1a"]),
    ],
)
def test_f4_the_shell_completes(words, offered):
    assert complete("bash", words) == offered


def test_no_word_of_the_help_is_cut_on_80_columns(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    app = build_app()
    verbs = [verb for names in VERBS.values() for verb in names if verb not in ("submit", "recipes")]
    for verb in (*verbs, "submit make", "submit check", "submit tasks", "recipes ls", "recipes cp"):
        app([*verb.split(), "-h"], prog_name="asc-mrkd", standalone_mode=False)
        out = capsys.readouterr().out
        assert f"Usage: asc-mrkd {verb} " in out
        assert "…" not in out, verb
        assert "[[" not in out, f"{verb}: the brackets around the name of an argument are typer's"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_the_shell_can_be_printed(shell):
    with mock.patch("shellingham.detect_shell", return_value=(shell, f"/bin/{shell}")):
        code, out, _ = run_cli("--show-completion")
    assert code == 0
    assert f"_ASC_MRKD_COMPLETE=complete_{shell}" in out


def test_f3_8_an_interruption_before_the_verb_runs_is_one_sentence_too():
    with mock.patch("asc_mrkd.cli.app.build_app", return_value=lambda *arguments, **options: 130):
        assert run_cli("recipes", "ls").code == 3
    with mock.patch.dict(sys.modules):
        del sys.modules["asc_mrkd.cli.app"]
        with mock.patch("typer.Option", side_effect=KeyboardInterrupt):
            outcome = run_cli("recipes", "ls")
    assert (outcome.code, outcome.err.splitlines()[0]) == (3, "error: interrupted")


def test_f3_8_an_interruption_is_one_sentence_and_code_3():
    with mock.patch.object(recipes, "find_recipes", side_effect=KeyboardInterrupt):
        code, out, err = run_cli("recipes", "ls")
    assert (code, out) == (3, "")
    assert err == "error: interrupted\nhint: what is finished is saved; run the same command again\n"


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        ("compare --paired=welch", " compare"),
        ("submit make --ensemble=3", " submit make"),
        ("train --out", " train"),
        ("--code", ""),
    ],
)
def test_a_wrong_option_points_to_the_help_of_its_verb(words, verb):
    assert run_cli(*words.split()).err.endswith(f"hint: asc-mrkd{verb} -h\n")


def test_a_library_that_is_not_installed_is_named():
    error = ModuleNotFoundError("No module named 'torch'", name="torch")
    with mock.patch("asc_mrkd.budget.check_budget", side_effect=error):
        outcome = run_cli("check-budget", "resnet20")
    assert outcome.code == 2
    assert outcome.err.startswith("error: torch is not installed\nhint: pip install asc-mrkd")
