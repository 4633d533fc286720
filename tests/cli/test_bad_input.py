"""Wrong input ends in `error:`, `hint:` and exit code 2; never in a traceback."""

import shutil

import pytest
import yaml
from helpers.cli import run_cli

META = "filename\tscene_label\tidentifier\tsource_label\n{0}\tbus\tparis-0\ta\n{1}\tbus\tparis-1\ta\n"
TRAIN, TEST = "audio/bus-paris-0-0-a.wav", "audio/bus-paris-1-1-a.wav"


def write_data(folder, meta=META, train_label="bus"):
    (folder / "evaluation_setup").mkdir(parents=True)
    (folder / "meta.csv").write_text(meta.format(TRAIN, TEST))
    (folder / "evaluation_setup/fold1_train.txt").write_text(f"{TRAIN}\t{train_label}\n")
    (folder / "evaluation_setup/fold1_test.txt").write_text(f"{TEST}\n")


@pytest.fixture(scope="module")
def place(store, trained, tmp_path_factory):
    """A folder with everything that the commands below name."""
    place = tmp_path_factory.mktemp("place")
    (place / "empty").mkdir()
    (place / "notes.wav").write_text("not a sound\n" * 100)
    write_data(place / "data")
    write_data(place / "no_columns", META.replace("\tidentifier", "\tplace"))
    write_data(place / "wrong_label", train_label="buss")
    shutil.copytree(store, place / "store")
    spec = yaml.safe_load((store / "spec.yaml").read_text())
    (place / "other.yaml").write_text(yaml.safe_dump(spec | {"n_mels": 32}))
    (place / "wrong.yaml").write_text(yaml.safe_dump(spec | {"n_mel": 32}))
    shutil.copytree(trained, place / "run")
    shutil.copy(place / "run/config.yaml", place / "conf.yaml")
    (place / "typo.yaml").write_text((place / "conf.yaml").read_text().replace("epochs:", "epoch:"))
    (place / "list.yaml").write_text("- 1\n")
    (place / "broken.yaml").write_text("data: [")
    shutil.copytree(trained, place / "cut")
    for name in ("model.safetensors", "checkpoint.previous.pt"):
        (place / "cut/seed0" / name).unlink()
    with open(place / "cut/seed0/checkpoint.pt", "r+b") as stream:
        stream.truncate(1000)
    (place / "damaged.safetensors").write_bytes((place / "run/seed0/model.safetensors").read_bytes()[:-1])
    return place


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("nonsense", "nonsense"),
        ("train --epochs 3", "--epochs"),
        ("evaluate", "Missing argument 'RUN'"),
        ("make-scenes new --clips-per-class many", "Input should be a valid integer"),
        ("make-scenes new --clips-per-class 1", "greater than or equal to 2"),
        ("make-scenes notes.wav", "notes.wav"),
        ("check-data missing", "missing: no such file or folder"),
        ("check-data empty", "empty holds no data set"),
        ("check-data no_columns", "no_columns/meta.csv lacks: identifier"),
        ("check-data wrong_label", "fold1_train.txt, line 1: audio/bus-paris-0-0-a.wav is labelled 'buss' here"),
        ("extract-features --data missing --out new", "missing: no such file or folder"),
        ("extract-features --data data --spec pmel265 --out new", "there is no front end 'pmel265'"),
        ("extract-features --data data --spec wrong.yaml --out new", "wrong.yaml: unknown key 'n_mel'"),
        ("extract-features --data data --spec other.yaml --out store", "n_mels is 24 in the store and 32 here"),
        ("extract-features --data data --spec other.yaml --out notes.wav/new", "notes.wav"),
        ("extract-features --data data --spec other.yaml --out new --shard 9/8", "--shard 9/8 is not a shard"),
        ("extract-features --data data --spec other.yaml --out new --shard 3/999", "there are only"),
        ("extract-features --data data --spec other.yaml --out new --device cuda:99", "device=cuda:99"),
        ("extract-features --data data --spec other.yaml --out new --scheduler here", "no Dask scheduler answers"),
        ("join-stores store --out new", "store is not the store of a shard"),
        ("join-stores missing --out new", "missing is not the store of a shard"),
        ("train missing.yaml --out new", "missing.yaml: No such file"),
        ("train list.yaml --out new", "list.yaml holds no keys with values"),
        ("train empty --out new", "empty is not a feature store"),
        ("train broken.yaml --out new", "broken.yaml is not YAML"),
        ("train typo.yaml --out new", "typo.yaml: unknown key 'train.epoch'"),
        ("train conf.yaml train.epoch=3 --out new", "unknown key 'train.epoch'"),
        ("train conf.yaml train.epochs --out new", "override 'train.epochs' has no value"),
        ("train conf.yaml train.epochs=many --out new", "train.epochs: Input should be a valid integer"),
        ("train conf.yaml method=mrdk --out new", "mrdk"),
        ("train conf.yaml model.name=cp_resnt --out new", "there is no network 'cp_resnt'"),
        ("train conf.yaml model.options.widht=4 --out new", "cp_resnet has no option 'widht'"),
        ("train conf.yaml data.store=missing --out new", "missing is not a feature store"),
        ("train conf.yaml train.device=cuda:99 --out new", "device=cuda:99"),
        ("train conf.yaml --seeds 3-1 --out new", "--seeds 3-1 is not a list of seeds"),
        ("train conf.yaml --seeds all --out new", "--seeds all is not a list of seeds"),
        ("train conf.yaml --out notes.wav/new", "notes.wav"),
        ("train conf.yaml --out cut", "checkpoint cut/seed0/checkpoint.pt is damaged"),
        ("train conf.yaml train.batch_size=4 --out run", "train.batch_size is 5 in it and 4 here"),
        ("evaluate missing", "missing is not a run folder"),
        ("evaluate empty", "empty is not a run folder"),
        ("report run missing --out new.html", "missing is not a run folder"),
        ("report run --out notes.wav/new.html", "notes.wav"),
        ("report run data.store=a data.store=b --out new.html", "the data can be in one place"),
        ("report run data.store=missing --out new.html", "missing is not a feature store"),
        ("check-budget cp_resnt", "there is no network 'cp_resnt'"),
        ("check-budget cp_resnet:widht=4", "cp_resnet has no option 'widht'"),
        ("check-budget cp_resnet:width", "width"),
        ("check-budget cp_resnet --rule dcase2020-task1c", "dcase2020-task1c"),
        ("check-budget cp_resnet --precision float61", "float61"),
        ("check-budget damaged.safetensors", "damaged.safetensors"),
        ("predict missing notes.wav", "there is no trained model in missing"),
        ("predict damaged.safetensors notes.wav", "damaged.safetensors is not a model file, or is damaged"),
        ("predict conf.yaml notes.wav", "conf.yaml is not a model file"),
        ("predict run notes.wav", "notes.wav: this is not a sound file"),
        ("predict run missing.wav", "missing.wav: the file is missing"),
        ("predict run empty", "empty: no file that ends in .wav"),
        ("submit make run --task dcase2018-task1b --out new", "there is no task 'dcase2018-task1b'"),
        ("submit make run --label Doe --out new", "'Doe' is not a label"),
        ("submit make run --label Doe_INST_task1b_1 --out new", "the classes of run are bus, park, tram"),
        ("submit check missing.zip", "missing.zip: no such file"),
        ("submit check empty --files missing.txt", "missing.txt: cannot be read"),
        ("recipes cp dcase81 new", "there is no recipe 'dcase81'"),
        ("recipes nonsense", "nonsense"),
    ],
)
def test_wrong_input_is_explained(place, monkeypatch, command, message):
    monkeypatch.chdir(place)
    code, out, err = run_cli(*command.split())
    assert (code, out) == (2, "")
    *notes, error, hint = err.splitlines()
    assert all(" stands for its seed " in note for note in notes)
    assert error.startswith("error: ")
    assert message in error
    assert hint.startswith("hint: ")
    assert len(hint) > len("hint: ")
    assert not (place / "new").exists(), "a refused command left something behind"


@pytest.mark.parametrize(
    ("command", "suggestion"),
    [
        ("train typo.yaml --out new", "train.epochs"),
        ("extract-features --data data --spec pmel265 --out new", "pmel256"),
        ("extract-features --data data --spec wrong.yaml --out new", "n_mels"),
        ("check-budget cp_resnt", "cp_resnet"),
        ("check-budget cp_resnet:widht=4", "width"),
        ("check-budget cp_resnet --precision float61", "float16"),
        ("submit check empty --task dcase2018-task1b", "dcase2018-task1a"),
    ],
)
def test_a_typo_gets_a_suggestion(place, monkeypatch, command, suggestion):
    monkeypatch.chdir(place)
    assert run_cli(*command.split()).err.splitlines()[-1] == f"hint: did you mean '{suggestion}'?"


def test_a_folder_in_place_of_a_file_gets_a_hint(place, monkeypatch):
    monkeypatch.chdir(place)
    assert run_cli("report", "run", "--out", "run").err.splitlines()[-2:] == [
        "error: run: Is a directory",
        "hint: name a file in it",
    ]


def test_debug_shows_the_exception(place):
    from asc_mrkd.errors import DataError

    with pytest.raises(DataError, match="no such file or folder"):
        run_cli("--debug", "check-data", place / "missing")
