"""The output is there as a whole or not at all, and what is finished is not done twice."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from steps.batch.parts import Parts, key_of, rejects_of
from steps.runs.store import StepError
from tests.conftest import ROOT

COUNTS = {"rows": 3, "rejected": 1}
KEY = key_of("a job")


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path / "out" / "scored.parquet", KEY)


def fill(parts: Parts, *numbers: int, rejects: str = "") -> None:
    for number in numbers:
        parts.add(number, f"part {number}".encode(), rejects, COUNTS)


def test_parts_are_hidden_until_they_are_moved_in_together(parts: Parts) -> None:
    with parts.held():
        fill(parts, 1, 0)
        assert not parts.output.exists()
        parts.move_in(["source"])
    assert [path.name for path in sorted(parts.output.iterdir())] == [
        "part-000000.parquet", "part-000001.parquet",
    ]  # fmt: skip
    assert list(parts.output.parent.iterdir()) == [parts.output]


def test_rejects_go_beside_the_output_in_the_order_of_the_parts(parts: Parts) -> None:
    with parts.held():
        for number in (10, 9, 2):
            fill(parts, number, rejects=f"{number},ä\n")
        parts.move_in(["source", "row"])
    assert rejects_of(parts.output).read_text("utf-8") == "source,row\n2,ä\n9,ä\n10,ä\n"
    assert rejects_of(parts.output).name == "scored.parquet.rejects.csv"


def test_what_is_finished_outlives_a_failure(parts: Parts) -> None:
    def fail() -> None:
        with parts.held():
            fill(parts, 4)
            raise StepError("no more")

    with pytest.raises(StepError, match="no more"):
        fail()
    assert Parts(parts.output, KEY).counts() == {4: COUNTS}
    assert Parts(parts.output, key_of("another job")).counts() == {}


def test_a_failure_before_the_first_part_leaves_nothing(parts: Parts) -> None:
    with pytest.raises(StepError, match="at once"), parts.held():
        raise StepError("at once")
    assert list(parts.output.parent.iterdir()) == []


def test_a_part_without_its_counts_is_not_finished(parts: Parts) -> None:
    with parts.held():
        fill(parts, 0, 1)
        (parts.folder / "told" / "1.json").unlink()
        assert parts.counts() == {0: COUNTS}


@pytest.mark.parametrize("what", ["file", "folder", "dangling link", "rejects"])
def test_what_exists_is_refused(parts: Parts, what: str) -> None:
    parts.output.parent.mkdir()
    path = rejects_of(parts.output) if what == "rejects" else parts.output
    if what == "dangling link":
        path.symlink_to("nowhere")
    elif what == "folder":
        path.mkdir()
    else:
        path.write_text("mine")
    with pytest.raises(StepError, match="exists, and is not overwritten"):
        parts.require_free()


def test_a_job_killed_between_rejects_and_parts_may_go_on(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, parts.held():
        fill(parts, 0, rejects="x\n")
        patch.setattr(Path, "rename", die)
        with pytest.raises(KeyboardInterrupt):
            parts.move_in(["source"])
    assert rejects_of(parts.output).exists()
    parts.require_free()
    with pytest.raises(StepError, match="exists, and is not overwritten"):
        Parts(parts.output, key_of("another job")).require_free()
    with parts.held():
        parts.move_in(["source"])
    assert rejects_of(parts.output).read_text() == "source\nx\n"
    assert sorted(parts.output.parent.iterdir()) == [parts.output, rejects_of(parts.output)]


def test_a_job_killed_after_the_parts_moved_in_has_nothing_finished(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, parts.held():
        fill(parts, 0, 1)
        patch.setattr(parts, "discard", lambda: None)
        parts.move_in(["source"])
    shutil.rmtree(parts.output)
    with parts.held():
        assert parts.counts() == {}
        fill(parts, 0)
        parts.move_in(["source"])
    assert [path.name for path in parts.output.iterdir()] == ["part-000000.parquet"]


def test_what_says_that_parts_are_whole_goes_before_the_parts(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[Path] = []
    monkeypatch.setattr(shutil, "rmtree", lambda path, **_: removed.append(path))
    parts.discard()
    assert removed == [parts.folder / "told", parts.folder]


@pytest.mark.parametrize("links", [True, False])
def test_rejects_that_came_up_meanwhile_are_not_overwritten(
    parts: Parts, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", refuse_links)
    with parts.held():
        fill(parts, 0, rejects="x\n")
        rejects_of(parts.output).write_text("theirs")
        with pytest.raises(StepError, match=r"rejects\.csv exists by now"):
            parts.move_in(["source"])
    assert rejects_of(parts.output).read_text() == "theirs"
    assert not parts.output.exists()
    assert parts.counts() == {0: COUNTS}


def refuse_links(*_: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_a_file_system_without_links_does(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", refuse_links)
    with parts.held():
        fill(parts, 0, rejects="x\n")
        parts.move_in(["source"])
    assert rejects_of(parts.output).read_text() == "source\nx\n"
    assert parts.output.is_dir()


def test_an_output_that_came_up_meanwhile_is_not_overwritten(parts: Parts) -> None:
    with parts.held():
        fill(parts, 0, rejects="x\n")
        parts.output.mkdir()
        (parts.output / "theirs").write_text("theirs")
        with pytest.raises(StepError, match="exists by now"):
            parts.move_in(["source"])
    assert (parts.output / "theirs").read_text() == "theirs"
    assert not rejects_of(parts.output).exists()
    assert parts.counts() == {0: COUNTS}


def test_an_output_that_another_job_finished_since_the_plan_is_refused(parts: Parts) -> None:
    other = Parts(parts.output, key_of("another job"))
    for job in (parts, other):
        job.require_free()
    with other.held():
        fill(other, 0, rejects="theirs\n")
        other.move_in(["source"])
    with pytest.raises(StepError, match="exists, and is not overwritten"), parts.held():
        pass
    assert rejects_of(parts.output).read_text() == "source\ntheirs\n"


@pytest.mark.parametrize("theirs", [KEY, key_of("another job")])
def test_two_processes_do_not_write_the_same_output(parts: Parts, theirs: str) -> None:
    program = (
        "from pathlib import Path; from steps.batch.parts import Parts\n"
        f"with Parts(Path({str(parts.output)!r}), {theirs!r}).held():\n"
        "    print('held', flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=ROOT,
    )  # fmt: skip
    assert other.stdout
    assert other.stdout.readline() == "held\n"
    with pytest.raises(StepError, match="another process is writing"), parts.held():
        pass
    assert other.communicate("\n")[0] == ""
    with parts.held():
        fill(parts, 0)


def test_a_link_in_the_place_of_the_lock_is_not_followed(parts: Parts, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("somebody's")
    parts.output.parent.mkdir()
    lock = parts.output.with_name(".scored.parquet.lock")
    lock.symlink_to(precious)
    with pytest.raises(OSError, match=lock.name), parts.held():
        pass
    assert precious.read_text() == "somebody's"
    assert lock.is_symlink()


def test_an_output_is_held_where_there_is_no_fcntl_too(parts: Parts) -> None:
    program = (
        "import sys, warnings; sys.modules['fcntl'] = None; warnings.simplefilter('ignore')\n"
        "from pathlib import Path; from steps.batch.parts import Parts\n"
        f"first, second = (Parts(Path({str(parts.output)!r}), key * 64) for key in 'ab')\n"
        "with first.held():\n"
        "    try:\n"
        "        with second.held(): print('both')\n"
        "    except Exception as error: print(error)\n"
        "with second.held(): print('then')"
    )
    said = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True)
    assert said == f"another process is writing {parts.output}\nthen\n"


def test_what_other_jobs_have_left_is_swept_up_when_it_is_old(parts: Parts) -> None:
    old, young, longer = (Parts(parts.output, key_of(name)) for name in ("old", "young", "long"))
    other = Parts(parts.output.with_name("scored.parquet.2"), KEY)
    past = time.time() - 7200
    for left in (old, young, longer, other):
        with left.held():
            fill(left, 0)
        if left is not young:
            for path in (left.folder, *left.folder.iterdir()):
                os.utime(path, (past, past))
    os.utime(longer.folder / "told")  # its last part has just been finished
    with parts.held():
        fill(parts, 0)
    assert not old.folder.exists()
    assert all(left.folder.exists() for left in (young, longer, other))
