"""Made-up runs and a made-up feature store."""

from pathlib import Path

import pytest
from helpers.runs import write_feature_store, write_run


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """CE and MrKD, four seeds each."""
    folder = tmp_path_factory.mktemp("exp")
    return [write_run(folder / "ce", skill=1.5), write_run(folder / "mrkd", "mrkd", skill=2.0)]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small feature store."""
    return write_feature_store(tmp_path_factory.mktemp("features") / "store")
