"""A server that publishes archives, and a small data set of several archives."""

import threading

import pytest
from helpers.download import Scenes, Server


@pytest.fixture
def server(monkeypatch):
    """A server on this machine, past any proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def scenes():
    """A data set of six archives, two of them small."""
    return Scenes()
