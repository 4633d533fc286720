"""Training batches: the order of the samples and their augmentation are functions of their keys."""

import numpy as np
import pytest
import torch

from asc_mrkd.config import AugmentConfig, ImagesConfig, StoreConfig
from asc_mrkd.engine.data.augment import mixup, time_window
from asc_mrkd.engine.data.batches import Batch, training_batch
from asc_mrkd.engine.data.keys import BatchKey, Epoch, draw_partners
from asc_mrkd.engine.data.samples import open_data


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
    x = train.normalise(train.gather(slice(None)))
    torch.testing.assert_close(x.mean(dim=(0, 1, 3)), torch.zeros(24), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.transpose(0, 2).flatten(1).std(1), torch.ones(24), atol=1e-3, rtol=0)
    batch = training_batch(train, key_of([1, 0], len(train)), AugmentConfig())
    assert torch.equal(batch.x, x[[1, 0]])
    assert [source.classes[i] for i in batch.labels] == train.table["label"].iloc[[1, 0]].tolist()


def test_memory_map_gives_the_same_samples(store, monkeypatch):
    source = open_data(StoreConfig(store=str(store)))
    _, resident = source.load(torch.device("cpu"))
    monkeypatch.setattr("asc_mrkd.engine.data.samples._free_bytes", lambda device: 0)
    _, mapped = source.load(torch.device("cpu"))
    for where in (torch.tensor([3, 0, 5]), torch.tensor([4]), slice(2, 6)):
        assert torch.equal(resident.gather(where), mapped.gather(where))
    whole = slice(None)
    first, second = resident.gather(whole), resident.gather(whole)
    assert first.data_ptr() == second.data_ptr(), "kept in memory"
    first, second = mapped.gather(whole), mapped.gather(whole)
    assert first.data_ptr() != second.data_ptr(), "read again each time"


@pytest.fixture
def samples(images):
    """48 images of three classes, 16 each."""
    return open_data(ImagesConfig(images=str(images))).load(torch.device("cpu"))[0]


PICTURES = AugmentConfig(pad=3, flip=True)
NEEDS = ("index", "second_view", "pair", "previous")


def keys(count: int = 48, number: int = 0) -> list[BatchKey]:
    return Epoch(0, number, count).batches(9)


def as_tensors(batch: Batch) -> list[torch.Tensor]:
    """Return all tensors of a batch, in a fixed order."""
    labels = [batch.labels, batch.needed["previous"][1]]
    flat = [t for y in labels for t in ([y] if isinstance(y, torch.Tensor) else [y.first, y.second, y.weight])]
    return [batch.x, batch.needed["previous"][0], *(batch.needed[name] for name in NEEDS[:3]), *flat]


@pytest.mark.parametrize("mixup", [0.0, 0.3])
def test_rows_of_two_processes_are_the_whole_batch(samples, mixup):
    augment = PICTURES.model_copy(update={"mixup": mixup})
    before, key = keys()[1:3]
    whole = as_tensors(training_batch(samples, key, augment, NEEDS, before))
    parts = [as_tensors(training_batch(samples, key, augment, NEEDS, before, slice(r, None, 2))) for r in (0, 1)]
    for one, first, second in zip(whole, *parts, strict=True):
        assert torch.equal(one[0::2], first)
        assert torch.equal(one[1::2], second)
    again = as_tensors(training_batch(samples, keys()[2], augment, NEEDS, keys()[1]))
    assert all(torch.equal(a, b) for a, b in zip(whole, again, strict=True))


def test_second_view_is_of_the_same_samples_with_other_draws(samples):
    key = keys()[0]
    plain = training_batch(samples, key, AugmentConfig(), ("second_view", "index"))
    assert torch.equal(plain.needed["second_view"], plain.x)
    assert plain.needed["index"].tolist() == key.positions.tolist()
    augmented = training_batch(samples, key, PICTURES, ("second_view",))
    assert not torch.equal(augmented.needed["second_view"], augmented.x)
    for name in ("top", "left"):  # other draws, out of the same range
        assert not torch.equal(key.integers(name, 0, 7), key.other_view().integers(name, 0, 7))


def test_second_view_is_mixed_alike(samples):
    """Without crops and mirror images both views of a mixed batch are the same, so partners and weights are too."""
    batch = training_batch(samples, keys()[0], AugmentConfig(mixup=0.3), ("second_view",))
    assert torch.equal(batch.needed["second_view"], batch.x)
    assert not torch.equal(batch.x, training_batch(samples, keys()[0], AugmentConfig()).x)


def test_pairs_are_other_samples_of_the_class(samples):
    labels, seen = samples.labels, torch.zeros(48, 48)
    for number in range(300):
        for key in keys(number=number):
            partners = key.partners(labels)
            assert torch.equal(labels[partners], labels[key.index])
            assert (partners != key.index).all()
            seen[key.index, partners] += 1
    shares = seen[labels[:, None] == labels].view(48, 16) / 300
    off_diagonal = shares[shares > 0]
    assert len(off_diagonal) == 48 * 15
    assert off_diagonal.min() > 0.01  # of 1/15
    assert off_diagonal.max() < 0.15
    batch = training_batch(samples, keys()[0], AugmentConfig(), ("pair",))
    partners = keys()[0].partners(labels)
    assert torch.equal(batch.needed["pair"], samples.normalise(samples.gather(partners)))


def test_the_only_sample_of_a_class_is_its_own_partner():
    partners = draw_partners(np.array([2, 0, 2, 1]), np.random.default_rng(0))
    assert partners.tolist() == [2, 1, 0, 3]


def test_previous_batch_comes_in_another_view(samples):
    first, second = keys()[:2]
    assert training_batch(samples, first, PICTURES, ("previous",)).needed["previous"] is None
    x, labels = training_batch(samples, second, AugmentConfig(), ("previous",), first).needed["previous"]
    assert torch.equal(x, samples.normalise(samples.gather(first.index)))
    assert torch.equal(labels, samples.labels[first.index])
    augmented, _ = training_batch(samples, second, PICTURES, ("previous",), first).needed["previous"]
    assert not torch.equal(augmented, training_batch(samples, first, PICTURES).x)
