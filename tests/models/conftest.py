"""The image networks in turn."""

import pytest
from helpers.models import IMAGE_NETWORKS


@pytest.fixture(params=IMAGE_NETWORKS)
def spec(request) -> str:
    """Name of each small image network in turn."""
    return request.param
