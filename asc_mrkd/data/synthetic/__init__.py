"""Ten procedural city scenes with the layout of TUT Urban Acoustic Scenes 2018: a data set without a download."""

from asc_mrkd.data.synthetic.dataset import make_scenes

__all__ = ["make_scenes"]
