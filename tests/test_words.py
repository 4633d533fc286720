"""Plain English: the worst habits of a private dialect appear in no docstring, comment, message or page."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("asc_mrkd", "tests", "tools", "docs", "recipes", "features")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")) if path != Path(__file__)]
TEXTS = [
    path for path in (*FILES, *sorted(ROOT.glob("*.md"))) if path.suffix in (".py", ".md", ".sh", ".yaml", ".ipynb")
]

INSTEAD = {
    r"(?<!there )\bis no (?!longer)": "is not a",
    r"\bbeside\b": "next to, besides",
    r"\btells of\b": "reports",
    r"\bso many\b": "as many, or the number itself",
    r"\ban? (row|line|verb|file|process|folder|word|command) an? [a-z]+": "one X per Y",
    r"\bwhich of it\b": "the name of the thing",
    r"\bof its own(?! [a-z])": "separate, own",
    r"\banew\b": "again",
    r"\bunder way\b": "in progress, running",
    r"\bthe answer is no\b": "the check failed",
    r'"""(What|Which|How|Why) ': "a verb or a noun phrase",
}
"""Habits, and the words to use in their place."""


@pytest.mark.slow
@pytest.mark.parametrize("habit", INSTEAD)
def test_a_habit_stands_nowhere(habit):
    found = []
    for path in TEXTS:
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if re.search(habit, line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not found, f"write {INSTEAD[habit]!r} instead:\n" + "\n".join(found)
