"""Trained networks without training: the model file, ONNX, the predictor.

Knows networks, front ends and run folders; knows nothing of training. Names are imported when first used.
"""

from typing import TYPE_CHECKING

__all__ = [
    "Caution",
    "FolderPredictions",
    "FoundFiles",
    "ModelFile",
    "Prediction",
    "Predictor",
    "Segment",
    "TimeLine",
    "describe_choice",
    "describe_suffixes",
    "load_model",
    "save_model",
]

if TYPE_CHECKING:
    from asc_mrkd.deploy.choice import describe_choice
    from asc_mrkd.deploy.inputs import Caution
    from asc_mrkd.deploy.model_file import ModelFile, load_model, save_model
    from asc_mrkd.deploy.predictor import FolderPredictions, FoundFiles, Prediction, Predictor, describe_suffixes
    from asc_mrkd.deploy.time_line import Segment, TimeLine
else:
    from asc_mrkd.lazy import lazy_names

    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "Caution": "asc_mrkd.deploy.inputs",
            "FolderPredictions": "asc_mrkd.deploy.predictor",
            "FoundFiles": "asc_mrkd.deploy.predictor",
            "ModelFile": "asc_mrkd.deploy.model_file",
            "Prediction": "asc_mrkd.deploy.predictor",
            "Predictor": "asc_mrkd.deploy.predictor",
            "Segment": "asc_mrkd.deploy.time_line",
            "TimeLine": "asc_mrkd.deploy.time_line",
            "describe_choice": "asc_mrkd.deploy.choice",
            "describe_suffixes": "asc_mrkd.deploy.predictor",
            "load_model": "asc_mrkd.deploy.model_file",
            "save_model": "asc_mrkd.deploy.model_file",
        },
    )
