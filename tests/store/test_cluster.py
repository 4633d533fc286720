"""Extraction on a real Dask cluster of this machine."""

import os
import signal
import threading

import pytest
from helpers.progress import RecordedProgress
from helpers.store import differing_files

from asc_mrkd.errors import ConfigError
from asc_mrkd.store import extract_clips
from asc_mrkd.store.journal import JOURNAL

distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")


@pytest.fixture
def cluster():
    """A scheduler and two workers, each a process that is started again after its death."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        yield cluster


@pytest.mark.slow
def test_a_killed_worker_of_a_cluster_changes_no_byte(cluster, many, spec, whole, tmp_path):
    pids = [worker.pid for worker in cluster.workers.values()]
    assert len(pids) == 2

    def kill_one() -> None:
        while not (tmp_path / "store" / JOURNAL).exists():
            pass
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
