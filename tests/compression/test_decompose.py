"""Decomposition: a decomposed network is found again, and a wider inside is closer to the original."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from asc_mrkd.compression.decompose import decompose
from asc_mrkd.deploy.model_file import ModelFile
from asc_mrkd.errors import ModelError
from asc_mrkd.models import build_model
from asc_mrkd.models.cp_resnet import DampedConv2d

OPTIONS = {"rho": 4, "width": 16, "blocks": [2, 1, 1], "init": "kaiming"}


def model_file(**options) -> ModelFile:
    torch.manual_seed(0)
    options = OPTIONS | options
    model = build_model("cp_resnet", 3, **options).eval()
    architecture = {"name": "cp_resnet", "num_classes": 3, "options": options}
    one = np.ones((1, 64, 1), dtype=np.float32)
    return ModelFile(model, architecture, ["a", "b", "c"], (2, 64, 64), 0 * one, one, None)


def joined(file: ModelFile) -> ModelFile:
    """Return the plain network that equals a decomposed one: its three convolutions multiplied out."""
    options = {**file.architecture["options"], "decomposition": 1}
    plain = build_model("cp_resnet", 3, **options).eval()
    for name, layer in plain.named_modules():
        source = file.model.get_submodule(name)
        if isinstance(layer, nn.Conv2d) and isinstance(source, nn.Sequential):
            first, middle, last = (part.weight.detach() for part in source)
            weight = torch.einsum("oa,abhw,bi->oihw", last[:, :, 0, 0], middle, first[:, :, 0, 0])
            layer.weight = nn.Parameter(weight)
        elif not any(layer.children()):
            layer.load_state_dict(source.state_dict())
            if isinstance(layer, DampedConv2d) and not isinstance(source, DampedConv2d):
                layer.weight.data /= layer.damper
    return replace(file, model=plain, architecture={**file.architecture, "options": options})


@pytest.mark.parametrize("damping", [None, 0.1])
@pytest.mark.parametrize("factor", [2, 4])
def test_a_decomposed_network_is_found_again(damping, factor):
    source = model_file(damping=damping, decomposition=factor)
    found = decompose(joined(source), factor)
    x = torch.randn(2, 2, 64, 64)
    torch.testing.assert_close(found.model(x), source.model(x), rtol=1e-4, atol=1e-4)
    shapes = {name: value.shape for name, value in source.model.state_dict().items()}
    assert {name: value.shape for name, value in found.model.state_dict().items()} == shapes
    assert found.architecture["options"]["decomposition"] == factor


def test_a_wider_inside_is_closer():
    file = model_file(damping=0.1)
    x = torch.randn(4, 2, 64, 64)
    with torch.no_grad():
        errors = [float((decompose(file, factor).model(x) - file.model(x)).abs().mean()) for factor in (2, 4, 8)]
    assert errors == sorted(errors)
    assert decompose(file, 2).model is not file.model


def test_networks_that_cannot_be_decomposed():
    with pytest.raises(ModelError, match="decomposed already"):
        decompose(model_file(decomposition=2), 2)
    with pytest.raises(ModelError, match="multiple of decomposition"):
        decompose(model_file(), 3)
    image = replace(model_file(), architecture={"name": "resnet20", "num_classes": 3, "options": {}})
    with pytest.raises(ModelError, match="resnet20 has no decomposed form"):
        decompose(image, 2)
