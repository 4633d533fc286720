"""Public names of a package that are imported on first use.

`import asc_mrkd` and `asc-mrkd --help` must not wait for torch, which takes seconds to import. A package names its
public functions without importing the modules that define them.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazy_names(package: str, homes: dict[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the functions `__getattr__` and `__dir__` of a package (PEP 562).

    Args:
        package: `__name__` of the package.
        homes: module that defines each public name; all are in `__all__` of the package.

    Example:
        `__getattr__, __dir__ = lazy_names(__name__, {"FeatureStore": "asc_mrkd.store.layout"})`
    """

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(import_module(homes[name]), name)

    def __dir__() -> list[str]:
        return sorted(import_module(package).__all__)

    return __getattr__, __dir__
