"""The tasks as data: their evaluation sets and the keys of their meta files."""

import pytest
import yaml

from asc_mrkd.submission import TASKS
from asc_mrkd.submission.check_meta import lookup, required_keys
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


@pytest.mark.parametrize(
    ("task", "clips"), [("dcase2022-task1", 118_800), ("dcase2023-task1", 118_800), ("dcase2025-task1", 178_930)]
)
def test_the_official_evaluation_sets_of_one_second(task, clips):
    rules = TASKS[task]
    header = "filename\tscene_label\t" + "\t".join(SCENES.split())
    rows = [f"audio/{index}.wav\tbus\t0\t1" + "\t0" * 8 for index in (0, clips - 1, clips)]
    problems = check_output("x", "\n".join([header, *rows]), rules, rules.official_files)
    assert [(problem.code, problem.line) for problem in problems] == [("unknown-file", 4), ("missing-files", None)]
    assert problems[1].message.startswith(f"{clips - 2} of {clips} clips have no row: 1.wav")


SYSTEM = "description complexity external_datasets source_code"
IN_FULL = (
    "input_sampling_rate acoustic_features embeddings data_augmentation machine_learning_method "
    "ensemble_method_subsystem_count decision_making external_data_usage complexity_management pipeline framework"
)
IN_SHORT = (
    "input_sampling_rate acoustic_features data_augmentation machine_learning_method external_data_usage "
    "complexity_management pipeline framework"
)
SCENES = "airport bus metro metro_station park public_square shopping_mall street_pedestrian street_traffic tram"
OFFICIAL_KEYS = {
    "dcase2022-task1": {
        "system": SYSTEM,
        "system.description": IN_FULL,
        "system.complexity": "total_parameters total_parameters_non_zero memory_use macs",
        "results.development_dataset": "overall class_wise device_wise",
        "results.development_dataset.class_wise": SCENES,
        "results.development_dataset.device_wise": "a b c s1 s2 s3 s4 s5 s6",
    },
    "dcase2023-task1": {
        "system": f"{SYSTEM} energy_consumption",
        "system.description": IN_FULL,
        "system.complexity": "total_model_size total_parameters total_parameters_non_zero memory_use macs",
        "system.energy_consumption": "training inference baseline_inference",
        "results.development_dataset": "overall class_wise device_wise",
        "results.development_dataset.class_wise": SCENES,
        "results.development_dataset.device_wise": "a b c s1 s2 s3 s4 s5 s6",
    },
    "dcase2025-task1": {
        "system": f"{SYSTEM} inference_code",
        "system.description": f"{IN_SHORT} device_information num_models_at_inference model_weight_sharing",
        "system.complexity": "total_model_size total_parameters macs",
        "results.development_dataset": "general device_specific",
        "results.development_dataset.general": "overall class_wise device_wise",
        "results.development_dataset.device_specific": "overall class_wise device_wise",
        "results.development_dataset.device_specific.class_wise": SCENES,
        "results.development_dataset.general.device_wise": "a b c s1 s2 s3 s4 s5 s6",
    },
}
"""Keys of the meta file by block: the required fields of the validators of 2022 and 2023, and the template of 2025."""


@pytest.mark.parametrize("task", OFFICIAL_KEYS)
def test_the_meta_file_has_the_official_keys_and_no_other(packages, task):
    meta = yaml.safe_load(packages[task].text(META))
    required = required_keys(TASKS[task])
    for block, keys in OFFICIAL_KEYS[task].items():
        assert sorted(required[block]) == sorted(keys.split())
        assert sorted(lookup(meta, block)) == sorted(keys.split())
    assert list(meta["submission"]) == ["label", "name", "abbreviation", "authors"]
    assert meta["submission"]["label"] == "Kim_KETI_task1_1"


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
