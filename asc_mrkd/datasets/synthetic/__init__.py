"""Ten procedural city scenes with the layout of an official data set: a data set without a download."""

from asc_mrkd.datasets.synthetic.dataset import make_scenes

__all__ = ["make_scenes"]
