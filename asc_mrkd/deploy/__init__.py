"""Trained networks at work: the model file, ONNX, the predictor.

Knows networks and front ends, nothing of training. Names are imported when first used.
"""

from asc_mrkd.lazy import lazy_names

__all__ = ["ModelFile", "Predictor", "load_model", "save_model"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "ModelFile": "asc_mrkd.deploy.model_file",
        "Predictor": "asc_mrkd.deploy.predictor",
        "load_model": "asc_mrkd.deploy.model_file",
        "save_model": "asc_mrkd.deploy.model_file",
    },
)
