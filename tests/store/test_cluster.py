"""Extraction on a real Dask cluster of this machine."""

import os
import signal
import threading
import time

import pytest
from helpers.cluster import distributed, start_cluster
from helpers.progress import RecordedProgress
from helpers.store import differing_files

from asc_mrkd.errors import ConfigError
from asc_mrkd.store import extract_clips
from asc_mrkd.store.layout import JOURNAL
from asc_mrkd.workers import require_same_versions


@pytest.fixture(scope="module")
def cluster():
    """A scheduler and two workers; the last test that uses it takes the package from them."""
    with start_cluster() as cluster:
        yield cluster


@pytest.mark.slow
def test_a_killed_worker_of_a_cluster_changes_no_byte(cluster, many, spec, whole, tmp_path):
    pids = [worker.pid for worker in cluster.workers.values()]
    assert len(pids) == 2

    def kill_one() -> None:
        while not (tmp_path / "store" / JOURNAL).exists():
            time.sleep(0.001)
        os.kill(pids[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    progress = RecordedProgress()
    extract_clips(
        many.clips,
        many.root,
        spec,
        tmp_path / "store",
        progress=progress,
        scheduler=cluster.scheduler_address,
    )
    killer.join()
    assert progress.tasks == [("features", len(many.clips), "clips", 0, [1] * len(many.clips))]
    assert pids[0] not in [worker.pid for worker in cluster.workers.values()]
    assert not differing_files(tmp_path / "store", whole)


def test_an_address_where_nobody_answers(monkeypatch, recordings, spec, tmp_path):
    monkeypatch.setattr("asc_mrkd.workers.CONNECT_SECONDS", 1)
    with pytest.raises(ConfigError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9") as caught:
        extract_clips(recordings.clips, recordings.root, spec, tmp_path / "store", scheduler="tcp://127.0.0.1:9")
    assert "dask scheduler" in caught.value.hint
    with pytest.raises(ConfigError, match="no Dask scheduler answers at nowhere"):
        extract_clips(recordings.clips, recordings.root, spec, tmp_path / "store", scheduler="nowhere")


class OtherWorkers:
    """A client whose two workers have other versions."""

    def __init__(self, package: str, version: object) -> None:
        self.package = package
        self.version = version

    def run(self, function, code, on_error):
        ours = function(code)
        return {"tcp://a:1": ours, "tcp://b:2": self.version if f"'{self.package}'" in code else ours}


@pytest.mark.parametrize(
    ("package", "version", "message"),
    [
        (
            "asc_mrkd",
            ModuleNotFoundError("No module named 'asc_mrkd'"),
            r"worker tcp://b:2 cannot import asc_mrkd: Module",
        ),
        ("asc_mrkd", "0.0.9", r"worker tcp://b:2 has asc_mrkd 0\.0\.9, this machine has 0\.1"),
        ("numpy", "1.26.4", r"worker tcp://b:2 has numpy 1\.26\.4, this machine has "),
        ("soxr", ImportError("libsoxr.so"), r"worker tcp://b:2 cannot import soxr: ImportError: libsoxr.so"),
    ],
)
def test_t5_a_worker_with_other_packages_is_named(package, version, message):
    with pytest.raises(ConfigError, match=message) as caught:
        require_same_versions(OtherWorkers(package, version))
    assert "install" in caught.value.hint


@pytest.mark.slow
def test_t5_a_worker_of_a_real_cluster_without_the_package(cluster, recordings, spec, tmp_path):
    with distributed.Client(cluster.scheduler_address) as client:
        client.run(exec, "import sys; sys.modules['asc_mrkd'] = None")
    with pytest.raises(ConfigError, match=r"worker tcp://127\.0\.0\.1:\d+ cannot import asc_mrkd: ModuleNotFoundError"):
        extract_clips(recordings.clips, recordings.root, spec, tmp_path / "store", scheduler=cluster.scheduler_address)
    assert not (tmp_path / "store").exists()
