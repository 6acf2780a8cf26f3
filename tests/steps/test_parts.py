"""The output is there as a whole or not at all, and what is finished is not done twice."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from steps.parts import Parts, key_of, rejects_of
from steps.store import StepError

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
    assert rejects_of(parts.output).name == "scored.rejects.csv"


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


def test_a_job_killed_between_rejects_and_parts_may_go_on(parts: Parts) -> None:
    with parts.held():
        fill(parts, 0, rejects="x\n")
        rejects_of(parts.output).write_text("half")
        parts.require_free()
        parts.move_in(["source"])
    assert rejects_of(parts.output).read_text() == "source\nx\n"


def test_an_output_that_came_up_meanwhile_is_not_overwritten(parts: Parts) -> None:
    with parts.held():
        fill(parts, 0)
        parts.output.mkdir()
        (parts.output / "theirs").write_text("theirs")
        with pytest.raises(StepError, match="exists by now"):
            parts.move_in(["source"])
    assert (parts.output / "theirs").read_text() == "theirs"
    assert parts.counts() == {0: COUNTS}


def test_two_processes_do_not_write_the_same_output(parts: Parts) -> None:
    program = (
        "from pathlib import Path; from steps.parts import Parts\n"
        f"with Parts(Path({str(parts.output)!r}), {KEY!r}).held():\n"
        "    print('held', flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert other.stdout
    assert other.stdout.readline() == "held\n"
    with pytest.raises(StepError, match="another process is writing"), parts.held():
        pass
    assert other.communicate("\n")[0] == ""
    with parts.held():
        fill(parts, 0)


def test_what_other_jobs_have_left_is_swept_up_when_it_is_old(parts: Parts) -> None:
    old, young = (Parts(parts.output, key_of(name)) for name in ("old", "young"))
    for left in (old, young):
        with left.held():
            fill(left, 0)
    past = time.time() - 7200
    os.utime(old.folder, (past, past))
    with parts.held():
        fill(parts, 0)
    assert not old.folder.exists()
    assert young.folder.exists()
