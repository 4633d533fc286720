"""The documents agree with the code: floors, verbs, public functions; the documentation builds without a warning."""

import re
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import yaml
from helpers.data import link_scenes
from test_architecture import FLOORS

import asc_mrkd
from asc_mrkd.cli.app import VERBS

ROOT = Path(__file__).parents[1]


def floors_text() -> str:
    """Return the floors as CONTRIBUTING.md shows them, from the ground up."""
    lines = [f"{number:2}  {' '.join(sorted(floor))}" for number, floor in enumerate(FLOORS)]
    return "\n".join(["```", *lines, "```"])


def test_contributing_shows_the_floors():
    shown = re.search(
        r"<!-- floors -->\n(.*)\n<!-- /floors -->", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.DOTALL
    )
    assert shown is not None
    assert shown[1] == floors_text(), f"put this between the marks in CONTRIBUTING.md:\n{floors_text()}"


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == asc_mrkd.__version__
    assert citation["preferred-citation"]["doi"] == "10.3390/s21082792"


def test_every_python_of_the_package_is_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = [text.rpartition(" ")[2] for text in project["classifiers"] if ":: Python :: 3." in text]
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == versions
    assert project["requires-python"] == f">={versions[0]}"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Folder of the built documentation."""
    pytest.importorskip("mkdocs")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("docs") / "site"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCS_COMPLETE", "false")
        patch.chdir(ROOT)
        config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True)
        config.plugins.on_startup(command="build", dirty=False)
        try:
            build(config)  # a warning is an error
        finally:
            config.plugins.on_shutdown()
    return folder


@pytest.mark.slow
def test_the_reference_has_every_verb(site):
    page = (site / "reference/commands/index.html").read_text()
    for verbs in VERBS.values():
        for verb in verbs:
            assert f"asc-mrkd {verb}" in page


@pytest.mark.slow
def test_the_reference_has_every_public_function(site):
    page = (site / "reference/functions/index.html").read_text()
    for name in set(asc_mrkd.__all__) - {"__version__"}:
        assert f'.{name}"' in page


@pytest.mark.slow
def test_the_script_of_the_first_page_runs(few_scenes, tmp_path, monkeypatch, capsys):
    """With 20 clips instead of 120."""
    [script] = re.findall(r"```python\n(.*?)```", (ROOT / "docs/getting-started.md").read_text(), flags=re.DOTALL)
    assert "clips_per_class=12" in script
    script = script.replace("clips_per_class=12", "clips_per_class=2")
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    link_scenes(few_scenes, tmp_path / "exp" / "scenes")  # the script makes what is missing
    monkeypatch.chdir(tmp_path)
    exec(compile(script, "getting-started.md", "exec"), {})
    shape, accuracy, budget = capsys.readouterr().out.splitlines()[-3:]
    assert shape == "(20, 2, 256, 431)"
    assert accuracy.startswith("Spread(mean=")
    assert budget.startswith("True ")


def test_f4_the_errata_agree_with_the_recorded_tables():
    """Differences of Table 3 with the deviations of Table 2, and what Table 4 prints otherwise."""
    cells = pd.read_csv(ROOT / "recipes/cifar100/paper.csv")
    page = (ROOT / "docs/paper.md").read_text(encoding="utf-8")

    def column(table: str, method: str, value: str = "mean") -> pd.Series:
        chosen = cells[cells["table"].str.startswith(table) & (cells["column"] == method)]
        return chosen.set_index("row")[value]

    gains = (column("Table 3", "MrKD without KA") - column("Table 3", "MrKD")).round(2)
    others = gains.drop("ResNet-56")
    deviations = column("Table 2", "MrKD", "std")[gains.index]
    assert (
        f"it costs {-gains['ResNet-56']:.2f} on ResNet-56; {others.min():.2f} to {others.max():.2f} elsewhere, "
        f"at deviations of {deviations.min():.2f} to {deviations.max():.2f}" in page
    )
    first, second = column("Table 2", "MrKD"), column("Table 4", "KL loss")
    differing = [name for name in second.index if first[name] != second[name]]
    assert differing == ["ResNet-56"]
    assert f"MrKD on ResNet-56 is {first['ResNet-56']} | printed as {second['ResNet-56']}, with" in page
