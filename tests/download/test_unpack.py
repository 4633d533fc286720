"""Archives cannot escape: every evil one is refused, and no file lies outside the folder afterwards."""

import stat
import tarfile
import zipfile

import numpy as np
import pytest
from helpers.download import files_in, tar_of

from asc_mrkd.download.unpack import Allowance, unpack
from asc_mrkd.errors import DataError

BYTES = np.random.default_rng(0).bytes(5000)
GOOD = {"set/train/a.png": BYTES, "set/train/b.png": b"", "set/meta": BYTES[:10]}
CAP = 20_000
"""Bytes that the archives of these tests may hold."""


def zip_of(path, members):
    """Write a .zip of (name, content) or (name, content, mode of Unix)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, *mode in members:
            info = zipfile.ZipInfo("x")
            info.filename = name
            info.external_attr = (mode[0] if mode else stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content)
    return path


def entry(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_plain_archives_are_unpacked(tmp_path, suffix):
    path = tmp_path / f"set{suffix}"
    if suffix == ".zip":
        zip_of(path, [("set/", b"", stat.S_IFDIR | 0o755), *GOOD.items()])
    else:
        tar_of(path, [entry("./set", tarfile.DIRTYPE), *((f"./{name}", content) for name, content in GOOD.items())])
    advances = []
    unpack(path, tmp_path / "out", Allowance(CAP), advances.append)
    assert files_in(tmp_path / "out") == GOOD
    assert len(advances) == len(GOOD) + 1, "one for each file, and the rest of the archive"
    assert min(advances) >= 0
    assert sum(advances) == path.stat().st_size


EVIL_TARS = {
    "climbs": [("../escaped", BYTES)],
    "climbs from within": [("set/a/../../../escaped", BYTES)],
    "absolute": [("/tmp/asc-mrkd-escaped", BYTES)],
    "backslashes": [("set\\..\\..\\escaped", BYTES)],
    "drive letter": [("C:/escaped", BYTES)],
    "network share": [("\\\\host\\share\\escaped", BYTES)],
    "link to the outside": [entry("set/link", tarfile.SYMTYPE, "../.."), ("set/link/escaped", BYTES)],
    "link to a neighbour": [("set/a", BYTES), entry("set/b", tarfile.SYMTYPE, "a")],
    "hard link": [entry("set/passwd", tarfile.LNKTYPE, "/etc/passwd")],
    "character device": [entry("set/null", tarfile.CHRTYPE)],
    "block device": [entry("set/disk", tarfile.BLKTYPE)],
    "pipe": [entry("set/pipe", tarfile.FIFOTYPE)],
    "bomb": [("set/zeros", bytes(50 * CAP))],
    "bomb in pieces": [(f"set/{i}", bytes(CAP // 3)) for i in range(4)],
    "twice": [("set/a", BYTES), ("set/a", BYTES[::-1])],
    "twice, spelt differently": [("set/a", BYTES), ("./set//a", BYTES)],
    "file, then folder": [("set/a", BYTES), ("set/a/b", BYTES)],
    "folder, then file": [("set/a/b", BYTES), ("set/a", BYTES)],
}

EVIL_ZIPS = {
    "climbs": [("../escaped", BYTES)],
    "absolute": [("/tmp/asc-mrkd-escaped", BYTES)],
    "backslashes": [("..\\escaped", BYTES)],
    "drive letter": [("c:escaped", BYTES)],
    "name with a NUL": [("set/a\0/../../escaped", BYTES)],
    "link": [("set/link", b"../..", stat.S_IFLNK | 0o777), ("set/link/escaped", BYTES)],
    "device": [("set/null", b"", stat.S_IFCHR | 0o666)],
    "bomb": [("set/zeros", bytes(50 * CAP))],
    "twice": [("set/a", BYTES), ("set/a", BYTES[::-1])],
}

EVIL = [(".tar.gz", name) for name in EVIL_TARS] + [(".zip", name) for name in EVIL_ZIPS]


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize(("suffix", "name"), EVIL)
def test_evil_archives_are_refused(tmp_path, suffix, name):
    box = tmp_path / "box"
    path = tmp_path / f"evil{suffix}"
    members = EVIL_TARS[name] if suffix == ".tar.gz" else EVIL_ZIPS[name]
    (tar_of if suffix == ".tar.gz" else zip_of)(path, [("set/first", b"1"), *members])
    with pytest.raises(DataError, match=r"member '.+' (would be|is a link|is more|comes twice)") as caught:
        unpack(path, box / "inner" / "out", Allowance(CAP))
    assert caught.value.hint
    written = [file for file in box.rglob("*") if file.is_symlink() or not file.is_dir()]
    assert all(file.is_relative_to(box / "inner" / "out" / "set") and not file.is_symlink() for file in written)
    assert sum(file.stat().st_size for file in written) <= CAP
    assert {file.name for file in tmp_path.iterdir()} == {"box", path.name}


@pytest.mark.parametrize("name", ["", ".", "./."])
@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_f3_5_a_member_without_a_name_is_refused(tmp_path, suffix, name):
    path = (zip_of if suffix == ".zip" else tar_of)(tmp_path / f"set{suffix}", [(name, b"content")])
    with pytest.raises(DataError, match=f"set{suffix}: member '{name}' has no name"):
        unpack(path, tmp_path / "out", Allowance(CAP))


def test_too_many_members(tmp_path):
    path = tar_of(tmp_path / "many.tar.gz", [(f"set/{i}", b"") for i in range(11)])
    unpack(path, tmp_path / "eleven", Allowance(CAP, members=11))
    with pytest.raises(DataError, match="'set/10' is more than the archive may hold"):
        unpack(path, tmp_path / "ten", Allowance(CAP, members=10))


def test_the_allowance_is_shared_by_several_archives(tmp_path):
    paths = [tar_of(tmp_path / f"{i}.tar.gz", [(f"set/{i}", bytes(CAP // 2))]) for i in range(3)]
    allowance = Allowance(CAP)
    for path in paths[:2]:
        unpack(path, tmp_path / "out", allowance)
    with pytest.raises(DataError, match="'set/2' is more"):
        unpack(paths[2], tmp_path / "out", allowance)


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "empty"])
def test_damaged_archives_are_named(tmp_path, suffix, damage):
    path = (zip_of if suffix == ".zip" else tar_of)(tmp_path / f"set{suffix}", GOOD.items())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(
        {"cut": content[: len(content) // 2], "flipped": content, "text": b"<html>no", "empty": b""}[damage]
    )
    with pytest.raises(DataError, match=f"set{suffix} is damaged") as caught:
        unpack(path, tmp_path / "out", Allowance(CAP))
    assert caught.value.hint
