"""Definitions of front ends: the fault of a wrong one is named, and the shipped ones are as published."""

import math

import pytest
import yaml

from asc_mrkd.errors import ConfigError
from asc_mrkd.features import FrontendSpec, load_spec
from asc_mrkd.folders import resource_folder
from asc_mrkd.schema import parse


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("name: x\nsample_rat: 1", "unknown key 'sample_rat'", "sample_rate"),
        ("name: x", "sample_rate", ""),
        ("[1, 2]", "no keys with values", "features/pmel256.yaml"),
    ],
)
def test_wrong_definitions_are_named(tmp_path, text, message, hint):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_spec(path)
    assert hint in caught.value.hint


def test_a_front_end_without_a_frame_is_refused():
    with pytest.raises(ConfigError, match="hop_length 300000 is longer than a clip of 240000 samples"):
        parse(FrontendSpec, {**BASELINE40, "hop_length": 300_000, "clip_seconds": 5}, "here")
    assert parse(FrontendSpec, {**BASELINE40, "hop_length": 240_000, "clip_seconds": 5}, "here").frames == 1


def test_unknown_name_gets_a_suggestion():
    with pytest.raises(ConfigError) as caught:
        load_spec("pmel265")
    assert "pmel256" in caught.value.hint


NAMES = sorted(path.stem for path in resource_folder("features").glob("*.yaml"))
BASELINE40 = yaml.safe_load((resource_folder("features") / "baseline40.yaml").read_text())
PMEL256 = yaml.safe_load((resource_folder("features") / "pmel256.yaml").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_called_what_it_defines(name):
    assert load_spec(name).name == name


@pytest.mark.parametrize("name", NAMES)
def test_the_written_definition_reads_back(name):
    spec = load_spec(name)
    assert FrontendSpec(**spec.model_dump()) == spec


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("pmel256", (2, 256, 431)),
        ("pmel256_mono", (1, 256, 431)),
        ("baseline40", (1, 40, 500)),
        ("cpjku18_task2", (1, 128, 1667)),
        ("logmel256", (1, 256, 65)),
    ],
)
def test_published_shapes(name, shape):
    assert load_spec(name).shape == shape


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("pmel256", "perceptually weighted log-mel energies (256 bands)"),
        ("baseline40", "log-mel magnitudes (40 bands)"),
        ("logmel256", "log-mel energies (256 bands)"),
    ],
)
def test_descriptions_name_the_scale(name, description):
    assert load_spec(name).description == description


@pytest.mark.parametrize("name", NAMES)
def test_the_table_says_what_a_clip_and_an_hour_take(name):
    spec, table = load_spec(name), (resource_folder("features") / "README.md").read_text()
    size = 2 * math.prod(spec.shape) * 3600 / spec.clip_seconds / 2**20
    shape = " x ".join(map(str, spec.shape))
    assert f"| `{name}` | {shape} ({spec.clip_seconds:g} s) | {size:.0f} MiB |" in table
    assert (resource_folder("features") / "pictures" / f"{name}.png").stat().st_size < 60_000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fmax": 12_000}, "fmin < fmax <= sample_rate / 2 does not hold"),
        ({"win_length": 4096}, "win_length 4096 is longer than n_fft 2048"),
        ({"n_fft": 2047}, "n_fft 2047 is odd"),
        ({"clip_seconds": 0.01}, "a clip of 220 samples is too short to be reflected"),
        ({"pad_or_trim": 10}, "pad_or_trim 10 is not shorter than a clip of 10 s"),
        ({"pad_or_trim": -1}, "pad_or_trim"),
        ({"power": 1}, "perceptual_db takes power 2"),
        ({"log_offset": 1e-5}, "perceptual_db takes power 2 and top_db, and no log_offset"),
        ({"scale": "log"}, "scale log takes log_offset, and no top_db"),
        ({"scale": "log", "log_offset": 1e-5}, "scale log takes log_offset, and no top_db"),
        ({"scale": "log", "top_db": None, "log_offset": 1e-50}, "log_offset 1e-50 is less than 1.2e-38"),
        ({"window": "square"}, "window: Input should be 'hann' or 'hamming', got 'square'"),
    ],
)
def test_keys_that_do_not_fit_together_are_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        parse(FrontendSpec, PMEL256 | changes, "mine.yaml")


def test_the_floor_has_a_usual_depth():
    values = {key: value for key, value in PMEL256.items() if key != "top_db"}
    assert FrontendSpec(**values) == load_spec("pmel256")
