"""The recipe of own recordings: its options by dry runs, and the whole of it at a tiny size."""

import re

import pytest
from helpers.audio import make_noise, write_sound
from helpers.recipes import dry_run, printed_stages, run_names, run_recipe

RATE = 8000


def test_built_in_recordings_are_a_stage_of_their_own(tmp_path):
    built_in = dry_run("own", folder=tmp_path)
    assert [line.split()[0] for line in built_in[:3]] == ["make-scenes", "check-data", "extract-features"]
    assert "--layout folders" in built_in[0]
    assert dry_run("own", "--data", "mine", folder=tmp_path)[0] == "check-data mine"
    assert run_names(built_in) == ["ce", "mrkd"]


def test_options_of_the_data_reach_the_check_and_the_extraction(tmp_path):
    columns = ["--label-column", "kind", "--clip-seconds", "2", "--short=pad"]
    lines = dry_run("own", "--data", "my table.csv", *columns, "--folds", 5, "train.epochs=3", folder=tmp_path)
    said = "--label-column kind --clip-seconds 2 --short pad"
    assert lines[0] == f"check-data my table.csv {said}"
    assert lines[1] == f"extract-features --data my table.csv {said} --out exp/own/recordings/store"
    assert " train.epochs=3 --folds 5 --out " in lines[2]
    wrong = run_recipe("own", "--lable-column=kind", folder=tmp_path)
    assert (wrong.returncode, wrong.stderr.splitlines()[1]) == (2, "hint: did you mean --label-column, --list?")


@pytest.mark.slow
def test_the_whole_recipe_on_a_folder_per_class(tmp_path):
    for label in ("kitchen", "yard"):
        (tmp_path / "mine" / label).mkdir(parents=True)
        for number in range(6):
            write_sound(tmp_path / "mine" / label / f"{number}.wav", make_noise(1, RATE) * (1 + number) / 9, RATE)
    settings = ["train.epochs=1", "train.threads=1", "model.options.width=4"]
    options = ["--data", "mine", "--folds", 2, "--method", "ce,label_smoothing", "--seeds", "0", "--out", "out"]
    done = run_recipe("own", *options, *settings, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert printed_stages(done.stdout) == [2, 3, 4, 5, 6]
    assert "CE: 12 test clips" in done.stdout
    table = done.stdout.rpartition("== stage 6")[2]
    assert re.search(r"1 +CE +1 .*\n2 +LS +1 |1 +CE.*\n2 +Label smoothing", table)
    assert "</html>" in (tmp_path / "out" / "report.html").read_text()
