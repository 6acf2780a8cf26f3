"""What a downloaded file holds: the members of a zip, or the file itself.

Nothing is ever extracted to disk, so that no member can land outside of a folder.
"""

import zipfile
import zlib
from pathlib import Path, PurePosixPath

from clinical.codings.columns import EXPECTED
from clinical.errors import DataError
from clinical.formats import MAX_UNPACKED, PEEK, ZIP, refuse_office
from clinical.patients import is_patient_file

#: The member of the UCI archive that is used where it is present.
CLEVELAND = "processed.cleveland.data"


def open_source(path: Path) -> dict[str, Path | bytes]:
    """Return the content of each member of a zip by name; of another file its path, unread.

    Folders and the resource forks of macOS are left out.

    Raises a `DataError` where the file cannot be read; where the zip is damaged, encrypted, or
    would unpack to more than `MAX_UNPACKED` bytes; or where a member's path leaves its folder.
    """
    try:
        with path.open("rb") as file:
            start = file.read(PEEK)
        try:
            refuse_office(start)
        except DataError as error:
            raise DataError(f"'{path.name}' was refused: {error}.") from None
        if not start.startswith(ZIP) and path.suffix.lower() != ".zip":
            return {path.name: path}
        with zipfile.ZipFile(path) as archive:
            return _members(archive, path.name)
    except OSError as error:
        reason = error.strerror or "input/output error"
        raise DataError(f"'{path.name}' cannot be read: {reason}.") from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"'{path.name}' is not a complete zip file: damaged or cut off.") from error
    except (NotImplementedError, RuntimeError) as error:  # zipfile's, of such members
        raise DataError(
            f"'{path.name}' is encrypted, or packed in a way that cannot be read here."
        ) from error


def _members(archive: zipfile.ZipFile, name: str) -> dict[str, Path | bytes]:
    """Unpack the members, after all of them have been checked."""
    for info in archive.infolist():
        member = info.orig_filename
        place = PurePosixPath(member.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts or ":" in member or "\0" in member:
            raise DataError(
                f"'{name}' is unsafe: the path of one of its members leaves its folder."
            )
    if sum(info.file_size for info in archive.infolist()) > MAX_UNPACKED:
        raise DataError(f"'{name}' would unpack to more than {MAX_UNPACKED >> 20} MiB.")
    # `read` gives no more than the size that the archive declares, which was checked.
    return {
        info.filename: archive.read(info)
        for info in archive.infolist()
        if not info.is_dir() and not info.filename.startswith("__MACOSX/")
    }


def choose_member(members: dict[str, Path | bytes]) -> str:
    """Return the name of the file of patients among the members of a source.

    A single member is always chosen, whose reader then reports what is wrong with it. Among
    many, `CLEVELAND` is, else the only one that looks like a file of patients.

    Raises a `DataError` where there is none, or more than one.
    """
    if len(members) == 1:
        return next(iter(members))
    patients = [name for name in members if PurePosixPath(name).name == CLEVELAND]
    patients = patients or [name for name, source in members.items() if is_patient_file(source)]
    if len(patients) == 1:
        return patients[0]
    names = sorted(members)
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    listed = f"none among {', '.join(names[:8])}{more}" if names else "an empty archive"
    if patients:
        listed = f"several: {', '.join(sorted(patients))}"
    raise DataError(
        f"Expected {CLEVELAND}, or exactly one file of patients, in the archive; found {listed}.\n"
        f"  {EXPECTED}"
    )
