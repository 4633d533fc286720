"""Packages that are damaged or meant to do harm."""

import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asc_mrkd.submission import check_submission
from asc_mrkd.submission import package as package_module

TASK = "dcase2020-task1b"


def found(problems):
    return [(problem.code, problem.severity, problem.line) for problem in problems]


def test_links_and_duplicates_in_the_zip(packages, tmp_path):
    path, name = tmp_path / "s.zip", packages[TASK].name(".meta.yaml")
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo(name)
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert found(check_submission(path, TASK)) == [("unsafe-path", "error", None)]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "submission:")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(name, "other")
    assert found(check_submission(path, TASK)) == [("duplicate-member", "error", None)]


def test_zip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(package_module, "MAX_BYTES", 10 * 1024**2)
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a/task1/b/c.csv", "w") as member:
        for _ in range(11):
            member.write(bytes(1024**2))
    assert path.stat().st_size < 1024**2
    assert found(check_submission(path, TASK)) == [("package-size", "error", None)]


@pytest.fixture(scope="module")
def valid_zip(packages, tmp_path_factory):
    return packages[TASK].save(tmp_path_factory.mktemp("fuzz") / "s.zip").read_bytes()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_flipped_byte_never_ends_in_a_traceback(tmp_path, valid_zip, position, flip):
    damaged = bytearray(valid_zip)
    damaged[int(position * len(damaged))] ^= flip
    (tmp_path / "s.zip").write_bytes(damaged)
    assert isinstance(check_submission(tmp_path / "s.zip", TASK), list)


def test_every_truncation_is_damage(tmp_path, valid_zip):
    for length in np.linspace(0, len(valid_zip) - 1, 40, dtype=int):
        (tmp_path / "s.zip").write_bytes(valid_zip[:length])
        assert found(check_submission(tmp_path / "s.zip", TASK)) == [("damaged-zip", "error", None)]


def test_s1_a_zip_of_macos_is_refused_with_one_sentence(packages, tmp_path):
    package = packages["dcase2018-task1a"].copy()
    for name in list(package.files):
        folder, _, last = name.rpartition("/")
        package.files[f"__MACOSX/{folder}/._{last}"] = (
            bytes.fromhex("0005160700020000") + b"Mac OS X        " + bytes(40) + b"\xb0" * 80
        )
        package.files[f"{folder}/.DS_Store"] = b"\0\0\0\1Bud1"
    [problem] = package.check(tmp_path)
    assert (problem.code, problem.severity) == ("macos", "error")
    assert "made by macOS: 3 entries" in problem.message
    assert "zip -d package.zip '__MACOSX/*'" in problem.message


def test_s1_the_entry_itself_is_checked_as_if_they_were_not_there(packages, tmp_path):
    package = packages["dcase2018-task1a"].copy()
    package.row(2)
    package.add(".DS_Store", b"\0\0\0\1Bud1")
    assert [problem.code for problem in package.check(tmp_path)] == ["missing-files", "macos"] or [
        problem.code for problem in package.check(tmp_path)
    ] == ["macos", "missing-files"]
    package.files = {f"__MACOSX/{name}": content for name, content in package.files.items()}
    assert [problem.code for problem in package.check(tmp_path)] == ["macos", "no-submission"]


def test_s1_hidden_files_of_a_folder_are_no_entries(packages, tmp_path):
    package = packages["dcase2018-task1a"]
    with zipfile.ZipFile(package.save(tmp_path / "s.zip")) as archive:
        for member in archive.infolist():
            archive.extract(member, tmp_path / "out")
    output = next((tmp_path / "out").rglob("*.output.csv"))
    output.with_name(f"._{output.name}").write_bytes(b"\0\5\x16\7")
    output.with_name(".DS_Store").write_bytes(b"\0")
    assert check_submission(tmp_path / "out", "dcase2018-task1a", package.clip_list) == []
