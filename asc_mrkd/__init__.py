"""asc_mrkd: acoustic scene classification trained with Memory-replay Knowledge Distillation.

Each verb of the command line is one of these functions. They are imported when they are first used.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "MemoryReplay",
    "Predictor",
    "__version__",
    "allow_code",
    "build_model",
    "check_budget",
    "check_data",
    "check_submission",
    "compare",
    "compress",
    "demo",
    "download_dataset",
    "evaluate",
    "export",
    "extract",
    "fit_budget",
    "fit_experiment",
    "join_stores",
    "load_experiment",
    "load_model",
    "make_images",
    "make_scenes",
    "make_submission",
    "show_progress",
    "sweep",
    "train",
    "write_report",
]

if TYPE_CHECKING:
    from asc_mrkd.budget.verdict import check_budget
    from asc_mrkd.cli.progress import show_progress
    from asc_mrkd.compression.compressor import compress, fit_budget
    from asc_mrkd.datasets.synthetic.dataset import make_images, make_scenes
    from asc_mrkd.deploy.model_file import load_model
    from asc_mrkd.deploy.predictor import Predictor
    from asc_mrkd.doctor import check_data
    from asc_mrkd.download.dataset import download_dataset
    from asc_mrkd.engine.fitting import fit_experiment
    from asc_mrkd.engine.sweeps import sweep
    from asc_mrkd.engine.training import train
    from asc_mrkd.evaluation.comparison import compare
    from asc_mrkd.evaluation.summary import evaluate
    from asc_mrkd.exports.demonstration import demo
    from asc_mrkd.exports.exporter import export
    from asc_mrkd.methods.registry import load_experiment
    from asc_mrkd.models.registry import build_model
    from asc_mrkd.mrkd.memory_replay import MemoryReplay
    from asc_mrkd.own_code import allow_code
    from asc_mrkd.report.html import write_report
    from asc_mrkd.store.extraction import extract
    from asc_mrkd.store.shards import join_stores
    from asc_mrkd.submission.check import check_submission
    from asc_mrkd.submission.make import make_submission
else:
    from asc_mrkd.lazy import lazy_names

    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "MemoryReplay": "asc_mrkd.mrkd.memory_replay",
            "Predictor": "asc_mrkd.deploy.predictor",
            "allow_code": "asc_mrkd.own_code",
            "build_model": "asc_mrkd.models.registry",
            "check_budget": "asc_mrkd.budget.verdict",
            "check_data": "asc_mrkd.doctor",
            "check_submission": "asc_mrkd.submission.check",
            "compare": "asc_mrkd.evaluation.comparison",
            "compress": "asc_mrkd.compression.compressor",
            "demo": "asc_mrkd.exports.demonstration",
            "download_dataset": "asc_mrkd.download.dataset",
            "evaluate": "asc_mrkd.evaluation.summary",
            "export": "asc_mrkd.exports.exporter",
            "fit_budget": "asc_mrkd.compression.compressor",
            "fit_experiment": "asc_mrkd.engine.fitting",
            "extract": "asc_mrkd.store.extraction",
            "join_stores": "asc_mrkd.store.shards",
            "load_experiment": "asc_mrkd.methods.registry",
            "load_model": "asc_mrkd.deploy.model_file",
            "make_images": "asc_mrkd.datasets.synthetic.dataset",
            "make_scenes": "asc_mrkd.datasets.synthetic.dataset",
            "make_submission": "asc_mrkd.submission.make",
            "show_progress": "asc_mrkd.cli.progress",
            "sweep": "asc_mrkd.engine.sweeps",
            "train": "asc_mrkd.engine.training",
            "write_report": "asc_mrkd.report.html",
        },
    )
