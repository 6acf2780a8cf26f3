import random
import struct
import zipfile
from pathlib import Path

import pytest

from clinical import archive
from clinical.archive import choose_member, open_source
from clinical.errors import DataError
from clinical.patients import read_patients
from tests.clinical.patient_files import SICK_CSV, WELL_CSV, csv_bytes

HEART = csv_bytes([SICK_CSV, WELL_CSV], "target")


def zipped(tmp_path: Path, members: dict[str, bytes], name: str = "data.zip") -> Path:
    path = tmp_path / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for member, content in members.items():
            file.writestr(member, content)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        open_source(path)
    text = str(caught.value)
    assert path.name in text
    assert "\n" not in text
    return text


def test_the_uci_archive_gives_cleveland_and_is_ambiguous_without(uci_zip: Path) -> None:
    members = open_source(uci_zip)
    assert choose_member(members) == "processed.cleveland.data"
    assert len(members.pop("processed.cleveland.data")) == 18461  # type: ignore[arg-type]
    assert "costs/" not in members
    with pytest.raises(DataError, match=r"found several: .*processed\.hungarian\.data"):
        choose_member(members)


def test_a_plain_file_is_passed_on_as_its_path_whatever_its_size(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(archive.MAX_UNPACKED + 1)
    assert open_source(path) == {"large.csv": path}
    assert choose_member({"large.csv": path}) == "large.csv"


def test_the_only_file_of_patients_is_chosen_from_a_zip_by_whatever_name(tmp_path: Path) -> None:
    members = {"README.txt": b"hello there", "sub/heart.csv": HEART, "picture.png": b"\x89PNG\0"}
    left_out = {"sub/": b"", "__MACOSX/sub/._heart.csv": HEART}
    found = open_source(zipped(tmp_path, members | left_out, "download"))
    assert found == members
    assert choose_member(found) == "sub/heart.csv"


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ({}, "an empty archive"),
        ({"a.txt": b"x", "b.txt": b"y"}, "none among a.txt, b.txt"),
        ({f"{n}.txt": b"x" for n in range(10, 20)}, "17.txt and 2 more"),
        ({"a.csv": HEART, "b.csv": HEART}, "several: a.csv, b.csv"),
        ({f"{n}/{archive.CLEVELAND}": HEART for n in "ab"}, "several: a/processed"),
    ],
)
def test_no_or_several_candidates_are_refused_naming_expected_and_found(
    tmp_path: Path, members: dict[str, bytes], found: str
) -> None:
    with pytest.raises(DataError) as caught:
        choose_member(open_source(zipped(tmp_path, members)))
    assert "Expected processed.cleveland.data" in str(caught.value)
    assert found in str(caught.value)


@pytest.mark.parametrize("member", ["../x", "/etc/x", "a/../../x", "C:\\x", "..\\x", "\\x"])
def test_a_path_that_leaves_its_folder_is_refused(tmp_path: Path, member: str) -> None:
    info = zipfile.ZipInfo("placeholder")
    info.filename = member
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("good.csv", HEART)
        file.writestr(info, HEART)
    assert "leaves its folder" in refusal(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_zip_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    block = random.Random(1).randbytes(1 << 16)
    many = {f"{n}": block * 16 for n in range(65)}
    # Compresses to a sixteenth at best, so that the sum alone is the reason.
    assert "more than 64 MiB" in refusal(zipped(tmp_path, many))


@pytest.mark.parametrize(
    ("offset", "written", "words"),
    [
        (22, struct.pack("<I", 1000), "damaged or cut off"),
        (6, b"\1", "is encrypted"),
        (8, b"\x61", "cannot be read here"),
    ],
    ids=["a bomb that lies about its size", "encrypted", "packed in an unknown way"],
)
def test_a_zip_that_cannot_be_read_is_refused(
    tmp_path: Path, offset: int, written: bytes, words: str
) -> None:
    path = zipped(tmp_path, {"zeros.csv": b"0" * (8 << 20)})
    content = bytearray(path.read_bytes())
    for signature, further in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
        place = content.index(signature) + offset + further
        content[place : place + len(written)] = written
    path.write_bytes(content)
    assert words in refusal(path)


def test_a_cut_zip_and_text_that_calls_itself_one_are_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path, {"heart.csv": HEART, "b.txt": b"text" * 50})
    whole = path.read_bytes()
    for content in (whole[:20], whole[:90], whole[:-1], b"<html>not found</html>"):
        path.write_bytes(content)
        assert "not a complete zip file: damaged or cut off" in refusal(path)


def test_damage_anywhere_is_a_data_error_or_harmless(tmp_path: Path) -> None:
    good = zipped(tmp_path, {"heart.csv": HEART, "b.txt": b"text" * 50}).read_bytes()
    path = tmp_path / "damaged.zip"
    for place in range(len(good)):
        for mask in (0xFF, 0x01, 0x80):
            path.write_bytes(good[:place] + bytes([good[place] ^ mask]) + good[place + 1 :])
            try:
                members = open_source(path)
                read_patients(members[choose_member(members)], "member")
            except DataError:
                continue


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "nothing.csv")
    assert "directory" in refusal(tmp_path)
