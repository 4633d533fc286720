"""Sentences that the model card of a run and that of an export share."""

from asc_mrkd.deploy.model_file import ModelFile
from asc_mrkd.features.spec import FrontendSpec

LIMITS = (
    "The network knows only its classes: any recording gets one of them. Recordings unlike those that it was "
    "trained on, from other devices or places, get answers that the figures above say nothing about."
)
"""Sentences on what no figure of a card says."""


def network_text(file: ModelFile) -> str:
    """Return the name of a network with its options."""
    options = ", ".join(f"{name}={value}" for name, value in file.architecture["options"].items())
    return f"{file.architecture['name']}{f' ({options})' if options else ''}"


def frontend_text(spec: FrontendSpec) -> str:
    """Return a front end in words, without a full stop."""
    channels = "1 channel" if spec.channels == 1 else f"{spec.channels} channels"
    return (
        f"{spec.name}, {spec.description}, of {spec.clip_seconds:g} s at {spec.sample_rate:,} Hz, "
        f"{channels}, n_fft {spec.n_fft}, hop {spec.hop_length}"
    )
