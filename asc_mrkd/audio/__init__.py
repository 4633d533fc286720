"""Recordings: read whole or refused with a reason code, resampled, given the wanted number of channels.

Knows files and samples, nothing of features or data sets. Names are imported on first use.
"""

from asc_mrkd.lazy import lazy_names

__all__ = ["REASONS", "SOUND_SUFFIXES", "Audio", "match_channels", "read_audio", "resample"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "REASONS": "asc_mrkd.audio.reasons",
        "SOUND_SUFFIXES": "asc_mrkd.audio.containers",
        "Audio": "asc_mrkd.audio.read",
        "match_channels": "asc_mrkd.audio.read",
        "read_audio": "asc_mrkd.audio.read",
        "resample": "asc_mrkd.audio.read",
    },
)
