"""The device that computes: the CPU or a GPU."""

import torch

from asc_mrkd.errors import ConfigError, first_line


def choose_device(name: str) -> torch.device:
    """Return the device of that name; `auto` is the GPU if there is one, else the CPU.

    Raises:
        ConfigError: the device does not exist.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # a device without storage, such as meta, cannot give a number back
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ConfigError(f"device={name}: {first_line(error)}", "asc-mrkd doctor") from None
    return device
