"""A Dask cluster on this machine."""

import pytest

distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")


def start_cluster(workers: int = 2, attempts: int = 3) -> "distributed.LocalCluster":
    """Start a scheduler and workers, each a process that is started again after its death.

    On a busy machine the event loop does not always answer within distributed's ten seconds; then it is tried again.
    """
    try:
        return distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
        )
    except AssertionError:
        if attempts == 1:
            raise
        return start_cluster(workers, attempts - 1)
