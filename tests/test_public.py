"""The promises to users: public names, the loop of five lines, and every command and name in the pages."""

import ast
import inspect
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
import typer.main

import asc_mrkd
from asc_mrkd.cli.app import build_app
from asc_mrkd.engine.sweeps import load_points
from asc_mrkd.errors import AscMrkdError, ConfigError

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "features/README.md")),
    *sorted(ROOT.glob("recipes/*/README.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
]
APP = typer.main.get_command(build_app())
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
RECIPES = sorted(path.parent.name for path in ROOT.glob("recipes/*/run.sh"))


def code_blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a page in that language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def split_commands(text: str) -> list[list[str]]:
    """Return the words of every command, up to a comment, a pipe or a redirection."""
    commands = []
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        end = next((i for i, word in enumerate(words) if word in "|>&&;"), len(words))
        if words[:end]:
            commands.append(words[:end])
    return commands


def shown_commands() -> list[list[str]]:
    """Return every command in the bash blocks of the pages."""
    return [words for page in PAGES for block in code_blocks(page, "bash") for words in split_commands(block)]


def help_examples(command: Any) -> list[list[str]]:
    """Return the example of every verb's help."""
    found = [words for verb in getattr(command, "commands", {}).values() for words in help_examples(verb)]
    _, _, example = (command.help or "").partition("Example: ")
    return found + split_commands(example)


def check_verb(words: list[str]) -> None:
    """Follow the verbs of an asc-mrkd command and look its options up."""
    command = APP
    rest = words[3:] if words[1] == "--code" else words[1:]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"not a verb: {shlex.join(words)}"
        command = command.commands[rest[0]]
        rest = rest[1:]
    known = {name for parameter in command.params for name in parameter.opts} | {"-h", "--help", "--debug"}
    known |= {"--install-completion", "--show-completion"}
    unknown = {word.partition("=")[0] for word in rest if word.startswith("-")} - known
    assert not unknown, f"not an option: {shlex.join(words)}"


def check_script(words: list[str]) -> None:
    """Look a shell script up; a recipe shows its stages with the options given."""
    assert (ROOT / words[1]).is_file(), shlex.join(words)
    if words[1].startswith("recipes/"):
        done = subprocess.run([*words, "--list"], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, f"{shlex.join(words)}: {done.stderr}"


def check_python(words: list[str]) -> None:
    """Look a Python script up, or run the code after -c."""
    if words[1] == "-c":
        subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    else:
        assert (ROOT / words[1]).is_file(), shlex.join(words)


def check_torchrun(words: list[str]) -> None:
    """Check the verb that torchrun starts."""
    start = words.index("asc_mrkd")
    check_verb(words[start:])


def check_pip(words: list[str]) -> None:
    """Check that pip installs this package, with extras that exist."""
    assert words[1] == "install"
    extras = re.fullmatch(r"(?:\.|asc-mrkd)(?:\[(.*)\])?", words[2])
    assert extras is not None, shlex.join(words)
    assert not extras[1] or set(extras[1].split(",")) <= set(EXTRAS)


def accept(words: list[str]) -> None:
    """Accept a command of another tool."""


CHECKS = {
    "asc-mrkd": check_verb,
    "bash": check_script,
    "mkdocs": accept,
    "npm": accept,
    "pip": check_pip,
    "pre-commit": accept,
    "pytest": accept,
    "python": check_python,
    "torchrun": check_torchrun,
}


def test_f4_public_names_are_listed_and_resolve():
    assert sorted(asc_mrkd.__all__) == dir(asc_mrkd)
    for name in asc_mrkd.__all__:
        assert getattr(asc_mrkd, name) is not None
    with pytest.raises(AttributeError, match="MemoryReply"):
        _ = asc_mrkd.MemoryReply


def test_f4_public_names_come_from_where_type_checkers_look():
    imported = {}
    for node in ast.walk(ast.parse(Path(asc_mrkd.__file__).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module not in ("typing", "asc_mrkd.lazy"):
            imported |= {alias.name: node.module for alias in node.names}
    public = set(asc_mrkd.__all__) - {"__version__"}
    assert {name: getattr(asc_mrkd, name).__module__ for name in public} == imported


def test_no_public_name_hides_a_room():
    rooms = {path.stem for path in Path(asc_mrkd.__file__).parent.iterdir()}
    assert not rooms & set(asc_mrkd.__all__)


def switches_of_public_names() -> list[Any]:
    """Return every public function with its parameters that are True or False."""
    found = []
    for name in sorted(set(asc_mrkd.__all__) - {"__version__"}):
        for parameter in inspect.signature(getattr(asc_mrkd, name)).parameters.values():
            if parameter.annotation in (bool, bool | None):
                found.append(pytest.param(name, parameter.name, id=f"{name}-{parameter.name}"))
    return found


@pytest.mark.parametrize(("name", "switch"), switches_of_public_names())
def test_a_word_is_not_taken_for_true(name, switch):
    function = getattr(asc_mrkd, name)
    required = [one for one in inspect.signature(function).parameters.values() if one.default is one.empty]
    with pytest.raises(ConfigError, match=f"^{switch}='no' is neither True nor False$"):
        function(*["anything" for _ in required], **{switch: "no"})


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
    examples = help_examples(APP)
    assert {"train", "predict", "submit", "recipes"} <= {words[1] for words in examples}
    for words in examples:
        check_verb(words)


@pytest.mark.parametrize("tool", CHECKS)
def test_the_commands_of_the_pages_exist(tool):
    commands = [words for words in shown_commands() if words[0] == tool]
    assert commands
    for words in commands:
        CHECKS[tool](words)


def settings_of(words: list[str]) -> list[str]:
    """Return the settings of a command, `section.key=value`."""
    return [word for word in words if "=" in word and not word.startswith("-")]


@pytest.mark.parametrize(("verb", "load"), [("train", asc_mrkd.load_experiment), ("sweep", load_points)])
def test_the_settings_in_the_pages_suit_their_experiment(verb, load, monkeypatch):
    monkeypatch.chdir(ROOT)
    commands = [words for words in shown_commands() if words[1:2] == [verb] and words[2].endswith(".yaml")]
    assert commands
    for words in commands:
        conf = words[2].removeprefix("my_")  # my_recipes is a copy
        try:
            load(conf, settings_of(words))
        except AscMrkdError as error:
            pytest.fail(f"{shlex.join(words)}: {error}")


def test_a_run_folder_in_the_pages_holds_one_training():
    trained: dict[str, list[str]] = {}
    for words in shown_commands():
        if words[:2] == ["asc-mrkd", "train"] and "--out" in words:
            out = words[words.index("--out") + 1]
            training = [words[2], *settings_of(words)]
            assert trained.setdefault(out, training) == training, f"other settings in {out}: {shlex.join(words)}"


def test_the_options_by_name_in_the_text_of_the_pages_are_options():
    shown = [text for page in PAGES for text in re.findall(r"\*\*(asc_mrkd\.[^`)]*)\)", page.read_text())]
    assert len(shown) >= 2
    for text in shown:
        assert isinstance(eval(text), dict), text


def test_the_pages_show_commands_of_known_tools_alone():
    assert {words[0] for words in shown_commands()} <= set(CHECKS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_python_of_the_pages_compiles(page):
    for block in code_blocks(page, "python"):
        compile(block, str(page), "exec")


@pytest.mark.parametrize("page", ["README.md", "docs/methods.md"])
def test_the_loops_of_the_pages_run(page):
    torch.manual_seed(0)
    names: dict[str, object] = {}
    for block in code_blocks(ROOT / page, "python"):
        exec(compile(block, page, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_the_pages_lead_somewhere(page):
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        is_generated = page.is_relative_to(ROOT / "docs") and link.startswith("reference/")
        assert is_generated or (page.parent / link).exists(), link


def test_the_pages_name_every_method_front_end_and_recipe():
    from asc_mrkd.methods import METHODS

    readme = (ROOT / "README.md").read_text()
    assert not [entry.title for entry in METHODS.values() if entry.title.lower() not in readme.lower()]
    front_ends = (ROOT / "features/README.md").read_text()
    assert not [path.stem for path in ROOT.glob("features/*.yaml") if f"`{path.stem}`" not in front_ends]
    recipes = (ROOT / "docs/recipes.md").read_text()
    assert not [name for name in RECIPES if f"`{name}`" not in recipes]


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda run: asc_mrkd.load_experiment(run, "train.epochs=2"), "overrides"),
        (lambda run: asc_mrkd.fit_experiment(run, "train.epochs=2"), "overrides"),
        (lambda run: asc_mrkd.sweep(run, "train.epochs=2,3", run), "overrides"),
        (lambda run: asc_mrkd.compare(run), "runs"),
        (lambda run: asc_mrkd.fit_budget(run, steps="float16"), "steps"),
        (lambda run: asc_mrkd.write_report(run, run / "report.html"), "runs"),
    ],
)
def test_one_text_is_not_taken_for_a_list_of_its_characters(tmp_path, call, name):
    (tmp_path / "conf.yaml").write_text("data: {store: store}")
    with pytest.raises(ConfigError, match=f"{name}=.* is a single value, not a list") as error:
        call(tmp_path / "conf.yaml")
    assert error.value.hint.startswith(f"write {name}=[")


def test_the_path_of_an_experiment_is_not_taken_for_it(tmp_path):
    with pytest.raises(ConfigError, match=r"'conf\.yaml' is not an experiment") as error:
        asc_mrkd.train("conf.yaml", tmp_path / "run")  # type: ignore[arg-type]
    assert "load_experiment" in error.value.hint
