"""Who may write a file or a folder of this machine."""

import os
import stat
import tempfile
from pathlib import Path

from risk_model.locations import temporary_folder
from serving.settings import cache_home


def is_ours(status: os.stat_result) -> bool:
    """Return whether only this user and root may change a file or folder, by its status.

    A group that may write it does no harm where it is the user's own, of the same name
    and without other members, as many Linux distributions make one for each user.
    """
    if status.st_uid not in (os.geteuid(), 0) or status.st_mode & stat.S_IWOTH:
        return False
    return not status.st_mode & stat.S_IWGRP or _is_own_group(status.st_gid)


def _is_own_group(gid: int) -> bool:
    import grp
    import pwd

    try:
        group, name = grp.getgrgid(gid), pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False
    return group.gr_name == name and set(group.gr_mem) <= {name}


def require_ours(path: Path) -> None:
    """Raise PermissionError, in one line, for a link and for what somebody else may change."""
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode) or not is_ours(status):
        raise _refusal(path)


def read_ours(path: Path) -> bytes:
    """Return the content of a file that only this user or root can have written.

    Raises a `PermissionError`, in one line, where somebody else may write the file or its folder,
    or it is a link.
    """
    # By descriptors, so that the file that is read is the one that was checked.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not is_ours(os.fstat(folder)):
            raise _refusal(path.parent)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe would wait for its writer
        file = os.open(path.name, flags, dir_fd=folder)
    except OSError as error:
        if path.is_symlink():
            raise _refusal(path) from error
        raise
    finally:
        os.close(folder)
    with os.fdopen(file, "rb") as content:
        status = os.fstat(file)
        if not (stat.S_ISREG(status.st_mode) and is_ours(status)):
            raise _refusal(path)
        return content.read()


def _refusal(path: Path) -> PermissionError:
    return PermissionError(
        f"{path} must belong to this user and be writable by nobody else, and be no link; "
        "see ls -ld, chown and chmod go-w"
    )


def private_folder(name: str, preferred: Path | None = None) -> Path:
    """Return a folder that this service alone may write to.

    It is `preferred`, or one of the user's cache; where that cannot be written, or others may write
    it, one below the folder for temporary files, which has the same name at the next start.
    """
    for folder in (preferred or cache_home() / name, temporary_folder() / name):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            require_ours(folder.parent)
            require_ours(folder)  # else another user could choose what was served last
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError:
            continue
        return folder
    return Path(tempfile.mkdtemp(prefix=f"heart-{name}-"))
