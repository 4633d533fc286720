"""Fixtures of the training methods."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def hooks_are_seen() -> Iterator[None]:
    """Let torch.compile distinguish networks with hooks from those without, as the engine does."""
    torch.compiler.reset()
    with torch._dynamo.config.patch(skip_nnmodule_hook_guards=False):
        yield
