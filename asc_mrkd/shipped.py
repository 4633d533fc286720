"""Files that come along with the package: recipes and front-end definitions."""

from pathlib import Path


def shipped(kind: str) -> Path:
    """Return the folder `recipes` or `features`: of the source tree, or of the installed wheel.

    >>> (shipped("features") / "pmel256.yaml").exists()
    True
    """
    package = Path(__file__).parent
    installed = package / "_shipped" / kind
    return installed if installed.exists() else package.parent / kind
