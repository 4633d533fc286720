"""State dicts of published CIFAR networks load as they are."""

import copy
import re

import pytest
import torch
from helpers.models import small_image_network
from torch import nn

from asc_mrkd.models import build_model

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def published_resnet20() -> set[str]:
    """Return the names in a published ResNet-20 with option B, in the spelling of torchvision."""
    names = {"conv1.weight", "fc.weight", "fc.bias"} | {f"bn1.{key}" for key in NORM}
    for block in (f"layer{stage}.{number}" for stage in (1, 2, 3) for number in range(3)):
        for number in (1, 2):
            names |= {f"{block}.conv{number}.weight"} | {f"{block}.bn{number}.{key}" for key in NORM}
        if block in ("layer2.0", "layer3.0"):
            names |= {f"{block}.downsample.0.weight"} | {f"{block}.downsample.1.{key}" for key in NORM}
    return names


SPELLINGS = {
    "own": {},
    "DataParallel": {"^": "module."},
    "torch.compile under DataParallel": {"^": "module._orig_mod."},
    "torchvision": {"linear": "fc", "shortcut": "downsample"},
    "all at once": {"linear": "fc", "shortcut": "downsample", "^": "_orig_mod.module."},
    "original wide residual network": {
        "linear": "fc",
        r"shortcut\.0": "convShortcut",
        r"layer(\d)": r"block\1.layer",
        "^": "module.",
    },
}


def spell(state: dict[str, torch.Tensor], spelling: dict[str, str]) -> dict[str, torch.Tensor]:
    for pattern, replacement in spelling.items():
        state = {re.sub(pattern, replacement, name): tensor for name, tensor in state.items()}
    return state


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_published_names_load_and_give_the_same_logits(spec, spelling):
    trained = small_image_network(spec)
    new = small_image_network(spec, seed=1)
    x = torch.randn(2, 3, 16, 16)
    state = spell(trained.state_dict(), SPELLINGS[spelling])
    names = list(state)
    assert not torch.allclose(new(x), trained(x))
    new.load_state_dict(state)
    assert torch.equal(new(x), trained(x))
    assert list(state) == names, "the caller's dict stays as it was"


def test_all_names_of_resnet20():
    model = build_model("resnet20", 10, shortcut="B")
    spelled = spell(model.state_dict(), SPELLINGS["torchvision"])
    assert set(spelled) == published_resnet20()


@pytest.mark.parametrize("spec", ["wrn_16_8", "resnet164"])
def test_last_normalisation_of_pre_activation_networks(spec):
    last = {"wrn_16_8": "bn1", "resnet164": "bn"}[spec]
    assert f"{last}.running_mean" in small_image_network(spec).state_dict()


def test_a_wrong_key_still_raises(spec):
    model = small_image_network(spec)
    state = model.state_dict()
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "head.weight"'):
        model.load_state_dict({**state, "module.head.weight": state["linear.weight"]})
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "linear.bias"'):
        model.load_state_dict({f"module.{name}": state[name] for name in state if name != "linear.bias"})
    with pytest.raises(RuntimeError, match="size mismatch for linear"):
        model.load_state_dict({**state, "linear.weight": state["linear.weight"][:-1]})


def test_two_spellings_of_one_tensor_raise(spec):
    model = small_image_network(spec)
    state = model.state_dict()
    with pytest.raises(RuntimeError, match=r'Unexpected key.*"fc.weight"'):
        model.load_state_dict({**state, "fc.weight": state["linear.weight"]})


def test_a_copy_and_a_part_of_another_module_load_too(spec):
    trained = small_image_network(spec)
    x = torch.randn(2, 3, 16, 16)
    outer = nn.ModuleDict({"fc": nn.Linear(2, 2), "student": copy.deepcopy(small_image_network(spec, seed=1))})
    published = spell(trained.state_dict(), SPELLINGS["torchvision"])
    inner = {f"student.{name}": tensor for name, tensor in published.items()}
    outer.load_state_dict({**inner, "fc.weight": torch.ones(2, 2), "fc.bias": torch.zeros(2)})
    assert torch.equal(outer["student"](x), trained(x))
