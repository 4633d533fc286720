"""The table of archives against the published totals."""

import re

import pytest

from asc_mrkd.download.catalogue import CLIP_BYTES, DATA_SETS, SECOND_BYTES
from asc_mrkd.download.staging import find_gap

TOTALS = {
    "dcase18": (15, 21_353_171_682),
    "dcase18-leaderboard": (4, 2_973_668_302),
    "dcase18-evaluation": (8, 8_907_395_081),
    "dcase20": (23, 35_543_717_092),
    "dcase20-evaluation": (15, 20_856_686_257),
    "dcase22": (18, 27_503_592_469),
}
"""Number of archives and bytes in all, as the organisers' dcase_util states them."""


@pytest.mark.parametrize("name", DATA_SETS)
def test_rows_are_well_formed(name):
    data_set = DATA_SETS[name]
    assert data_set.files or data_set.counts, "nothing to tell a complete folder by"
    assert len({archive.md5 for archive in data_set.archives}) == len(data_set.archives)
    assert data_set.size > 10**8
    assert 0.9 < data_set.size_unpacked / data_set.size < 2
    assert data_set.summary
    for archive in data_set.archives:
        assert re.fullmatch("[0-9a-f]{32}", archive.md5)
        assert len(archive.addresses) == 2
        assert all(address.startswith("https://") for address in archive.addresses)


@pytest.mark.parametrize("name", TOTALS)
def test_challenge_archives_add_up(name):
    data_set = DATA_SETS[name]
    assert (len(data_set.archives), data_set.size) == TOTALS[name]
    parts = [archive.name.removeprefix(f"{data_set.folder}.") for archive in data_set.archives]
    assert parts == ["doc.zip", "meta.zip", *(f"audio.{i}.zip" for i in range(1, len(parts) - 1))]
    assert data_set.licence
    # Stereo recordings of all sets shrink alike, and mono ones less, so that a wrong number of clips would show.
    if data_set.folder.startswith("TAU-urban-acoustic-scenes-2022-mobile"):
        assert 0.89 < data_set.size / (data_set.counts["audio/*.wav"] * SECOND_BYTES) < 0.91
    else:
        assert 0.83 < data_set.size / (data_set.counts["audio/*.wav"] * CLIP_BYTES) < 0.87


def test_some_rows_as_they_are_published():
    assert DATA_SETS["cifar10"].archives[0].md5 == "c58f30108f718f92721af3b95e74349a"
    assert DATA_SETS["cifar100"].archives[0].md5 == "eb9058c3a382ffc7106e4002c42a8d85"
    assert DATA_SETS["cinic10"].archives[0].md5 == "6ee4d0c996905fe93221de577967a372"
    assert sum(DATA_SETS["cinic10"].counts.values()) == 270_000
    last = DATA_SETS["dcase18"].archives[-1]
    assert last.addresses == (
        "https://zenodo.org/records/1228142/files/TUT-urban-acoustic-scenes-2018-development.audio.13.zip",
        "https://zenodo.org/record/1228142/files/TUT-urban-acoustic-scenes-2018-development.audio.13.zip",
    )
    assert (last.size, last.md5) == (798_990_513, "d00eeb2db0e093d8975521323a96c519")


@pytest.mark.slow
def test_what_a_challenge_folder_lacks(tmp_path):
    data_set = DATA_SETS["dcase18"]
    assert find_gap(data_set, tmp_path) == "meta.csv is missing"
    (tmp_path / "meta.csv").write_text("")
    (tmp_path / "evaluation_setup").mkdir()
    for part in ("train", "test"):
        (tmp_path / f"evaluation_setup/fold1_{part}.txt").write_text("")
    assert find_gap(data_set, tmp_path) == "evaluation_setup/fold1_evaluate.txt is missing"
    (tmp_path / "evaluation_setup/fold1_evaluate.txt").write_text("")
    (tmp_path / "audio").mkdir()
    for number in range(8640):
        assert number or find_gap(data_set, tmp_path) == "audio/*.wav gives 0 files, not 8,640"
        (tmp_path / f"audio/{number}.wav").touch()
    assert find_gap(data_set, tmp_path) == ""
    assert DATA_SETS["dcase20"].counts["audio/*.wav"] == 14_400
