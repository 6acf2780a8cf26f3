"""Files that somebody else may have written are told from those that nobody else can."""

import os
from pathlib import Path

import pytest

from serving.following.ownership import read_ours, require_ours
from tests.conftest import need


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir(mode=0o755)
    made = folder / "model.pkl"
    made.write_bytes(b"content")
    made.chmod(0o644)
    return made


@pytest.mark.parametrize("which", ["file", "folder"])
@pytest.mark.parametrize(("owner", "group", "more"), [
    (-1, -1, 0o002), (12345, -1, 0), (-1, 12345, 0o020),
], ids=["all may write it", "of somebody else", "others of its group may write it"])  # fmt: skip
def test_what_somebody_else_may_write_is_refused(
    path: Path, which: str, owner: int, group: int, more: int
) -> None:
    need(os.geteuid() == 0 or owner == group, "only root may give a file away")
    opened = path if which == "file" else path.parent
    os.chown(opened, owner, group)
    opened.chmod(opened.stat().st_mode | more)
    with pytest.raises(PermissionError, match=f"{opened.name} must belong to this user"):
        read_ours(path)


def test_what_the_users_own_group_may_write_is_read(path: Path) -> None:
    import grp
    import pwd

    user = pwd.getpwuid(os.geteuid())
    group = grp.getgrgid(user.pw_gid)
    own = group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
    need(own, "this user has no group of its own")
    os.chown(path, -1, user.pw_gid)
    path.chmod(0o664)
    assert read_ours(path) == b"content"


def test_a_link_is_not_followed(path: Path) -> None:
    link = path.with_name("link.pkl")
    link.symlink_to(path)
    for ask in (read_ours, require_ours):
        with pytest.raises(PermissionError, match="be no link"):
            ask(link)


def test_a_pipe_holds_nobody_up(path: Path) -> None:
    pipe = path.with_name("pipe")
    os.mkfifo(pipe, 0o600)
    with pytest.raises(PermissionError, match="must belong to this user"):
        read_ours(pipe)
