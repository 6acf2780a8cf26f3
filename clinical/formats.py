"""Formats of files: those that are no table of patients are named, with what to do about each."""

import gzip
import io
import zlib

from clinical.errors import DataError

PEEK = 1 << 16
"""The bytes at the beginning of a file from which its format is recognised."""

MAX_UNPACKED = 64 * 1024 * 1024
"""The most that a packed file may hold, in bytes."""

GZIP = b"\x1f\x8b"
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_UTF_16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}

_CSV = "save the table as CSV in UTF-8, and give that"
_CODES = "write it as CSV with a header, words replaced by codes (docs/schema.md)"
_UNPACK = "unpack it, and give the file inside"
_STARTS = {
    GZIP: f"it is packed by gzip: {_UNPACK}",
    b"BZh": f"it is packed by bzip2: {_UNPACK}",
    b"\xfd7zXZ": f"it is packed by xz: {_UNPACK}",
    b"\x28\xb5\x2f\xfd": f"it is packed by zstd: {_UNPACK}",
    b"7z\xbc\xaf": f"it is packed by 7-Zip: {_UNPACK}",
    b"Rar!": f"it is packed by RAR: {_UNPACK}",
    b"\xd0\xcf\x11\xe0": f"it is an Excel workbook (xls): {_CSV}",
    b"%PDF": f"it is a PDF document: {_CSV}",
    b"{\\rtf": f"it is a text document (RTF): {_CSV}",
    b"ARROW1": "it is an Arrow (Feather) file: write it as Parquet or CSV",
    b"SQLite format 3": "it is an SQLite database: write its table as Parquet or CSV",
    b"\x89HDF": "it is an HDF5 file: write its table as Parquet or CSV",
    b"$FL2": "it is an SPSS file: write it as CSV",
    b"<stata": "it is a Stata file: write it as CSV",
    b"RDX": "it is an R data file: write it with write.csv(..., row.names = FALSE)",
    b"version https://git-lfs": "it is a Git LFS pointer, not the file: run `git lfs pull`",
    **dict.fromkeys(ZIP, f"it is a zip: {_UNPACK}"),
    **dict.fromkeys((b"{", b"["), f"it is JSON: {_CSV}"),
    b"<": "it is a web page (HTML or XML), not the file: download the file itself",
}
_OFFICE = {
    b"xl/work": f"it is an Excel workbook (xlsx): {_CSV}",
    b"[Content_Types].xml": f"it is an Office document, such as an Excel workbook: {_CSV}",
    b"application/vnd.oasis.opendocument": f"it is an OpenDocument file: {_CSV}",
}


def refuse_format(start: bytes) -> None:
    """Raise a `DataError` where the first `PEEK` bytes are of another format, which it names."""
    refuse_office(start)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    lines = (line.strip().lower() for line in text.splitlines())
    first = next((line for line in lines if line and not line.startswith(b"%")), b"")
    problem = next((message for magic, message in _STARTS.items() if text.startswith(magic)), None)
    if is_utf_16(start):
        problem = "it is text in UTF-16: save it as UTF-8"
    elif first.startswith(b"@relation"):
        problem = f"it is an ARFF file of WEKA: {_CODES}"
    if problem:
        raise DataError(problem)


def refuse_office(start: bytes) -> None:
    """Raise a `DataError` for a document of an office program, which looks like a zip."""
    problem = next((message for mark, message in _OFFICE.items() if mark in start), None)
    if problem and start.startswith(ZIP[0]):
        raise DataError(problem)


def unpack(content: bytes) -> bytes:
    """Return what a file packed by gzip holds, and text in UTF-16 as UTF-8; others as they are.

    Raises a `DataError` where it is damaged, or holds more than `MAX_UNPACKED` bytes.
    """
    if content.startswith(GZIP):
        content = _gunzip(content)
    if is_utf_16(content):
        try:
            return content[2:].decode(_UTF_16[content[:2]]).encode()
        except UnicodeError as error:
            raise DataError("it is damaged: text in UTF-16 that cannot be read") from error
    return content


def _gunzip(content: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(content)) as file:
            unpacked = file.read(MAX_UNPACKED + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError("it is not a complete gzip file: damaged or cut off") from error
    if len(unpacked) > MAX_UNPACKED:
        raise DataError(f"it would unpack to more than {MAX_UNPACKED >> 20} MiB")
    return unpacked


def is_utf_16(start: bytes) -> bool:
    """Return whether a file that begins like this is text in UTF-16."""
    return start[:2] in _UTF_16 and len(start) > 2
