import numpy as np
import pytest
import torch

from asc_mrkd.config import AugmentConfig, StoreConfig
from asc_mrkd.data.augment import mixup, time_window
from asc_mrkd.data.batches import training_batch
from asc_mrkd.data.epoch import BatchKey, Epoch
from asc_mrkd.data.experiment_data import open_data


def key_of(positions, count: int, number: int = 0) -> BatchKey:
    """Return the key of some samples of an epoch."""
    positions = np.asarray(positions)
    return BatchKey(Epoch(0, number, count), positions, torch.from_numpy(positions))


@pytest.mark.parametrize(("count", "batch", "steps"), [(50_000, 128, 391), (90_000, 128, 704), (6122, 10, 613)])
def test_steps_per_epoch(count, batch, steps):
    keys = Epoch(0, 0, count).batches(batch)
    assert len(keys) == steps
    assert sorted(np.concatenate([k.positions for k in keys])) == list(range(count))


def test_order_depends_on_seed_and_epoch_alone():
    first = [k.positions for k in Epoch(1, 2, 100).batches(10)]
    again = [k.positions for k in Epoch(1, 2, 100).batches(10)]
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    for other in (Epoch(1, 3, 100).batches(10), Epoch(2, 2, 100).batches(10)):
        assert any((a != b.positions).any() for a, b in zip(first, other, strict=True))


def test_time_window_is_a_roll_and_a_cut():
    x = torch.arange(2 * 3 * 4 * 20.0).view(2, 3, 4, 20)
    augment = AugmentConfig(roll_frames=5, crop_frames=8)
    key = key_of([7, 2], 10)
    y = time_window(x, augment, key)
    assert y.shape == (2, 3, 4, 8)
    roll, start = key.integers("roll", -5, 6), key.integers("crop", 0, 13)
    for i in range(2):
        expected = torch.roll(x[i], int(roll[i]), dims=-1)[..., start[i] : start[i] + 8]
        assert torch.equal(y[i], expected)


def test_draws_of_a_sample_do_not_depend_on_its_batch():
    x = torch.randn(10, 1, 2, 30)
    augment = AugmentConfig(roll_frames=9)
    whole = time_window(x, augment, key_of(range(10), 10, 4))
    part = time_window(x[[6, 3]], augment, key_of([6, 3], 10, 4))
    assert torch.equal(part, whole[[6, 3]])


def test_mixup_mixes_inputs_and_labels_alike():
    x = torch.nn.functional.one_hot(torch.arange(64), 64).float().view(64, 1, 1, 64)
    key = key_of(range(64), 64)
    mixed, labels = mixup(x, torch.arange(64), AugmentConfig(mixup=0.3), key)
    assert torch.equal(labels.first, torch.arange(64))
    assert sorted(labels.second.tolist()) == list(range(64))
    assert (labels.weight >= 0.5).all()
    assert len(labels.weight.unique()) > 32
    for i in range(64):
        expected = labels.weight[i] * x[labels.first[i]] + (1 - labels.weight[i]) * x[labels.second[i]]
        torch.testing.assert_close(mixed[i], expected)


def test_unfolded_weights_are_symmetric():
    key = key_of(range(4000), 4000)
    augment = AugmentConfig(mixup=0.3, mixup_fold=False)
    _, labels = mixup(torch.zeros(4000, 1), torch.zeros(4000, dtype=torch.long), augment, key)
    weight = labels.weight.numpy()
    assert weight.mean() == pytest.approx(0.5, abs=0.03)
    assert weight.var() == pytest.approx(0.25 / (2 * 0.3 + 1), abs=0.01)


def test_samples_are_normalised_by_the_training_rows(store):
    source = open_data(StoreConfig(store=str(store)))
    train, _ = source.load(torch.device("cpu"))
    x = train.normalise(train.read(slice(None)))
    torch.testing.assert_close(x.mean(dim=(0, 1, 3)), torch.zeros(24), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.transpose(0, 2).flatten(1).std(1), torch.ones(24), atol=1e-3, rtol=0)
    batch = training_batch(train, key_of([1, 0], len(train)), AugmentConfig())
    assert torch.equal(batch.x, x[[1, 0]])
    assert [source.classes[i] for i in batch.labels] == train.table["label"].iloc[[1, 0]].tolist()


def test_memory_map_gives_the_same_samples(store, monkeypatch):
    source = open_data(StoreConfig(store=str(store)))
    _, resident = source.load(torch.device("cpu"))
    monkeypatch.setattr("asc_mrkd.data.samples._free_bytes", lambda device: 0)
    _, mapped = source.load(torch.device("cpu"))
    for where in (torch.tensor([3, 0, 5]), slice(2, 6)):
        assert torch.equal(resident.read(where), mapped.read(where))
