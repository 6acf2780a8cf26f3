"""A store packed as a release left it, and unpacked in another place."""

import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

ARCHIVE = Path(__file__).with_name("release_0_1") / "store.tar.xz"
PLACE = "/store-0.1"
"""Stands in the packed database for the folder that the store was in."""


def pack(folder: Path, archive: Path, work: Path) -> None:
    """Pack mlflow.db and mlruns/ of a folder, without pictures and pages of runs."""
    copy = work / "packed.db"
    copy.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(folder / "mlflow.db")) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
    relocate(copy, str(folder), PLACE)
    with tarfile.open(archive, "w:xz", preset=9) as packed:
        packed.add(copy, "mlflow.db", filter=_of_nobody)
        for path in _needed(folder):
            packed.add(path, str(path.relative_to(folder)), filter=_of_nobody)
    copy.unlink()


def _needed(folder: Path) -> Iterator[Path]:
    """Yield a model's files as they are, since their digests are recorded; of runs, the data."""
    for path in sorted((folder / "mlruns").rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and ("models" in parts or path.suffix not in (".png", ".html")):
            yield path


def _of_nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def unpack(folder: Path) -> None:
    """Unpack the store of release 0.1 into a folder, so that its artifacts are found there."""
    with tarfile.open(ARCHIVE) as packed:
        packed.extractall(folder, filter="data")
    relocate(folder / "mlflow.db", PLACE, str(folder))


def relocate(database: Path, before: str, after: str) -> None:
    """Put one path for another into every text of a database."""
    with closing(sqlite3.connect(database)) as connection:
        tables = connection.execute("select name from sqlite_master where type = 'table'")
        for (table,) in tables.fetchall():
            for column in connection.execute(f"pragma table_info({table})").fetchall():
                connection.execute(
                    f'update "{table}" set "{column[1]}" = replace("{column[1]}", ?, ?) '
                    f'where typeof("{column[1]}") = ? and instr("{column[1]}", ?)',
                    (before, after, "text", before),
                )
        connection.commit()
        connection.execute("vacuum")
