"""An accepted package of every task."""

import pytest
from helpers.submission import Package, make_package

from asc_mrkd.submission import TASKS


@pytest.fixture(scope="session")
def packages(tmp_path_factory) -> dict[str, Package]:
    """Packages by task; copy one before changing it."""
    return {name: make_package(tmp_path_factory.mktemp(name), name) for name in TASKS}
