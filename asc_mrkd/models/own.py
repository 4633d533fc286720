"""Networks by name, or from a function in a file of the user."""

import inspect
from typing import Any

from torch import nn

from asc_mrkd.errors import AscMrkdError, ConfigError, ModelError, first_line, suggest
from asc_mrkd.models.registry import MODELS, build_model
from asc_mrkd.own_code import OwnCode, importable, load_own, parse_own

HINT = "write a function such as def build(num_classes, in_channels=2); asc-mrkd recipes cp template OUT shows one"
"""Hint for a function that makes no network."""


def build_network(name: str, num_classes: int, **options: Any) -> nn.Module:
    """Build a network of `MODELS`, or that of a function in a file, which is run.

    Args:
        name: name of a network, or `file.py:function`. The function takes `num_classes` and the options.
        num_classes: number of classes.
        **options: options of the network, or arguments of the function.

    Raises:
        ModelError: as from `build_model`; or the file or function is missing, it fails, or it makes no network.
    """
    code = parse_own(name)
    if code is None:
        return build_model(name, num_classes, **options)
    return build_own(code, num_classes, options)


def build_own(code: OwnCode, num_classes: int, options: dict[str, Any]) -> nn.Module:
    """Build the network of a function in a file; the arguments are those of `build_network`."""
    known = own_options(code)
    if known is not None:
        for option in options:
            if option not in known:
                raise ModelError(f"{code.label} has no argument '{option}'", suggest(option, known) or HINT)
    function = _load_function(code)
    try:
        with importable(code.file.parent):
            network = function(num_classes=num_classes, **options)
    except AscMrkdError:
        raise
    except (Exception, SystemExit) as error:
        raise ModelError(f"{code.label} failed: {first_line(error)}", HINT) from error
    if not isinstance(network, nn.Module):
        raise ModelError(f"{code.label} returned {type(network).__name__}, not a network", HINT)
    return network


def network_takes(name: str, option: str) -> bool:
    """Return whether a network has an option; an unknown one has none."""
    code = parse_own(name)
    if code is None:
        return name in MODELS and option in MODELS[name].defaults
    known = own_options(code)
    return known is None or option in known


def own_options(code: OwnCode) -> list[str] | None:
    """Return the arguments of a function besides the number of classes; None if it takes any.

    Raises:
        ModelError: the file or function is missing, it fails, or the function takes no number of classes.
    """
    parameters = inspect.signature(_load_function(code)).parameters
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return None
    if "num_classes" not in parameters:
        raise ModelError(f"{code.label} has no argument num_classes", HINT)
    return [name for name in parameters if name != "num_classes"]


def _load_function(code: OwnCode) -> Any:
    try:
        function = load_own(code, HINT)
    except ConfigError as error:
        raise ModelError(str(error), error.hint) from error.__cause__
    if not callable(function):
        raise ModelError(f"{code.label} is not a function", HINT)
    return function
