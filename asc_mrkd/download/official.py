"""What the official image sets hold: sizes, classes, and md5 sums of the files as their archives unpack them."""

from dataclasses import dataclass, field

_CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"

_CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree
wolf woman worm
"""


@dataclass(frozen=True)
class OfficialSet:
    """What one official set holds; every class has the same number of images in a split.

    Attributes:
        images: number of images in each split.
        classes: class names in alphabetical order.
        md5: of files in its folder.
    """

    images: dict[str, int]
    classes: list[str]
    md5: dict[str, str] = field(default_factory=dict)


OFFICIAL = {
    "CIFAR-10": OfficialSet(
        images={"train": 50_000, "test": 10_000},
        classes=_CIFAR10.split(),
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
    "CIFAR-100": OfficialSet(
        images={"train": 50_000, "test": 10_000},
        classes=_CIFAR100.split(),
        md5={
            "train": "16019d7e3df5f24257cddd939b257f8d",
            "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
            "meta": "7973b15100ade9c7d40fb424638fde48",
        },
    ),
    "CINIC-10": OfficialSet(
        images={"train": 90_000, "valid": 90_000, "test": 90_000},
        classes=_CIFAR10.split(),
    ),
}
"""By layout. Sources: Krizhevsky (2009) for CIFAR, Darlow et al. (2018, arXiv:1810.03505) for CINIC-10."""
