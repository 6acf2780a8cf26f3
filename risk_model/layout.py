"""The files of a stored model, in both formats.

======================  ===========================  ==================
File                    Format 1                     Format 2
======================  ===========================  ==================
ONNX model              extra_files/twin.onnx        model.onnx
its SHA-256             references.json              model.json
scikit-learn pipeline   model.skops                  model.skops
metadata                extra_files/model.json       the same
references              extra_files/references.json  the same
model card              extra_files/card.md, .html   the same
python_function's code  none                         code/
======================  ===========================  ==================

Format 1 is what release 0.1 registered. It is read as ever, and not written any more.
"""

import hashlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from risk_model.errors import ModelError
from risk_model.metadata import Metadata, References
from risk_model.serialization import file_inside, refuse_links

EXTRA = "extra_files"
METADATA = f"{EXTRA}/model.json"
REFERENCES = f"{EXTRA}/references.json"
CARD = f"{EXTRA}/card.md"
ONNX = "model.onnx"
ONNX_1 = f"{EXTRA}/twin.onnx"
SKOPS = "model.skops"


@dataclass(frozen=True)
class StoredFiles:
    """A stored model's folder, with the metadata in its files."""

    folder: Path
    metadata: Metadata
    references: References

    @property
    def onnx(self) -> tuple[str, str] | None:
        """Name and SHA-256 of the ONNX model, None where there is none."""
        if self.metadata.format == 1:
            digest = self.references.twin_sha256
            return (ONNX_1, digest) if digest else None
        digest = self.metadata.files.get(ONNX)
        return (ONNX, digest) if digest else None

    def read_onnx(self) -> bytes | None:
        """Return the ONNX model, None where there is none.

        Raises a `ModelError` where it is missing, or is not the one that was written.
        """
        if self.onnx is None:
            return None
        name, digest = self.onnx
        try:
            content = file_inside(self.folder, name).read_bytes()
        except ModelError:
            content = b""
        if _sha256(content) != digest:
            raise ModelError("The ONNX model is missing or is not the one that was written.")
        return content

    def check_skops(self) -> None:
        """Refuse another scikit-learn pipeline than the one that was written. Format 2."""
        digest = self.metadata.files.get(SKOPS)
        if digest and digest != _sha256(file_inside(self.folder, SKOPS).read_bytes()):
            raise ModelError(f"{SKOPS} is not the one that was written.")

    def names(self) -> list[str]:
        """Return the names of the files that are needed to predict: all, without an ONNX model."""
        if self.onnx:
            paths = [self.folder / name for name in (METADATA, REFERENCES, self.onnx[0])]
        else:
            paths = sorted(self.folder.rglob("*"))
        return [path.relative_to(self.folder).as_posix() for path in paths if path.is_file()]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def open_folder(folder: Path) -> StoredFiles:
    """Read the metadata in a stored model's files.

    Raises a `ModelError` where there is no such folder, it holds links, or a file is not what this
    project writes.
    """
    if not folder.is_dir():
        raise ModelError("The model's directory is missing.")
    refuse_links(folder)
    metadata, references = _content(folder, METADATA), _content(folder, REFERENCES)
    return StoredFiles(folder, Metadata.read(metadata), References.read(references))


def _content(folder: Path, name: str) -> bytes:
    """Return the content of a file, that of an empty object where there is none."""
    if not (folder / name).exists():
        return b"{}"
    return file_inside(folder, name).read_bytes()


def write_extras(
    folder: Path, metadata: Metadata, references: References, cards: Iterable[Path]
) -> None:
    """Write metadata and references, with the digests of what they are about, and the card."""
    names = [name for name in (SKOPS, ONNX) if (folder / name).is_file()]
    digests = {name: _sha256((folder / name).read_bytes()) for name in names}
    (folder / EXTRA).mkdir()
    stored = metadata.model_copy(update={"files": digests})
    (folder / METADATA).write_text(stored.as_json())
    (folder / REFERENCES).write_text(references.as_json())
    for card in cards:
        shutil.copyfile(card, folder / EXTRA / card.name)
