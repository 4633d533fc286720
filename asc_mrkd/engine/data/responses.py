"""Impulse responses of recording devices as gains of the bands of a front end."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from asc_mrkd import audio
from asc_mrkd.config import AugmentConfig
from asc_mrkd.engine.data.samples import ExperimentData, Samples
from asc_mrkd.errors import ConfigError
from asc_mrkd.features.filterbank import torch_filterbank
from asc_mrkd.features.spec import FrontendSpec

LOWEST_POWER = 1e-6
"""Smallest power gain at a frequency, -60 dB; responses are often empty above the range of their device."""


def response_files(folder: str) -> list[Path]:
    """Return the sound files of a folder in the order of their names.

    Raises:
        ConfigError: there are none.
    """
    root = Path(folder)
    files: list[Path] = []
    if root.is_dir():
        files = sorted(path for path in root.iterdir() if path.suffix.lower() in audio.SOUND_SUFFIXES)
    if not files:
        raise ConfigError(
            f"augment.device_responses={folder} is not a folder of sound files", "name a folder of impulse responses"
        )
    return files


def response_gains(folder: str, spec: FrontendSpec) -> np.ndarray:
    """Return what each impulse response adds to the bands of a spectrogram: (response, mel), float32.

    The unit is that of the features: dB or natural logarithm. On average over the frequencies a response changes no
    power, as its level says nothing about its device. Of several channels the mean is taken. What comes after the
    length of the Fourier transform is left out.

    Raises:
        ConfigError: there are no files.
        AudioError: a file cannot be used.
    """
    filters = torch_filterbank(spec).astype(np.float64)
    gains = []
    for path in response_files(folder):
        recording = audio.read_audio(path)
        mono = recording.samples.mean(0, keepdims=True)
        response = audio.resample(mono, recording.sample_rate, spec.sample_rate)[0]
        power = np.abs(np.fft.rfft(response.astype(np.float64), spec.n_fft)) ** 2
        power = np.maximum(power / max(power.mean(), np.finfo(float).tiny), LOWEST_POWER)
        if spec.scale == "perceptual_db":  # the filters sum dB
            gains.append(filters @ (10 * np.log10(power)))
        else:  # the filters sum magnitudes to the power of the front end
            gains.append(np.log(filters @ power ** (spec.power / 2) / filters.sum(1)))
    return np.stack(gains).astype(np.float32)


def with_responses(samples: Samples, augment: AugmentConfig) -> Samples:
    """Return the samples with the gains of the responses that the augmentation names, if it names any."""
    if augment.device_responses is None or samples.frontend is None:
        return samples
    gains = response_gains(augment.device_responses, samples.frontend)
    return replace(samples, responses=torch.from_numpy(gains).to(samples.labels.device))


def require_fitting_responses(augment: AugmentConfig, source: ExperimentData) -> None:
    """Refuse impulse responses that cannot be read; without any do nothing."""
    if augment.device_responses is not None and source.frontend is not None:
        response_gains(augment.device_responses, source.frontend)


def identify_responses(augment: AugmentConfig) -> AugmentConfig:
    """Return the section with the SHA-256 of its impulse responses; without any it stays as it is.

    Raises:
        ConfigError: there are no files, or they have another SHA-256 than the section says.
    """
    if augment.device_responses is None:
        return augment
    checksum = hashlib.sha256()
    for path in response_files(augment.device_responses):
        checksum.update(hashlib.sha256(path.read_bytes()).digest())
    digest = checksum.hexdigest()
    if augment.responses_digest not in (None, digest):
        raise ConfigError(
            f"the impulse responses in {augment.device_responses} are not those that this experiment belongs to",
            "bring the former files back; augment.responses_digest=null takes any",
        )
    return augment.model_copy(update={"responses_digest": digest})
