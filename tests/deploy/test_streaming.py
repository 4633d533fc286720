"""Streams: the decisions are those about the clips, whatever the pieces; a class is held; the memory does not grow."""

import contextlib
import io
import json
import sys
import tracemalloc
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from helpers.cli import run_cli

from asc_mrkd import Predictor
from asc_mrkd.deploy.streaming import Stream, read_microphone, read_pcm_pieces
from asc_mrkd.errors import ConfigError, DataError, MissingExtraError
from asc_mrkd.features import FrontendSpec

SPEC = FrontendSpec(
    name="tiny", sample_rate=8000, channels=2, clip_seconds=0.5, n_fft=256, hop_length=128, n_mels=24, fmax=4000.0
)


class Loudness:
    """A predictor that only hears the level: of "loud" the probability is the mean magnitude of the clip."""

    frontend = SPEC
    classes = ["loud", "quiet"]  # noqa: RUF012

    def predict_samples(self, samples: np.ndarray) -> np.ndarray:
        level = float(np.abs(samples).mean())
        return np.array([level, 1 - level])


def decisions(samples: np.ndarray, sizes: list[int], predictor=None, **options) -> list[tuple[float, str, float]]:
    stream = Stream(predictor or Loudness(), **options)
    found = []
    start = 0
    while start < samples.shape[1]:
        for size in sizes:
            found += [
                (seconds, name, chance) for name, chance, seconds in stream.push(samples[:, start : start + size])
            ]
            start += size
    return found


def test_the_decisions_are_those_about_the_clips_whatever_the_pieces(trained):
    predictor = Predictor(trained)
    samples = (0.1 * np.random.default_rng(0).standard_normal((2, 12_345))).astype(np.float32)
    found = decisions(samples, [4000], predictor, hop=0.25, hold=1)
    ends = np.arange(4000, 12_345, 2000)
    assert [time for time, _, _ in found] == (ends / 8000).tolist()
    for (_, name, probability), end in zip(found, ends, strict=True):
        expected = predictor.predict_samples(samples[:, end - 4000 : end])
        assert (name, probability) == (predictor.classes[expected.argmax()], pytest.approx(expected.max(), abs=1e-9))
    for sizes in ([1_000], [7_777], [20_000], [3, 999]):
        assert decisions(samples, sizes, predictor, hop=0.25, hold=1) == found


def test_a_class_is_held_until_another_has_won_in_a_row():
    levels = [0.9, 0.1, 0.9, 0.1, 0.1, 0.1, 0.9]
    samples = np.repeat(np.repeat(np.array(levels, np.float32), 4000)[None], 2, axis=0)
    held = [name for _, name, _ in decisions(samples, [500], hop=0.5, hold=2)]
    assert held == ["loud", "loud", "loud", "loud", "quiet", "quiet", "quiet"]
    plain = decisions(samples, [500], hop=0.5, hold=1)
    assert [name for _, name, _ in plain] == ["loud", "quiet", "loud", "quiet", "quiet", "quiet", "loud"]
    assert [probability for _, _, probability in decisions(samples, [500], hop=0.5, hold=2)] == pytest.approx(
        [0.9, 0.1, 0.9, 0.1, 0.9, 0.9, 0.1], abs=1e-5
    )


def test_another_rate_and_one_channel_are_converted():
    time = np.arange(3 * 48_000) / 48_000
    sound = np.sin(2 * np.pi * 440 * time)[None].astype(np.float32)
    found = decisions(sound, [4_800], rate=48_000, channels=1, hop=0.5)
    assert [name for _, name, _ in found] == ["loud"] * len(found)
    assert len(found) >= 5
    assert [probability for _, _, probability in found] == pytest.approx([2 / np.pi] * len(found), abs=2e-3)


def test_nothing_is_decided_about_digital_silence():
    assert decisions(np.zeros((2, 20_000), np.float32), [1_000]) == []


def test_an_hour_takes_no_more_memory_than_a_minute():
    stream = Stream(Loudness(), hop=1.0)
    piece = np.full((2, 8_000), 0.5, np.float32)

    def listen(seconds: int) -> int:
        tracemalloc.start()
        count = sum(len(list(stream.push(piece))) for _ in range(seconds))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == seconds
        return peak

    minute = listen(60)
    assert listen(3600) < minute + 10_000
    assert stream.figures.decisions == 3660
    assert stream.figures.seconds == 3660


def test_pcm_comes_in_any_pieces():
    content = np.arange(-6, 6, dtype="<i2").tobytes()
    whole = np.arange(-6, 6, dtype=np.float32).reshape(6, 2).T / 32768
    for size in (1, 3, 5, 24):
        pieces = [content[start : start + size] for start in range(0, 24, size)]
        np.testing.assert_array_equal(np.concatenate(list(read_pcm_pieces(pieces, 2)), axis=1), whole)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"hop": 0.0}, "hop"), ({"hold": 0}, "hold"), ({"rate": 0}, "0 Hz"), ({"channels": 99}, "99 channels")],
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Stream(Loudness(), **options)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.ones((2, 100), np.int16), "type int16"),
        (np.full((2, 100), np.nan, np.float32), "not finite"),
        (np.full((2, 100), 20_000.0), "beyond full scale"),
        (np.ones(100, np.float32), r"2 channels, these samples have the shape \(1, 100\)"),
    ],
)
def test_samples_that_are_not_sound_are_refused(samples, message):
    with pytest.raises(DataError, match=message):
        list(Stream(Loudness()).push(samples))


def run_stream(content: bytes, *arguments: object):
    with mock.patch.object(sys, "stdin", SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(content)))):
        return run_cli("predict", *arguments, "--stream")


def test_the_verb_prints_a_line_per_decision_and_the_time_it_took(trained):
    samples = np.random.default_rng(0).integers(-3000, 3000, (16_000, 2)).astype("<i2")
    outcome = run_stream(samples.tobytes() + b"\0", trained, "--hop", "0.5")
    assert outcome.code == 0
    lines = [line.split("  ") for line in outcome.out.splitlines()]
    assert [line[0] for line in lines] == ["0.50", "1.00", "1.50", "2.00"]
    assert {line[1] for line in lines} <= set(Predictor(trained).classes)
    assert "2.0 s of sound, 4 decisions, real-time factor 0." in outcome.err
    record = json.loads(run_stream(samples.tobytes(), trained, "--json").out.splitlines()[0])
    assert record.keys() == {"seconds", "name", "probability"}
    nothing = run_stream(samples[:100].tobytes(), trained)
    assert (nothing.code, "without a decision" in nothing.err, "ffmpeg" in nothing.err) == (2, True, True)
    assert run_stream(b"", trained, "some.wav").code == 2
    assert run_cli("predict", trained).code == 2


class StandInSound:
    """The part of sounddevice that is used: a microphone that gives blocks of noise until the user presses Ctrl-C."""

    class PortAudioError(Exception):
        pass

    def __init__(self, seconds: float) -> None:
        self.blocks = round(10 * seconds)
        self.has_overflowed = False
        self.opened: list[tuple] = []
        self.closed = 0

    @contextlib.contextmanager
    def InputStream(self, samplerate, device, channels, dtype):
        if device == "none":
            raise ValueError("No input device matching 'none'")
        if channels > 2:
            raise self.PortAudioError("Invalid number of channels")
        self.opened.append((samplerate, device, channels, dtype))
        blocks = iter(
            np.random.default_rng(0).uniform(-0.1, 0.1, (self.blocks, samplerate // 10, channels)).astype(dtype)
        )

        def read(frames):
            assert frames == samplerate // 10
            block = next(blocks, None)
            if block is None:
                raise KeyboardInterrupt
            return block, self.has_overflowed

        try:
            yield SimpleNamespace(read=read)
        finally:
            self.closed += 1


def test_a_microphone_is_heard_until_ctrl_c(trained, monkeypatch):
    sound = StandInSound(2)
    monkeypatch.setitem(sys.modules, "sounddevice", sound)
    outcome = run_cli("predict", trained, "--microphone", "default", "--hop", "0.5")
    assert outcome.code == 0
    assert [line.split("  ")[0] for line in outcome.out.splitlines()] == ["0.50", "1.00", "1.50", "2.00"]
    assert "2.0 s of sound, 4 decisions" in outcome.err
    assert "samples" not in outcome.err
    arguments = ("--stream", "--microphone", "USB", "--rate", "16000", "--channels", "1")
    sound.has_overflowed = True
    outcome = run_cli("predict", trained, *arguments)
    assert outcome.code == 0
    assert outcome.err.count("warning: the sound card dropped samples") == 1
    assert "ms, samples lost 20 times\n" in outcome.err
    assert sound.opened == [(8000, None, 2, "float32"), (16000, "USB", 1, "float32")]
    assert sound.closed == 2


def test_a_microphone_that_cannot_be_heard_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", StandInSound(1))
    with pytest.raises(
        DataError, match="the microphone 'none' does not give 2 channels at 8000 Hz: ValueError: No input"
    ):
        next(read_microphone("none", 8000, 2, print))
    with pytest.raises(DataError, match="Invalid number of channels"):
        next(read_microphone("default", 8000, 3, print))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingExtraError) as raised:
        next(read_microphone("default", 8000, 2, print))
    assert raised.value.hint == "pip install 'asc-mrkd[microphone]'"
