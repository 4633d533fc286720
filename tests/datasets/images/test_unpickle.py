"""Pickles of arrays are read, whoever wrote them; everything else is refused and nothing of it happens."""

import os
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest
from helpers.datasets import python2_pickle

from asc_mrkd.datasets.images.unpickle import read_pickle
from asc_mrkd.errors import DataError

VALUES = {"labels": [1, 0, 300], "data": np.arange(12, dtype=np.uint8).reshape(3, 4), "name": "batch 1"}


def same(found) -> bool:
    return (
        list(found) == list(VALUES)
        and found["labels"] == VALUES["labels"]
        and found["name"] in ("batch 1", b"batch 1")
        and found["data"].dtype == np.uint8
        and np.array_equal(found["data"], VALUES["data"])
    )


def test_arrays_of_every_pickler(tmp_path, pickler):
    path = tmp_path / "batch"
    path.write_bytes(pickler(VALUES))
    assert same(read_pickle(path))


def test_the_python_2_pickles_of_these_tests_are_genuine():
    assert same(pickle.loads(python2_pickle(VALUES), encoding="latin1"))


@pytest.mark.parametrize("dtype", ["<i8", ">i2", "|u1", "<u4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_integer_types_and_both_orders(tmp_path, dtype, order):
    values = np.asarray(np.random.default_rng(0).integers(0, 100, (2, 3, 4)), dtype=dtype, order=order)
    for protocol in (2, 4, 5):
        (tmp_path / "a").write_bytes(pickle.dumps({"a": values}, protocol))
        found = read_pickle(tmp_path / "a")["a"]
        assert found.dtype == values.dtype
        assert np.array_equal(found, values)


class Run:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


RECONSTRUCT = np.array([1]).__reduce__()[0]

HUGE = Run(RECONSTRUCT, np.ndarray, (2**45,), b"b")

EVIL = {
    "os.system": (Run(os.system, "touch executed"), "system"),
    "builtins.eval": (Run(eval, "open('executed', 'w')"), "eval"),
    "builtins.exec": (Run(exec, "open('executed', 'w')"), "exec"),
    "builtins.open": (Run(open, "executed", "w"), "open"),
    "getattr": (Run(getattr, np.ndarray, "tofile"), "getattr"),
    "numpy function": (Run(np.save, "executed", [1]), "save"),
    "object array": (np.array([Run(os.system, "touch executed")], dtype=object), "system"),
    "harmless object array": (np.array([1, "a"], dtype=object), "array of type O8"),
    "text array": (np.array(["abc"]), "array of type U3"),
    "float array": (np.array([0.5]), "array of type f8"),
    "structured array": (np.zeros(2, dtype=[("a", "u1")]), "array of type V1"),
    "array of that size": (HUGE, "before there is data"),
    "scalar": (np.int64(1), "scalar"),
    "type": (np.dtype("u1"), "calls dtype"),
    "dictionary of another kind": (OrderedDict(a=1), "OrderedDict"),
}


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(("value", "message"), EVIL.values(), ids=EVIL)
def test_everything_else_is_refused(tmp_path, monkeypatch, value, message, protocol):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "batch"
    path.write_bytes(pickle.dumps({"data": value}, protocol))
    with pytest.raises(DataError, match=message) as refused:
        read_pickle(path, "a hint")
    assert str(path) in str(refused.value)
    assert refused.value.hint == "a hint"
    assert os.listdir(tmp_path) == ["batch"]


def short(text: str) -> bytes:
    return pickle.SHORT_BINUNICODE + bytes([len(text)]) + text.encode()


CRAFTED = {
    "attribute of an allowed name": b"\x80\x04" + short("numpy") + short("ndarray.tofile") + b"\x93.",
    "globals of an allowed name": b"\x80\x04"
    + short("numpy.core.multiarray")
    + short("_reconstruct.__globals__")
    + b"\x93.",
    "instance of protocol 0": b"(S'touch executed'\nios\nsystem\n.",
    "object of protocol 1": b"(cos\nsystem\nS'touch executed'\no.",
    "persistent object": b"\x80\x02Pexecuted\n.",
    "extension": b"\x80\x02\x82\x01.",
    "another codec": b"\x80\x02}U\x01ac_codecs\nencode\nX\x01\x00\x00\x00xX\x05\x00\x00\x00rot13\x86Rs.",
    "state for a class": b"\x80\x02}U\x01acnumpy\nndarray\n}U\x05statecnumpy\ndtype\nsbs.",
    "class without a call": b"\x80\x02}U\x01acnumpy\nndarray\ns.",
    "array without a state": b"\x80\x02}U\x01acnumpy\nndarray\n)Rs.",
    "array without a call": b"\x80\x02}U\x01acnumpy.core.multiarray\n_reconstruct\n)\x81s.",
    "memo to the end of memory": b"\x80\x02}r\xff\xff\xff\xff.",
    "memo to the end of memory in text": b"(dp99999999999\n.",
    "buffer longer than the file": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".",
    "text longer than the file": b"\x80\x02T" + struct.pack("<i", 2**31 - 1) + b"abc.",
    "negative length": b"\x80\x02T" + struct.pack("<i", -1) + b"abc.",
    "number of a million digits": b"I" + b"9" * 1_000_000 + b"\n.",
    "list": pickle.dumps([1, 2]),
    "keys that are numbers": pickle.dumps({1: 2}),
    "key that is a list": b"\x80\x02}]K\x01s.",
    "unknown protocol": b"\x80\xff}.",
    "no pickle": b"<html>404</html>",
    "nothing": b"",
}


@pytest.mark.parametrize("raw", CRAFTED.values(), ids=CRAFTED)
def test_crafted_pickles_are_refused(tmp_path, monkeypatch, raw):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "batch"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=str(path)):
        read_pickle(path)
    assert os.listdir(tmp_path) == ["batch"]


def test_nothing_of_a_pickle_outlives_it(tmp_path):
    path = tmp_path / "batch"
    path.write_bytes(CRAFTED["state for a class"])
    with pytest.raises(DataError):
        read_pickle(path)
    path.write_bytes(python2_pickle(VALUES))
    assert same(read_pickle(path))


def test_cut_off_at_every_byte(tmp_path, pickler):
    path, raw = tmp_path / "batch", pickler(VALUES)
    for length in range(len(raw)):
        path.write_bytes(raw[:length])
        with pytest.raises(DataError, match="batch"):
            read_pickle(path)


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
def test_damage_is_a_data_error_or_goes_unseen(tmp_path, pickler):
    path, raw, rng = tmp_path / "batch", pickler(VALUES), np.random.default_rng(0)
    refused = 0
    for position, value in rng.integers(0, (len(raw), 256), (200, 2)):
        path.write_bytes(raw[:position] + bytes([value]) + raw[position + 1 :])
        try:
            assert isinstance(read_pickle(path), dict)
        except DataError:
            refused += 1
    assert refused > 50


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match="batch: No such file"):
        read_pickle(tmp_path / "batch")
