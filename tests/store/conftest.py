"""A small recorded data set in the official layout, its front end, and the store of an undisturbed extraction."""

from pathlib import Path

import pytest
from helpers.store import Recordings, small_spec, write_recordings

from asc_mrkd.features import FrontendSpec
from asc_mrkd.store import extract_clips


@pytest.fixture(scope="session")
def spec() -> FrontendSpec:
    """Front end for clips of half a second."""
    return small_spec()


@pytest.fixture
def recordings(tmp_path) -> Recordings:
    """Ten clips, which a test may damage."""
    return write_recordings(tmp_path / "set", 10)


@pytest.fixture(scope="session")
def many(tmp_path_factory) -> Recordings:
    """Enough clips to interrupt their extraction."""
    return write_recordings(tmp_path_factory.mktemp("many") / "set", 120)


@pytest.fixture(scope="session")
def whole(many, spec, tmp_path_factory) -> Path:
    """Store of the many clips, extracted undisturbed."""
    out = tmp_path_factory.mktemp("whole") / "store"
    extract_clips(many.clips, many.root, spec, out, workers=1)
    return out


@pytest.fixture
def in_this_process(monkeypatch) -> None:
    """Extract without worker processes, where they are not what is tested."""

    def map_here(pool, task, chunks, on_crash):
        for chunk in chunks:
            yield from task(chunk)

    monkeypatch.setattr("asc_mrkd.store.extraction.map_in_order", map_here)
