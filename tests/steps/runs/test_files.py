"""Files that no reader sees half written, and their digests."""

import errno
import os
import stat
import tempfile
from pathlib import Path

import pytest

from steps.runs import files


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "report.json"
    for old, new in (("", "first"), ("first", "second")):
        with files.replacing(target) as part:
            part.write_text("half of the n")
            assert (target.read_text() if target.exists() else "") == old
            assert part.parent == target.parent  # else the move would be a copy
            part.write_text(new)
        assert target.read_text() == new
    assert names(target.parent) == ["report.json"]


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0o002])
def test_the_mode_is_what_the_umask_leaves(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        files.copy_atomically(Path(__file__), tmp_path / "new" / "report.json")
    finally:
        os.umask(before)
    made = tmp_path / "new" / "report.json"
    assert stat.S_IMODE(made.stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o777 & ~mask


def test_links_that_somebody_has_put_there_are_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("kept")
    for name in ("report.json", ".report.json.aaaaaaaa.part"):
        (tmp_path / name).symlink_to(victim)
    (tmp_path / ".report.json.bbbbbbbb.part").symlink_to(tmp_path / "nowhere")
    files.copy_atomically(Path(__file__), tmp_path / "report.json")
    assert victim.read_text() == "kept"
    assert not (tmp_path / "report.json").is_symlink()


@pytest.mark.parametrize("old", ["old", None])
@pytest.mark.parametrize("error", [KeyError(), OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_what_fails_midway_leaves_all_as_it_was(
    tmp_path: Path, old: str | None, error: BaseException
) -> None:
    target = tmp_path / "report.json"
    if old:
        target.write_text(old)

    def fails_midway() -> None:
        with files.replacing(target) as part:
            part.write_text("half of the n")
            raise error

    with pytest.raises(type(error)):
        fails_midway()
    assert names(tmp_path) == (["report.json"] if old else [])
    assert not old or target.read_text() == old


def test_what_a_kill_left_is_swept_up_once_it_is_old(tmp_path: Path) -> None:
    old, young = tmp_path / ".report.json.aaa.part", tmp_path / ".report.json.bbb.part"
    other = tmp_path / ".model.pkl.ccc.part"
    for path in (old, young, other):
        path.write_text("half")
    for path in (old, other):
        os.utime(path, (0, 0))
    with files.replacing(tmp_path / "report.json") as part:
        part.write_text("whole")
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", young.name, other.name}


def folder_of(root: Path, **content: str) -> Path:
    for name, text in content.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(("other", "same"), [
    ({"b__c": "2", "a": "1"}, True),
    ({"a": "1", "b__c": "3"}, False),
    ({"a": "1", "b__d": "2"}, False),
    ({"a": "1", "c": "2"}, False),
    ({"a": "2", "b__c": "1"}, False),
    ({"a": "1"}, False),
    ({"a": "1", "b__c": "2", "d": ""}, False),
], ids=["elsewhere", "content", "name", "place", "swapped", "fewer", "more"])  # fmt: skip
def test_the_digest_of_a_folder_changes_with_names_and_contents_alone(
    tmp_path: Path, other: dict[str, str], *, same: bool
) -> None:
    before = folder_of(tmp_path / "before", a="1", b__c="2")
    after = folder_of(tmp_path / "after" / "deep", **other)
    assert (files.sha256(before) == files.sha256(after)) == same


@pytest.mark.parametrize("chosen", [None, "", "relative"])
def test_the_cache_is_where_the_user_keeps_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str | None
) -> None:
    assert files.cache_dir() == tmp_path / "cache" / "heart-disease-model"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    if chosen is None:
        monkeypatch.delenv("XDG_CACHE_HOME")
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", chosen)
    assert files.cache_dir() == tmp_path / "home" / ".cache" / "heart-disease-model"


def test_a_cache_that_cannot_be_written_to_is_among_the_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    cache = files.cache_dir()
    assert cache.parent == Path(tempfile.gettempdir())
    assert os.access(cache, os.W_OK)
