"""The promises to users: the public names, the loop of five lines, and every command in the pages."""

import ast
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import typer.main

import asc_mrkd
from asc_mrkd.cli.app import build_app

ROOT = Path(__file__).parents[1]
PAGES = [path for path in (ROOT / "README.md", *sorted(ROOT.glob("recipes/*/README.md"))) if path.is_file()]
APP = typer.main.get_command(build_app())


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a page in that language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def commands(text: str, start: str) -> list[list[str]]:
    """Return the words of the commands that begin with `start`, up to a comment, a pipe or a redirection."""
    lines = (line.strip().removeprefix("$ ") for line in text.replace("\\\n", " ").splitlines())
    found = [shlex.split(line, comments=True) for line in lines if re.match(rf"{start}\b", line)]
    return [words[: next((i for i, word in enumerate(words) if word in "|>&&;"), len(words))] for words in found]


def shown(start: str) -> list[list[str]]:
    """Return the commands in the bash blocks of the pages that begin with `start`."""
    return [words for page in PAGES for block in blocks(page, "bash") for words in commands(block, start)]


def examples(command: Any) -> list[list[str]]:
    """Return the example of every verb's help."""
    inner = [words for verb in getattr(command, "commands", {}).values() for words in examples(verb)]
    return inner + commands((command.help or "").replace("Example: ", "\n"), "asc-mrkd")


def check(words: list[str]) -> None:
    """Follow the verbs of a command and look its options up."""
    command, rest = APP, list(words[1:])
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"there is no verb: {shlex.join(words)}"
        command = command.commands[rest.pop(0)]
    known = {name for parameter in command.params for name in parameter.opts} | {"-h", "--help", "--debug"}
    unknown = {word.partition("=")[0] for word in rest if word.startswith("-")} - known
    assert not unknown, f"there is no such option: {shlex.join(words)}"


def test_public_names_are_listed_and_resolve():
    assert sorted(asc_mrkd.__all__) == dir(asc_mrkd)
    for name in asc_mrkd.__all__:
        assert getattr(asc_mrkd, name) is not None
    with pytest.raises(AttributeError, match="MemoryReply"):
        _ = asc_mrkd.MemoryReply


def test_public_names_come_from_where_type_checkers_look():
    imported = {}
    for node in ast.walk(ast.parse(Path(asc_mrkd.__file__).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module not in ("typing", "asc_mrkd.lazy"):
            imported |= {alias.name: node.module for alias in node.names}
    public = set(asc_mrkd.__all__) - {"__version__"}
    assert {name: getattr(asc_mrkd, name).__module__ for name in public} == imported


def test_no_public_name_hides_a_room():
    rooms = {path.stem for path in Path(asc_mrkd.__file__).parent.iterdir()}
    assert not rooms & set(asc_mrkd.__all__)


def test_the_loop_of_five_lines_trains_a_model_of_ones_own():
    from asc_mrkd import MemoryReplay

    torch.manual_seed(0)
    centres = 2 * torch.randn(10, 8)
    labels = torch.arange(60) % 10
    loader = [(centres[labels] + 0.1 * torch.randn(60, 8), labels)] * 60
    model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))

    mrkd = MemoryReplay(model, num_classes=10, num_backups=3, interval=10, alpha=0.5, temperature=3.0)
    optimizer = torch.optim.SGD(mrkd.parameters(), lr=0.1, momentum=0.9)
    for x, y in loader:
        loss = mrkd(x, y)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        mrkd.step()

    assert mrkd.model is model
    assert (model(x).argmax(1) == y).float().mean() > 0.9


def test_the_examples_of_the_help_exist():
    found = examples(APP)
    assert {"train", "predict", "submit", "recipes"} <= {words[1] for words in found}
    for words in found:
        check(words)


@pytest.mark.skipif(not shown("asc-mrkd"), reason="no page shows a command")
def test_the_commands_of_the_pages_exist():
    for words in shown("asc-mrkd"):
        check(words)


@pytest.mark.skipif(not shown("bash"), reason="no page shows a script")
def test_the_scripts_of_the_pages_exist():
    for words in shown("bash"):
        assert (ROOT / words[1]).is_file(), shlex.join(words)
        if words[1].startswith("recipes/"):
            done = subprocess.run([*words, "--list"], cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0, f"{shlex.join(words)}: {done.stderr}"


def test_the_python_of_the_pages_compiles():
    for page in PAGES:
        for block in blocks(page, "python"):
            compile(block, str(page), "exec")
