"""The pages of the documentation that are made from the code, as a hook of mkdocs.

- reference/commands.md: every verb with its arguments and options, from the application itself
- reference/functions.md: the public functions and classes of `asc_mrkd`
- reference/lists.md: methods, networks, front ends, rules and tasks, from their registries
- reference/ROOM.md: the modules of a room with their docstrings
- notebook.md: the cells of notebook.ipynb, which lies next to it
- front ends, contributing, changelog, security: the pages of the source tree, with their links turned
"""

import ast
import inspect
import json
import re
from pathlib import Path
from typing import Any

import griffe
import typer.main
import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "asc_mrkd"
COPIED = {
    "reference/front-ends.md": "features/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "security.md": "SECURITY.md",
}
"""Pages of the source tree, by their place in the documentation."""

EXAMPLE = re.compile(r"^(?P<indent> *)(?P<code>>>> .*(?:\n(?P=indent)\S.*)*)", flags=re.MULTILINE)
"""A doctest: the lines from `>>>` to the next empty line."""

SKETCH = re.compile(r"^Example:\n(?P<code>(?:    .*\n?|\n)+)", flags=re.MULTILINE)
"""An example that is not run with the tests: the lines below `Example:`."""


class FencedExamples(griffe.Extension):
    """Extension of mkdocstrings that shows the examples of docstrings as code."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Put fences around the examples of a docstring."""
        if obj.docstring is not None:
            text = inspect.cleandoc(obj.docstring.value)
            text = EXAMPLE.sub(lambda match: fence(match["code"], "pycon", match["indent"]), text)
            obj.docstring.value = SKETCH.sub(lambda match: "\n" + fence(match["code"], "python"), text)


def fence(code: str, language: str, indent: str = "") -> str:
    """Return code in a fenced block of Markdown; code that has fences keeps them.

    >>> fence("    f(1)", "python")
    '```python\\nf(1)\\n```\\n'
    """
    if "```" in code:
        return inspect.cleandoc(code) + "\n"
    return f"{indent}```{language}\n{indent}{inspect.cleandoc(code)}\n{indent}```\n"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the reference into the navigation."""
    rooms = [{f"asc_mrkd.{room}": f"reference/{room}.md"} for room in room_names()]
    pages: list[Any] = [
        {"Commands": "reference/commands.md"},
        {"Functions": "reference/functions.md"},
        {"Lists": "reference/lists.md"},
        {"Front ends": "reference/front-ends.md"},
        {"Rooms": rooms},
    ]
    for entry in config.nav or []:
        if "Reference" in entry:
            entry["Reference"] = pages
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    pages = {
        "reference/commands.md": commands_page(),
        "reference/functions.md": functions_page(),
        "reference/lists.md": lists_page(),
        "notebook.md": notebook_page(ROOT / "docs/notebook.ipynb"),
    }
    for room in room_names():
        pages[f"reference/{room}.md"] = room_page(room)
    for place, source in COPIED.items():
        pages[place] = copied_page(source)
    for place, content in pages.items():
        files.append(File.generated(config, place, content=content))
    for picture in sorted((ROOT / "features/pictures").glob("*.png")):
        files.append(File.generated(config, f"reference/pictures/{picture.name}", abs_src_path=str(picture)))
    return files


def room_names() -> list[str]:
    """Return the rooms of the package, without the command line."""
    return sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py") if path.parent.name != "cli")


def room_page(room: str) -> str:
    """Return the page of a room: its own sentence and the docstrings of its modules."""
    blocks = [f"# asc_mrkd.{room}"]
    docstring = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text()))
    blocks.append(docstring or "")
    for path in sorted((PACKAGE / room).rglob("*.py")):
        module = path.relative_to(ROOT).with_suffix("")
        if module.name != "__init__":
            blocks.append(f"::: {'.'.join(module.parts)}")
    return "\n\n".join(blocks)


def functions_page() -> str:
    """Return the page of the public functions and classes, with the docstrings of the modules that define them."""
    blocks = ["# Functions", "Every verb is one of these functions: `import asc_mrkd`, then `asc_mrkd.train(...)`."]
    for node in ast.walk(ast.parse((PACKAGE / "__init__.py").read_text())):
        if isinstance(node, ast.ImportFrom) and node.module not in ("typing", "asc_mrkd.lazy"):
            for alias in node.names:
                options = "    options: {show_root_full_path: false}"
                blocks.append(f"::: {node.module}.{alias.name}\n{options}")
    return "\n\n".join(blocks)


def commands_page() -> str:
    """Return the page of the command line: usage, help and options of every verb."""
    from asc_mrkd.cli.app import HELP, build_app

    application = typer.main.get_command(build_app())
    return "\n\n".join(["# Commands", HELP, *command_blocks(application, "asc-mrkd")])


def command_blocks(command: Any, name: str) -> list[str]:
    """Return the blocks of a verb, or of the verbs in it."""
    verbs = getattr(command, "commands", None)
    if verbs is not None:
        return [block for verb in verbs.values() for block in command_blocks(verb, f"{name} {verb.name}")]
    text, _, example = (command.help or "").partition("Example:")
    blocks = [f"## {name}", text.strip()]
    if example:
        blocks.append(f"```bash\n{example.strip()}\n```")
    rows = ["| argument or option | meaning | default |", "|---|---|---|"]
    for parameter in command.params:
        rows.append(f"| `{parameter_name(parameter)}` | {table_text(parameter.help)} | {default_text(parameter)} |")
    return [*blocks, "\n".join(rows)]


def parameter_name(parameter: Any) -> str:
    """Return an argument or option as it is written on the command line."""
    value = parameter.metavar or parameter.name.upper()
    if parameter.param_type_name == "argument":
        return value
    if parameter.is_flag:
        return parameter.opts[0]
    return f"{parameter.opts[0]} {value}"


def default_text(parameter: Any) -> str:
    """Return the default of an argument or option."""
    if parameter.required:
        return "required"
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    if parameter.default in (None, False, "", ()) or callable(parameter.default):
        return ""
    return f"`{parameter.default}`"


def table_text(text: str | None) -> str:
    """Return a text for a cell of a Markdown table."""
    return " ".join((text or "").split()).replace("|", "\\|").replace("<", "&lt;")


def lists_page() -> str:
    """Return the page of everything that has a name."""
    from asc_mrkd.budget import RULES
    from asc_mrkd.methods import METHODS
    from asc_mrkd.models import MODELS
    from asc_mrkd.submission import TASKS

    methods = [(name, row.title) for name, row in METHODS.items()]
    models = [(name, row.summary) for name, row in MODELS.items()]
    rules = [(name, row.title) for name, row in RULES.items()]
    tasks = [(name, row.title) for name, row in TASKS.items()]
    front_ends = []
    for path in sorted((ROOT / "features").glob("*.yaml")):
        sections = yaml.safe_load(path.read_text())
        front_ends.append((path.stem, f"{sections['sample_rate']} Hz, {sections['n_mels']} Mel bands"))
    return "\n\n".join(
        [
            "# Lists",
            "The names that commands and experiment files take.",
            *name_table("Training methods", "`asc-mrkd methods` shows them with their options.", methods),
            *name_table("Networks", "`asc-mrkd models` shows them with their options.", models),
            *name_table("Front ends", "[Front ends](front-ends.md) describes them.", front_ends),
            *name_table("Rules of budgets", "`asc-mrkd check-budget --list-rules` shows their sources.", rules),
            *name_table("Challenge tasks", "`asc-mrkd submit tasks` describes them.", tasks),
        ]
    )


def name_table(title: str, sentence: str, rows: list[tuple[str, str]]) -> list[str]:
    """Return the blocks of one list."""
    lines = [f"| name | {title.lower()} |", "|---|---|"]
    lines += [f"| `{name}` | {table_text(text)} |" for name, text in rows]
    return [f"## {title}", sentence, "\n".join(lines)]


def notebook_page(path: Path) -> str:
    """Return the page of a notebook: its text, and its code in fences."""
    blocks = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            text = f"```python\n{text}\n```"
        blocks.append(text)
    title, *others = blocks
    link = f"[The notebook]({path.name}), to be run in Jupyter; [the gallery](gallery.md) shows what it ends in."
    return "\n\n".join([title, link, *others])


def copied_page(source: str) -> str:
    """Return a page of the source tree; links to other files of the tree become plain names."""
    text = (ROOT / source).read_text()
    return re.sub(r"(?<!!)\[([^\]]+)\]\((?!http|#)[^)]+\)", r"`\1`", text)
