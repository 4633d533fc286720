"""Recordings: read whole or refused with a reason code, resampled, given the wanted channels.

Knows files and samples, nothing of features or data sets.
"""

from asc_mrkd.audio.read import REASONS, Audio, match_channels, read_audio, resample

__all__ = ["REASONS", "Audio", "match_channels", "read_audio", "resample"]
