"""Time lines, embeddings, and recordings that do not come from a file."""

import csv
import io
import json

import numpy as np
import pytest
import soundfile as sf
import torch
from helpers.cli import run_cli
from helpers.data import SPEC

from asc_mrkd import Predictor, load_model
from asc_mrkd.deploy.time_line import Segment, TimeLine, divide
from asc_mrkd.errors import AudioError, ConfigError, DataError, ModelError
from asc_mrkd.features import Frontend

RATE = SPEC.sample_rate


@pytest.fixture(scope="module")
def predictor(trained) -> Predictor:
    return Predictor(trained)


def noise(seconds: float, channels: int = 2, seed: int = 0) -> np.ndarray:
    """Return noise (channel, sample) that gets louder."""
    samples = np.random.default_rng(seed).standard_normal((channels, round(seconds * RATE)))
    return (0.1 * samples * np.linspace(0.01, 1, samples.shape[1])).astype(np.float32)


def test_an_interval_has_the_answer_to_the_clip_around_its_middle(predictor):
    samples = noise(3.1)
    line = predictor.time_line(samples, every=0.25, rate=RATE)
    assert line.starts.tolist() == np.arange(0, 3.1, 0.25).tolist()
    assert line.ends.tolist() == [*np.arange(0.25, 3.1, 0.25).tolist(), 3.1]
    assert np.ptp(line.probabilities, axis=0).max() > 0.001, "the intervals do not differ"
    firsts = [0, 0, 3000, 19_000, 20_800, 20_800]  # 0.5 s long, from 0.25 s before the middle on, inside the recording
    for row, first in zip([0, 0, 2, 10, 11, 12], firsts, strict=True):
        expected = predictor.predict_samples(samples[:, first : first + SPEC.samples])
        np.testing.assert_allclose(line.probabilities[row], expected, rtol=0, atol=1e-6)


def test_intervals_of_a_short_recording_end_with_it(predictor):
    line = predictor.time_line(noise(0.3), every=0.2, rate=RATE)
    assert (line.starts.tolist(), line.ends.tolist()) == ([0.0, 0.2], [0.2, 0.3])
    assert [caution.kind for caution in line.cautions] == ["length"]
    np.testing.assert_array_equal(line.probabilities[0], line.probabilities[1])
    with pytest.raises(ConfigError, match="intervals of 0 s"):
        divide(100, 10, 10, 0)


def test_equal_intervals_are_joined():
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6], [0.8, 0.2]])
    starts = np.arange(4.0)
    line = TimeLine(None, ["bus", "park"], starts, starts + 1, probabilities, np.empty((4, 0)))
    assert line.segments() == [
        Segment(0, 2, "bus", pytest.approx(0.8)),
        Segment(2, 3, "park", 0.6),
        Segment(3, 4, "bus", 0.8),
    ]


def test_arrays_file_objects_and_batches_are_answered_like_files(predictor, tmp_path):
    samples = noise(1.3)
    path = tmp_path / "a.flac"
    sf.write(path, samples.T, RATE)
    expected = predictor.predict_file(path)
    with open(path, "rb") as stream:
        content = io.BytesIO(stream.read())
        stream.seek(0)
        answers = predictor.predict((path, stream, content, sf.read(path)[0].T), rate=RATE)
    for answer in answers:
        found = dict(zip(answer.classes, answer.probabilities, strict=True))
        np.testing.assert_allclose([found[name] for name in predictor.classes], expected, rtol=0, atol=1e-6)
    assert [answer.file and answer.file.name for answer in answers] == ["a.flac", "a.flac", "file object", None]
    assert predictor.predict(iter([path])) == answers[:1]
    alone = predictor.predict(samples[0], rate=RATE, top=1)
    assert (len(alone.classes), [caution.kind for caution in alone.cautions]) == (1, ["channels"])


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (noise(1), None, "no rate is given"),
        (noise(1), 3, "3 Hz"),
        (np.ones((2, 9000), np.int16), 8000, "divide 16-bit samples"),
        (noise(1).T, 8000, "transpose"),
        (np.zeros((1, 2, 3)), 8000, "shape (1, 2, 3)"),
        (np.zeros((2, 9000)), 8000, "every sample is zero"),
        (np.full((2, 9000), np.nan), 8000, "NaN"),
        (torch.ones(2, 9000), 8000, "Tensor is not a recording give a path, a file object, or samples as a numpy"),
        (None, None, "NoneType is not a recording"),
        (io.StringIO("text"), None, "mode 'rb'"),
        (io.BytesIO(b"text"), None, "not a sound file"),
        (io.BytesIO(b""), None, "no sound at all"),
    ],
)
def test_what_is_not_a_recording_is_refused(predictor, samples, rate, message):
    with pytest.raises((DataError, AudioError)) as caught:
        predictor.predict(samples, rate)
    assert message in f"{caught.value} {caught.value.hint}"


def test_an_embedding_is_what_the_classifier_gets(predictor, trained, tmp_path):
    file = load_model(trained)
    samples = noise(0.5)
    with torch.no_grad():
        x = file.normalise(Frontend(SPEC)(samples))[None]
        features = []
        hook = file.model.head[0].register_forward_hook(lambda layer, given, output: features.append(given[0]))
        file.model(x)
        hook.remove()
    expected = features[0].mean(dim=(2, 3))[0]
    found = predictor.predict(samples, RATE, embeddings=True).embedding
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert predictor.predict(samples, RATE).embedding is None
    line = predictor.time_line(np.tile(samples, 4), every=0.5, rate=RATE, embeddings=True)
    assert line.embeddings.shape == (4, len(expected))
    np.testing.assert_allclose(line.embeddings[0], expected, rtol=1e-5, atol=1e-6)


def test_a_network_without_a_classifier_has_no_embeddings():
    from asc_mrkd.deploy.torch_classifier import run_with_embeddings

    with pytest.raises(ModelError, match="no layer of Flatten gives 3 classes"):
        run_with_embeddings(torch.nn.Flatten(), torch.zeros(1, 1, 3), 3)


def test_a_classifier_may_be_called_with_a_keyword():
    from asc_mrkd.deploy.torch_classifier import run_with_embeddings

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = torch.nn.Linear(4, 2)

        def forward(self, x):
            return self.fc(input=x)

    x = torch.arange(12.0).reshape(3, 4)
    torch.testing.assert_close(run_with_embeddings(Network(), x, 2)[1], x)


def test_a_stream_is_a_loop(predictor):
    samples = noise(2)
    blocks = [samples[:, start : start + 700] for start in range(0, samples.shape[1], 700)]
    found = list(predictor.stream(blocks, hop=0.5, hold=1))
    assert [seconds for _, _, seconds in found] == [0.5, 1.0, 1.5, 2.0]
    for name, probability, seconds in found:
        end = round(seconds * RATE)
        expected = predictor.predict_samples(samples[:, end - SPEC.samples : end])
        assert (name, probability) == (predictor.classes[expected.argmax()], pytest.approx(expected.max(), abs=1e-9))
    mono = list(predictor.stream([block[0] for block in blocks], channels=1, hop=0.5))
    assert len(mono) == 4
    with pytest.raises(DataError, match="the stream has 2 channels"):
        list(predictor.stream([samples[0]]))
    with pytest.raises(DataError, match="without a decision"):
        list(predictor.stream(blocks[:1]))


def test_the_verb_gives_time_lines_and_embeddings(trained, predictor, tmp_path):
    for name, seconds in (("a", 2.0), ("b", 0.4)):
        sf.write(tmp_path / f"{name}.wav", noise(seconds).T, RATE, subtype="FLOAT")
    (tmp_path / "c.wav").write_text("no sound")
    lines = [predictor.time_line(tmp_path / f"{name}.wav", 0.5, embeddings=True) for name in "ab"]
    outcome = run_cli("predict", trained, tmp_path, "--every", 0.5, "--csv", "--embeddings", tmp_path / "e.npy")
    assert outcome.code == 1
    assert "left out" in outcome.err
    assert "c.wav" in outcome.err
    assert "e.npy: 5 rows" in outcome.err
    rows = list(csv.DictReader(outcome.out.splitlines()))
    assert list(rows[0]) == ["file", "start", "end", "prediction", *predictor.classes]
    assert [(row["start"], row["end"]) for row in rows] == [
        *(("0", "0.5"), ("0.5", "1"), ("1", "1.5"), ("1.5", "2")),
        ("0", "0.4"),
    ]
    found = [[float(row[name]) for name in predictor.classes] for row in rows]
    np.testing.assert_allclose(found, np.concatenate([line.probabilities for line in lines]), rtol=0, atol=1e-6)
    embeddings = np.load(tmp_path / "e.npy")
    np.testing.assert_array_equal(embeddings, np.concatenate([line.embeddings for line in lines]))

    records = json.loads(run_cli("predict", trained, tmp_path, "--every", 0.5, "--json", "--top", 2).out)
    assert [record.keys() for record in records] == [{"file", "time_line", "warnings"}] * 2
    assert records[0]["time_line"][1].keys() == {"start", "end", "scenes"}
    assert [len(row["scenes"]) for row in records[0]["time_line"]] == [2] * 4

    text = run_cli("predict", trained, tmp_path / "a.wav", "--every", 0.5).out.splitlines()
    assert len(text) == len(lines[0].segments())
    assert text[-1].split()[-4:-2] == ["2.0", "s"]


def test_the_verb_gives_csv_and_embeddings_of_whole_files(trained, predictor, tmp_path):
    sf.write(tmp_path / "a.wav", noise(2.0).T, RATE, subtype="FLOAT")
    outcome = run_cli("predict", trained, tmp_path / "a.wav", "--csv", "--embeddings", tmp_path / "e.npy")
    (row,) = csv.DictReader(outcome.out.splitlines())
    assert list(row) == ["file", "prediction", *predictor.classes]
    expected = predictor.predict(tmp_path / "a.wav", embeddings=True)
    assert row["prediction"] == expected.classes[0]
    np.testing.assert_allclose(np.load(tmp_path / "e.npy"), [expected.embedding], rtol=1e-6)
    assert run_cli("predict", trained, tmp_path / "a.wav", "--csv", "--json").code == 2
    assert run_cli("predict", trained, "--stream", "--every", 1).code == 2
    assert run_cli("predict", trained, tmp_path / "a.wav", "--rate", 8000).code == 2, "a file has its own rate"


def test_a_predictor_knows_its_device(trained, predictor):
    assert predictor.device == "cpu"
    with pytest.raises(ConfigError, match="device=warp"):
        Predictor(trained, device="warp")


def test_a_folder_for_the_embeddings_is_refused_before_the_predictions(trained, tmp_path):
    sf.write(tmp_path / "a.wav", noise(2.0).T, RATE, subtype="FLOAT")
    outcome = run_cli("predict", trained, tmp_path / "a.wav", "--embeddings", tmp_path)
    assert outcome.code == 2
    assert str(tmp_path) in outcome.err
    assert outcome.out == ""
