"""Augmentations of spectrograms: masks, Freq-MixStyle and impulse responses of devices."""

from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import soundfile
import torch
from helpers.engine import train_run
from torchaudio.functional import mask_along_axis_iid

from asc_mrkd.config import AugmentConfig
from asc_mrkd.engine.data.augment import describe_augmentation, device_response, freq_mixstyle, spectrogram_masks
from asc_mrkd.engine.data.batches import training_batch
from asc_mrkd.engine.data.keys import Epoch
from asc_mrkd.engine.data.responses import response_gains
from asc_mrkd.engine.data.samples import open_data
from asc_mrkd.errors import ConfigError, InterruptedRun, RunError
from asc_mrkd.features import Frontend, load_spec
from asc_mrkd.methods import load_experiment
from asc_mrkd.rng import generator

SHORT = "method=ce", "train.epochs=2", "train.evaluate_every=0", "train.threads=1"


def one_batch(count, number=0):
    (key,) = Epoch(seed=0, number=number, count=count).batches(count)
    return key


@pytest.fixture
def responses(tmp_path):
    """A folder of two impulse responses: a low-pass and a difference."""
    folder = tmp_path / "responses"
    folder.mkdir()
    for name, taps in (("low", [0.5, 0.5]), ("high", [0.5, -0.4])):
        soundfile.write(folder / f"{name}.wav", np.pad(taps, (0, 62)), 8000, subtype="FLOAT")
    return folder


@pytest.mark.parametrize(("options", "axis"), [({"mask_bins": 7}, 2), ({"mask_frames": 11}, 3)])
def test_masks_are_those_of_torchaudio_for_the_same_draws(options, axis):
    x = torch.randn(40, 2, 16, 20, generator=torch.Generator().manual_seed(0)) + 10
    key = one_batch(40)
    masked = spectrogram_masks(x, AugmentConfig(**options), key)
    purpose = "masked bins" if axis == 2 else "masked frames"
    draws = [key.uniform(name).view(40, 1) for name in (purpose, f"{purpose}, start")]
    with mock.patch("torch.rand", side_effect=draws):
        [(_, widest)] = options.items()
        expected = mask_along_axis_iid(x, widest, 0.0, axis)
    assert torch.equal(masked, expected)
    widths = (masked == 0).any(1).sum(axis - 1).amax(1)
    assert widths.max() == widest - 1
    assert widths.float().mean().item() == pytest.approx((widest - 1) / 2, abs=1)


def test_freq_mixstyle_moves_the_statistics_of_every_band_between_two_samples():
    generator = torch.Generator().manual_seed(0)
    scale = torch.rand(60, 1, 6, 1, generator=generator) + 0.5
    x = torch.randn(60, 2, 6, 40, generator=generator) * scale + 5 * scale
    key = one_batch(60)
    y = freq_mixstyle(x, AugmentConfig(freq_mixstyle=0.5, freq_mixstyle_alpha=0.3), key)
    is_mixed = key.uniform("styled") < 0.5
    assert torch.equal(y[~is_mixed], x[~is_mixed])
    assert 20 < int(is_mixed.sum()) < 40
    weight, partner = key.beta("style", 0.3), key.permutation("style partner")
    for row in is_mixed.nonzero().flatten().tolist():
        other = x[partner[row]]
        for statistic in (torch.mean, torch.std):
            own, theirs = (statistic(one, dim=(0, 2)) for one in (x[row], other))
            expected = weight[row].float() * own + (1 - weight[row].float()) * theirs
            torch.testing.assert_close(statistic(y[row], dim=(0, 2)), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["pmel256_mono", "logmel256"])
def test_the_gains_are_the_difference_that_a_convolution_makes(name, tmp_path):
    spec = load_spec(name).model_copy(update={"clip_seconds": 1.0})
    rate = spec.sample_rate
    response = np.zeros(32)
    response[:4] = [1.0, 0.6, -0.3, 0.1]
    soundfile.write(tmp_path / "response.wav", response, rate, subtype="FLOAT")
    noise = generator("noise", 0).standard_normal(rate).astype(np.float32) * 0.1
    level = np.sqrt((np.abs(np.fft.rfft(response, spec.n_fft)) ** 2).mean())
    filtered = np.convolve(noise, response / level)[:rate].astype(np.float32)
    frontend = Frontend(spec)
    plain, convolved = (frontend(one[None]) for one in (noise, filtered))
    [gain] = response_gains(str(tmp_path), spec)
    difference = (convolved - plain)[0].mean(1)
    assert np.abs(difference - gain).max() < 0.05 * np.ptp(gain)


def test_a_sample_keeps_its_response_in_any_batch(responses):
    spec = load_spec("logmel256")
    gains = torch.from_numpy(response_gains(str(responses), spec))
    x = torch.zeros(200, 1, 256, 3)
    key = one_batch(200)
    augment = AugmentConfig(device_responses=str(responses), response_share=0.6)
    y = device_response(x, augment, key, gains)
    found = y[:, 0, :, 0]
    kinds = torch.stack([found.eq(0).all(1), *(found.eq(gain).all(1) for gain in gains)], 1)
    assert kinds.sum(1).eq(1).all()
    assert kinds.float().mean(0).tolist() == pytest.approx([0.4, 0.3, 0.3], abs=0.1)
    part = key.rows(slice(3, 9))
    assert torch.equal(device_response(x[:6], augment, part, gains), y[3:9])


def everything(responses, **others):
    options = {
        "roll_frames": 4,
        "device_responses": str(responses),
        "freq_mixstyle": 0.5,
        "mask_bins": 6,
        "mask_frames": 5,
        **others,
    }
    return "augment={" + ", ".join(f"{key}: {value}" for key, value in options.items()) + "}"


def test_a_share_of_a_batch_is_part_of_the_whole(conf, responses):
    """Processes of a data-parallel run take their rows of one batch, whose samples meet in Freq-MixStyle."""
    experiment = load_experiment(conf, [everything(responses), *SHORT])
    samples = open_data(experiment.data).load(torch.device("cpu")).train
    gains = torch.from_numpy(response_gains(str(responses), samples.frontend))
    samples = replace(samples, responses=gains)
    key = Epoch(0, 1, len(samples)).batches(10)[0]
    whole = training_batch(samples, key, experiment.augment)
    part = training_batch(samples, key, experiment.augment, share=slice(4, 7))
    assert torch.equal(part.x, whole.x[4:7])
    other = training_batch(samples, key, experiment.augment, needs=("second_view",)).needed["second_view"]
    assert not torch.equal(other, whole.x)


def test_a_stopped_run_ends_in_the_same_bits_and_knows_its_responses(conf, responses, tmp_path):
    overrides = [everything(responses), *SHORT]
    whole = train_run(conf, tmp_path / "whole", *overrides)
    with pytest.raises(InterruptedRun):
        train_run(conf, tmp_path / "parts", *overrides, stop_after=5)
    moved = responses.rename(tmp_path / "moved")
    parts = train_run(conf, tmp_path / "parts", everything(moved), *SHORT)
    name = "seed0/model.safetensors"
    assert (parts / name).read_bytes() == (whole / name).read_bytes()
    plain = train_run(conf, tmp_path / "plain", "augment={roll_frames: 4}", *SHORT)
    assert (plain / name).read_bytes() != (whole / name).read_bytes()
    soundfile.write(moved / "third.wav", np.ones(8), 8000)
    with pytest.raises(RunError, match=r"augment\.responses_digest is"):
        train_run(conf, parts, everything(moved), *SHORT)


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        ("{device_responses: nowhere}", "nowhere is not a folder of sound files"),
        ("{mask_bins: 25}", r"augment\.mask_bins=25 is too large: a clip has 24 bands"),
        ("{crop_frames: 10, mask_frames: 11}", r"augment\.mask_frames=11 is too large"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(conf, tmp_path, augment, message):
    with pytest.raises(ConfigError, match=message):
        train_run(conf, tmp_path / "run", f"augment={augment}", *SHORT)
    assert not (tmp_path / "run").exists()


def test_a_submission_names_them_all(responses):
    augment = AugmentConfig(device_responses=str(responses), freq_mixstyle=0.4, mask_bins=8, mask_frames=4)
    assert describe_augmentation(augment) == [
        "device impulse responses",
        "Freq-MixStyle",
        "masks along frequency",
        "masks along time",
    ]
