"""The model card of a run: its figures are those of the evaluation, and the user's part stays."""

import ast
import shlex
import shutil

import numpy as np
import pytest
import yaml
from helpers.runs import write_answers

from asc_mrkd import evaluate
from asc_mrkd.engine.run_card import figure_lines, write_run_card
from asc_mrkd.report.comparisons import run_table
from asc_mrkd.runs import RunFolder


def test_the_card_says_what_the_run_is(trained, store):
    card = (trained / "README.md").read_text()
    summary = evaluate(trained)
    assert card.startswith("# run: 3 scenes\n")
    assert f"| 0 | {100 * summary.spread('accuracy').mean:.2f} | {summary.spread('log_loss').mean:.3f} |" in card
    for words in (
        f"`{store}`",
        "18 train, 6 test",
        "bus, park, tram",
        "tiny, ",
        "cp_resnet (",
        "MrKD (",
        "parameters",
        "million multiply-adds",
        "on 6 test clips; nothing was chosen on them",
        f"asc-mrkd predict {trained} recording.wav",
        "Licence of the network: to be filled in",
    ):
        assert words in card


def test_the_card_names_the_augmentation(trained, tmp_path):
    run = RunFolder(shutil.copytree(trained, tmp_path / "run"))
    settings = yaml.safe_load(run.config_file.read_text())
    settings["augment"] |= {"mixup": 0.3, "roll_frames": 4}
    run.config_file.write_text(yaml.safe_dump(settings))
    write_run_card(run)
    assert "| augmentation | mixup, rolling in time, random crops |" in run.card_file.read_text()


def test_the_card_speaks_of_test_clips_that_are_training_clips(trained, tmp_path, monkeypatch):
    run = RunFolder(shutil.copytree(trained, tmp_path / "run"))
    sentence = "1 test clip is a training clip under another name"
    monkeypatch.setattr("asc_mrkd.engine.run_card.known_test_clips", lambda store, config: sentence)
    write_run_card(run)
    assert f"| caution | {sentence} |" in run.card_file.read_text()


def test_its_figures_are_rounded_as_those_of_the_tables(tmp_path):
    summary = write_answers(tmp_path / "run", np.eye(2, 800))  # one of 800 clips: 0.125 %
    lines = figure_lines(RunFolder(summary.folder), summary.experiment)
    (cell,) = run_table([summary]).rows[0][3:4]
    assert (
        [line.split("|")[2].strip() for line in lines[-3:]] == ["0.13", "0.13", cell] == ["0.13", "0.13", "0.13 ± 0.00"]
    )


def test_a_path_with_a_space_and_a_quote_works_in_both_languages(trained, tmp_path):
    run = RunFolder(shutil.copytree(trained, tmp_path / 'my "run" 1'))
    write_run_card(run)
    card = run.card_file.read_text()
    command = next(line for line in card.splitlines() if line.startswith("asc-mrkd predict"))
    assert shlex.split(command)[2] == str(run.path)
    code = next(line for line in card.splitlines() if line.startswith("predictor = "))
    assert ast.literal_eval(code.partition("Predictor")[2]) == str(run.path)


def test_the_part_of_the_user_stays(trained, tmp_path):
    run = RunFolder(shutil.copytree(trained, tmp_path / "run"))
    generated = run.card_file.read_text()
    mine = generated.replace("Licence of the network: to be filled in", "Licence of the network: CC BY 4.0\n\n## More")
    run.card_file.write_text(mine.replace("3 scenes", "no scenes"))
    write_run_card(run)
    assert run.card_file.read_text() == mine.replace(str(trained), str(run))


@pytest.mark.parametrize("name", ["predictions.csv", "compression.json"])
def test_a_damaged_seed_is_a_warning(trained, tmp_path, name):
    run = RunFolder(shutil.copytree(trained, tmp_path / "run"))
    (run.seed_folder(0).path / name).write_text("{}")
    with pytest.warns(UserWarning, match=r"README\.md is not written"):
        write_run_card(run)
