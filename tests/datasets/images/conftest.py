"""Every way in which the pickles of CIFAR may have been written."""

import pytest
from helpers.datasets import PICKLERS, Pickler


@pytest.fixture(params=PICKLERS.values(), ids=PICKLERS)
def pickler(request) -> Pickler:
    """Every way in which such a file may have been pickled."""
    return request.param
