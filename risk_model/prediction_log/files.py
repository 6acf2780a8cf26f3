"""The files of the prediction log: written whole, and read while others write, merge and delete.

A merged file names in its metadata the files that it replaces; they are deleted once it is in its
place. So neither a reader nor whoever goes on after a crash in between counts anything twice.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from risk_model.prediction_log.records import ROWS, SCHEMA, SCHEMA_KEY, profile_schema, rows_schema

MERGED_ROWS = 200_000
"""The most rows of a merged file: some megabytes on the disk, some ten in memory."""

_FEW_VALUES = ["model_version", "challenger_version", "variable"]
_REPLACES = "replaces"
_MERGED = "merged-"
_DAY = "date="


class Log(NamedTuple):
    """What was read of a log."""

    table: Any  # ``date`` (date32, of the folder), and `rows_schema` or `profile_schema`
    problems: list[str]  # a line for each file that could not be read


def day_folder(root: Path, kind: str, day: date) -> Path:
    """Return the folder of a day; kind is ROWS or PROFILE."""
    return root / kind / f"{_DAY}{day.isoformat()}"


def days(root: Path, kind: str) -> list[date]:
    """Return the days of which there are folders, in order."""
    dates = []
    for path in root.glob(f"{kind}/{_DAY}*"):
        try:
            dates.append(date.fromisoformat(path.name.removeprefix(_DAY)))
        except ValueError:
            continue  # no folder of the log
    return sorted(dates)


# -- reading ---------------------------------------------------------------------------------------


def read(root: Path, kind: str, last: date | None = None) -> Log:
    """Read a log of the kind ROWS or PROFILE, as far as it can be read, up to the last day."""
    import pyarrow as pa

    tables, problems = [_dated(_schema(kind).empty_table(), date.min)], []
    for day in days(root, kind):
        if day <= (last or day):
            readable, wrong = _read_day(day_folder(root, kind, day), kind)
            tables += [_dated(table, day) for table in readable.values()]
            problems += wrong
    return Log(pa.concat_tables(tables), problems)


def _schema(kind: str) -> Any:
    return rows_schema() if kind == ROWS else profile_schema()


def _dated(table: Any, day: date) -> Any:
    import pyarrow as pa

    dates = pa.repeat(pa.scalar(day, pa.date32()), table.num_rows)
    return table.replace_schema_metadata(None).add_column(0, "date", dates)


def _read_day(folder: Path, kind: str) -> tuple[dict[Path, Any], list[str]]:
    """Return the tables of a day, and its problems; again where files were merged meanwhile."""
    while True:
        tables, problems = {}, []
        with contextlib.suppress(FileNotFoundError):
            for path in current_files(folder):
                try:
                    tables[path] = _read_file(path, _schema(kind))
                except ValueError as error:
                    problems.append(f"{path}: {error}")
            return tables, problems


def current_files(folder: Path) -> list[Path]:
    """Return the files of a day without those that another one replaces."""
    names = _names(folder)
    while (again := _names(folder)) != names:  # what changes while it is listed is listed in part
        names = again
    replaced = {
        name
        for merged in names
        if merged.startswith(_MERGED)
        for name in _footer(folder / merged).replaces
    }
    return [folder / name for name in sorted(names - replaced)]


def _names(folder: Path) -> set[str]:
    paths = folder.glob("[!.]*.parquet")  # none where there is no folder
    return {path.name for path in paths if path.is_file()}


class _Footer(NamedTuple):
    """The metadata of a file."""

    version: int | None = None
    rows: int = 0
    replaces: Sequence[str] = ()


def _footer(path: Path) -> _Footer:
    """Return the metadata of a file; empty where it is not a file of a log."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        parquet = pq.read_metadata(path)
        entries = parquet.metadata or {}
        replaces = json.loads(entries.get(_REPLACES.encode(), b"[]"))
        return _Footer(json.loads(entries[SCHEMA_KEY.encode()]), parquet.num_rows, replaces)
    except (pa.ArrowException, KeyError, ValueError):
        return _Footer()


def _read_file(path: Path, schema: Any) -> Any:
    """Return the table of a file.

    Raises a `ValueError` with one line where it is no whole file of this log.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    version = _footer(path).version
    if version != SCHEMA:
        raise ValueError(
            f"it must be a whole Parquet file with {SCHEMA_KEY} {SCHEMA} in its metadata; found "
            + ("none." if version is None else f"{version}.")
        )
    try:
        table = pq.ParquetFile(path).read(columns=schema.names)
        return table.select(schema.names).cast(schema)
    except (pa.ArrowException, KeyError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(
            f"its columns cannot be read as those of the log ({type(error).__name__})."
        ) from None


# -- writing ---------------------------------------------------------------------------------------


def write(table: Any, folder: Path, replaces: Sequence[str] = ()) -> Path:
    """Write a file of the log beside its place and rename it, so that it is there whole or not.

    It goes into the folder of a day. `replaces` are names of files there whose content it has.

    Raises an `OSError` such as on a full disk; nothing is left behind.
    """
    import pyarrow.parquet as pq

    metadata = {SCHEMA_KEY: str(SCHEMA)} | (
        {_REPLACES: json.dumps(list(replaces))} if replaces else {}
    )
    name = f"{_MERGED if replaces else ''}{secrets.token_hex(8)}.parquet"
    if not (root := folder.parents[1]).exists():
        root.mkdir(mode=0o700, parents=True, exist_ok=True)  # patients may be in there
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{name}"
    try:
        # The small files of a service that is busy are written fast, and small once merged.
        fast = {"write_statistics": False, "use_dictionary": _FEW_VALUES}
        how = {"compression": "zstd"} if replaces else fast
        pq.write_table(table.replace_schema_metadata(metadata), beside, **how)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, folder / name)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return folder / name


# -- merging and erasing, by one process at a time -------------------------------------------------


def merge(folder: Path, kind: str, at_least: int) -> None:
    """Merge small files of a day into one, where there are at least so many."""
    import pyarrow as pa

    files = current_files(folder)
    for name in _names(folder) - {path.name for path in files}:
        (folder / name).unlink(missing_ok=True)  # a merge ended before it had deleted them
    if len(files) < at_least:
        return
    footers = {path: _footer(path) for path in files}
    ours = [path for path, footer in footers.items() if footer.version == SCHEMA]
    small = [path for path in ours if footers[path].rows <= MERGED_ROWS // 2]
    tables: dict[str, Any] = {}
    rows = 0
    for path in sorted(small, key=lambda path: footers[path].rows):
        if rows + footers[path].rows > MERGED_ROWS:
            break
        with contextlib.suppress(ValueError):  # a reader names it
            tables[path.name] = _read_file(path, _schema(kind))
            rows += footers[path].rows
    if len(tables) >= at_least:
        table = pa.concat_tables(tables.values())
        _replace(folder, list(tables), table if kind == ROWS else _added_up(table))


def _added_up(table: Any) -> Any:
    keys = ["model_version", "variable", "bin"]
    total = table.group_by(keys).aggregate([("count", "sum")])
    return total.rename_columns([*keys, "count"]).select(profile_schema().names)


def _replace(folder: Path, names: Sequence[str], table: Any) -> None:
    if table.num_rows:
        write(table, folder, names)
    for name in names:
        (folder / name).unlink(missing_ok=True)


def erase(root: Path, ids: Sequence[str]) -> tuple[int, list[str]]:
    """Erase the rows whose `id` or `request_id` is one of these.

    There may be more in the files that could not be read, for each of which there is a line.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    erasable, erased, problems = pa.array(ids, pa.string()), 0, list[str]()
    for day in days(root, ROWS):
        folder = day_folder(root, ROWS, day)
        for path in current_files(folder):
            try:
                table = _read_file(path, rows_schema())
            except ValueError as error:
                problems.append(f"{path}: {error}")
                continue
            meant = pc.or_(pc.is_in(table["id"], erasable), pc.is_in(table["request_id"], erasable))
            kept = table.filter(pc.invert(meant))
            if kept.num_rows < table.num_rows:
                _replace(folder, [path.name], kept)
                erased += table.num_rows - kept.num_rows
    return erased, problems
