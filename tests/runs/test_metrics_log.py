"""metrics.jsonl: written by several seeds at once, read as a table."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.runs import write_small_run

from asc_mrkd.errors import RunError
from asc_mrkd.runs import MetricsLog, is_log_whole, read_metrics


@pytest.fixture
def run_folder(tmp_path):
    return write_small_run(tmp_path / "run")


def test_torn_last_line_is_left_out_and_a_repeated_epoch_counts_once(run_folder):
    history = read_metrics(run_folder / "metrics.jsonl")
    assert history[["seed", "epoch", "loss"]].values.tolist() == [[0, 1, 1.5], [0, 2, 1.2]]
    assert history["test_log_loss"].isna().all()


def test_a_broken_line_in_the_middle_is_named(run_folder):
    with (run_folder / "metrics.jsonl").open("a") as stream:
        stream.write('\n{"seed": 1, "epoch": 1}\n')
    with pytest.raises(RunError, match=r"metrics\.jsonl, line 4"):
        read_metrics(run_folder / "metrics.jsonl")


def test_a_missing_log_is_an_error_with_a_hint(tmp_path):
    with pytest.raises(RunError, match=r"metrics\.jsonl") as error:
        read_metrics(tmp_path / "metrics.jsonl")
    assert "asc-mrkd train" in error.value.hint


def test_epochs_after_the_last_checkpoint_are_removed(tmp_path):
    logs = [MetricsLog(tmp_path, 0), MetricsLog(tmp_path, 1)]
    for epoch in (1, 2, 3):
        for log in logs:
            log.write({"epoch": epoch, "loss": 1.0 / epoch})
    MetricsLog(tmp_path, 0, logs[0].records[:1])
    history = read_metrics(tmp_path / "metrics.jsonl")
    assert history[["seed", "epoch"]].values.tolist() == [[0, 1], [1, 1], [1, 2], [1, 3]]


def test_runs_of_other_seeds_lose_no_line_of_each_other(tmp_path):
    """Each goes on without its own last epochs, while the others write theirs."""

    def log_with_interruptions(seed: int) -> None:
        records: list[dict] = []
        for epoch in range(1, 21):
            MetricsLog(tmp_path, seed, records).write({"epoch": epoch})
            log = MetricsLog(tmp_path, seed, records)
            log.write({"epoch": epoch})
            records = log.records

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(log_with_interruptions, range(4)))
    expected = [[seed, epoch] for seed in range(4) for epoch in range(1, 21)]
    assert read_metrics(tmp_path / "metrics.jsonl")[["seed", "epoch"]].values.tolist() == expected


ODD = {
    "a number": "5",
    "null": "null",
    "a list": "[1]",
    "another object": '{"a": 1}',
    "text": '{"seed": 0, "epoch": 1, "loss": "low"}',
    "a truth value": '{"seed": 0, "epoch": true}',
    "a fraction": '{"seed": 0, "epoch": 1.5}',
    "a negative epoch": '{"seed": 0, "epoch": -1}',
    "a nested value": '{"seed": 0, "epoch": 1, "loss": [1]}',
    "too large": '{"seed": 0, "epoch": 1, "loss": ' + "9" * 400 + "}",
    "too many digits": '{"seed": 0, "epoch": 1, "loss": ' + "9" * 5000 + "}",
    "not a number": '{"seed": 0, "epoch": 1, "loss": NaN}',
    "infinite": '{"seed": 0, "epoch": 1, "loss": Infinity}',
    "deep": "[" * 100_000,
    "not UTF-8": "\udcff\udcfe",
    "binary": "\x00\x01",
}


@pytest.mark.parametrize("odd", ODD)
def test_f3_3_an_odd_line_is_named_and_training_removes_it(run_folder, odd):
    path = run_folder / "metrics.jsonl"
    lines = path.read_text().splitlines()[:3]
    content = "\n".join([lines[0], ODD[odd], *lines[1:]]) + "\n"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(RunError, match=r"metrics\.jsonl, line 2 is not a record of an epoch") as caught:
        read_metrics(path)
    assert "asc-mrkd train" in caught.value.hint
    assert not is_log_whole(path, 0)
    log = MetricsLog(run_folder, 1)
    log.write({"epoch": 1, "loss": 0.5})
    assert read_metrics(path)[["seed", "epoch"]].values.tolist() == [[0, 1], [0, 2], [1, 1]]


def test_f1_7_nan_never_enters_the_log(tmp_path):
    log = MetricsLog(tmp_path, 0)
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            log.write({"epoch": 1, "loss": value})
    assert not (tmp_path / "metrics.jsonl").exists()


def test_f2_7_records_of_a_checkpoint_replace_a_torn_line(tmp_path):
    log = MetricsLog(tmp_path, 0)
    for epoch in (1, 2):
        log.write({"epoch": epoch, "epochs": 2, "loss": 0.1})
    assert is_log_whole(log.path, 0)
    whole = log.path.read_text()
    for torn in (whole[:-10], whole[:-1], whole[: len(whole) // 2], ""):
        log.path.write_text(torn)
        MetricsLog(tmp_path, 0, log.records)
        assert log.path.read_text().splitlines() == whole.splitlines()
