"""The tasks as data: their evaluation sets and the keys of their meta files."""

import pytest
import yaml

from asc_mrkd.submission import TASKS
from asc_mrkd.submission.check_meta import required_keys
from asc_mrkd.submission.check_output import check_output

pytestmark = pytest.mark.slow

TASK, META = "dcase2020-task1b", ".meta.yaml"


@pytest.mark.parametrize(
    ("task", "clips", "columns"),
    [
        ("dcase2018-task1a", 3600, 2),
        ("dcase2020-task1a", 11_880, 12),
        (TASK, 8640, 5),
        ("dcase2021-task1a", 7920, 12),
        ("dcase2024-task1", 135_730, 12),
    ],
)
def test_the_official_evaluation_sets(task, clips, columns):
    rules = TASKS[task]
    assert rules.official_files[:: clips - 1] == ["0.wav", f"{clips - 1}.wav"]
    rest = ["bus", *("1" if name == "bus" else "0" for name in rules.classes)][: columns - 1]
    rest = rest if "bus" in rules.classes else ["outdoor", "0", "1", "0"]
    rows = [f"{index}.wav\t" + "\t".join(rest) for index in range(clips)]
    header = ["\t".join(rules.columns)] * rules.probabilities
    assert len(rows[0].split("\t")) == columns
    wrong = "\n".join([*header, *rows[:-1], rows[-1].replace(f"{clips - 1}.wav", f"{clips}.wav")])
    codes = [problem.code for problem in check_output("x", wrong, rules, rules.official_files)]
    assert codes == ["unknown-file", "missing-files"]


def test_the_keys_of_2024():
    keys = required_keys(TASKS["dcase2024-task1"])
    splits = ("split_5", "split_10", "split_25", "split_50", "split_100")
    assert keys["system.complexity"] == ("total_model_size", "total_parameters", "macs")
    assert keys["results.development_dataset"] == splits
    for split in splits:
        assert keys[f"results.development_dataset.{split}"] == ("overall", "class_wise", "device_wise")
        assert keys[f"results.development_dataset.{split}.device_wise.s6"] == ("accuracy", "logloss")


def test_meta_of_make_has_the_keys_of_the_task(packages):
    for name, package in packages.items():
        meta = yaml.safe_load(package.text(META))
        assert tuple(meta["system"]["description"]) == TASKS[name].description
        assert tuple(meta["system"]["complexity"]) == TASKS[name].complexity
