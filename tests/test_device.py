"""The device that computes, by name."""

import pytest

from asc_mrkd.device import choose_device
from asc_mrkd.errors import ConfigError


@pytest.mark.parametrize("name", ["meta", "hpu", "xla", "vulkan", "privateuseone", "cuda:99", "", "gpu"])
def test_t1_a_device_that_cannot_compute_is_refused_by_name(name):
    with pytest.raises(ConfigError, match=f"^device={name}: ") as caught:
        choose_device(name)
    assert caught.value.hint == "asc-mrkd doctor"


def test_the_processor_is_there():
    assert choose_device("cpu").type == "cpu"
