"""What a downloaded file holds: the members of a zip, or the file itself.

Nothing is ever extracted to disk, so that no member can land outside of a folder.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from clinical.codings.columns import EXPECTED
from clinical.errors import DataError
from clinical.formats import MAX_UNPACKED, PEEK, ZIP, refuse_office
from clinical.patients import is_patient_file

#: The member of the UCI archive that is used where it is present.
CLEVELAND = "processed.cleveland.data"

#: Patient files shrink to a fifth or so; a thousandth is a bomb. Small members may be anything.
MAX_RATIO = 200
_RATIO_FROM = 1024 * 1024

_ENCRYPTED = 0x1


def open_source(path: Path) -> dict[str, Path | bytes]:
    """Give the usable members of a file, by name.

    Parameters
    ----------
    path : Path
        A zip, or a single file of patients.

    Returns
    -------
    dict of str to bytes or Path
        For a zip, the content of each member (folders and the resource forks of macOS are left
        out). A single file of any size is passed on, unread, as its path.

    Raises
    ------
    DataError
        Where the file cannot be read; where the zip is damaged, encrypted, or would unpack to
        more than `MAX_UNPACKED` bytes or by more than `MAX_RATIO`; or where a member's path
        leaves its folder.
    """
    try:
        with path.open("rb") as file:
            start = file.read(PEEK)
        _refuse_office(start, path.name)
        if not start.startswith(ZIP) and path.suffix.lower() != ".zip":
            return {path.name: path}
        with zipfile.ZipFile(path) as archive:
            return _members(archive, path.name)
    except OSError as error:
        reason = error.strerror or "input/output error"
        raise DataError(f"'{path.name}' cannot be read: {reason}.") from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"'{path.name}' is not a complete zip file: damaged or cut off.") from error
    except (NotImplementedError, RuntimeError) as error:
        raise DataError(f"'{path.name}' is packed in a way that cannot be read here.") from error


def _refuse_office(start: bytes, name: str) -> None:
    try:
        refuse_office(start)
    except DataError as error:
        raise DataError(f"'{name}' was refused: {error}.") from None


def _members(archive: zipfile.ZipFile, name: str) -> dict[str, Path | bytes]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    # Everything is checked before anything is unpacked.
    for info in archive.infolist():
        _check_path(info.orig_filename, name)
    for info in infos:
        _check_size(info, name)
    if sum(info.file_size for info in infos) > MAX_UNPACKED:
        raise DataError(f"'{name}' would unpack to more than {MAX_UNPACKED >> 20} MiB.")
    # `read` gives no more than the size that the archive declares, which was checked.
    return {
        info.filename: archive.read(info)
        for info in infos
        if not info.filename.startswith("__MACOSX/")
    }


def _check_path(member: str, name: str) -> None:
    place = PurePosixPath(member.replace("\\", "/"))
    if place.is_absolute() or ".." in place.parts or ":" in member or "\0" in member:
        raise DataError(f"'{name}' is unsafe: the path of one of its members leaves its folder.")


def _check_size(info: zipfile.ZipInfo, name: str) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise DataError(f"'{name}' is encrypted; give it without a password.")
    if info.file_size > max(_RATIO_FROM, MAX_RATIO * info.compress_size):
        raise DataError(
            f"'{name}' is unsafe: a member would unpack to more than {MAX_RATIO} times its size."
        )


def choose_member(members: Mapping[str, Path | bytes]) -> str:
    """Choose the file of patients among the members of a source.

    A single member is always chosen, so that its reader can say what is wrong with it. Among
    many, `CLEVELAND` is, else the only one that looks like a file of patients.

    Raises
    ------
    DataError
        Where there is none, or more than one, naming what was expected and what was found.
    """
    if len(members) == 1:
        return next(iter(members))
    known = [name for name in members if PurePosixPath(name).name == CLEVELAND]
    known = known or [name for name, source in members.items() if is_patient_file(source)]
    if len(known) == 1:
        return known[0]
    found = f"several: {', '.join(sorted(known))}" if known else _listed(members)
    raise DataError(
        f"Expected {CLEVELAND}, or exactly one file of patients, in the archive; found {found}.\n"
        f"  {EXPECTED}"
    )


def _listed(members: Mapping[str, Path | bytes]) -> str:
    names = sorted(members)
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"none among {', '.join(names[:8])}{more}" if names else "an empty archive"
