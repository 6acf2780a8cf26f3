"""Files: where the project keeps them, digests, and writing that no reader sees half done."""

import glob
import hashlib
import json
import math
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from risk_model.locations import NAME, temporary_folder

ROOT = Path(__file__).resolve().parents[2]
ABANDONED_SECONDS = 3600


def cache_dir() -> Path:
    """Return the user's folder for this project's files that outlive any clone.

    Where the user's cache cannot be written to, it is among the temporary files.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    chosen = home / NAME
    return next((folder for folder in (chosen, temporary_folder()) if _is_writable(folder)), chosen)


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's files with their names, as hex digits."""
    if path.is_dir():
        lines = [f"{sha256(file)}  {file.relative_to(path).as_posix()}" for file in _files(path)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> list[Path]:
    """Return a folder's files, but for those that Python adds when it imports code from there."""
    paths = (path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    return sorted(path for path in paths if path.is_file())


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a path beside `target` to write to; move it in when the block ends well.

    Its mode is what the umask leaves of rw-rw-rw-. The unfinished file is removed whatever goes
    wrong short of a kill, and even then `target` is what it was before. What an earlier kill has
    left is swept up when it is old enough to be abandoned.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        if time.time() - left.lstat().st_mtime > ABANDONED_SECONDS:
            left.unlink(missing_ok=True)
    part = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    # Made anew or not at all: a link that somebody has put there is not followed.
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        yield part
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def as_json(value: object) -> str:
    """Return a value as JSON text, in which NaN and infinities are null."""
    return json.dumps(_plain(value), indent=2, allow_nan=False) + "\n"


def _plain(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def copy_atomically(source: Path, target: Path) -> None:
    """Copy a file to `target`, which is replaced in one go."""
    with replacing(target) as part:
        shutil.copyfile(source, part)
