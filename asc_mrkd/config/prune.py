"""The settings of pruning while training."""

from typing import Literal

from pydantic import model_validator

from asc_mrkd.schema import Count, Fraction, Schema


class PruneConfig(Schema):
    """Magnitude pruning while training: masks set at the start of every epoch, multiplied in at the end."""

    amount: Fraction | None = None
    """Fraction of the weights to end without."""
    keep: Count | None = None
    """In its place: parameters to end with, batch normalisation included."""
    scope: Literal["global", "layer"] = "global"
    """Compare magnitudes over the whole network, or within each layer."""
    kernels: Literal["all", "1x1"] = "all"
    ramp: Literal["linear", "exp"] = "linear"
    """How the fraction grows: epoch / ramp_epochs, or exp(-(1 - epoch / ramp_epochs)^3)."""
    ramp_epochs: Count = 50

    @model_validator(mode="after")
    def _check_target(self) -> "PruneConfig":
        if (self.amount is None) == (self.keep is None):
            raise ValueError("give either amount or keep")
        return self
