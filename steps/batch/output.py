"""Where a job writes: a hidden folder beside its output, which becomes it as the last step."""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from distributed import Client

from steps.runs.store import StepError
from steps.runs.tracking.orphans import is_gone, owner


@contextmanager
def hidden_folder(output: Path) -> Iterator[Path]:
    """Give a folder beside an output; what is left of it is removed when the block ends."""
    output.parent.mkdir(parents=True, exist_ok=True)
    for left in output.parent.glob(".*.partial/owner"):
        if left.parent.name.startswith(f".{output.name}.") and is_gone(left.read_text()):  # killed
            shutil.rmtree(left.parent, ignore_errors=True)
    with tempfile.TemporaryDirectory(
        ".partial", f".{output.name}.", output.parent, ignore_cleanup_errors=True
    ) as name:
        Path(name, "owner").write_text(owner())
        Path(name, "parts").mkdir()
        yield Path(name)


def require_shared(client: Client, folder: Path) -> None:
    """Let every worker read a file in a folder: each takes the model there, and writes to it."""
    with suppress(OSError):
        if set(client.run(Path.read_text, folder / "owner").values()) == {owner()}:
            return
    raise StepError(
        f"not all Dask workers see {folder.parent}: the output must be in a folder that they "
        "share with this machine"
    )


def copy_files(source: Path, names: Iterable[str], target: Path) -> None:
    """Copy files between folders, without their modes: they may be read-only."""
    for name in names:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source / name, path)
        except OSError as error:  # a full disk is the target's, and its error names the source
            raise OSError(error.errno, error.strerror, str(target)) from None


def publish(folder: Path, output: Path) -> None:
    """Give the parts in a hidden folder the name of the output."""
    if output.exists() or output.is_symlink():  # a rename would replace an empty folder
        raise StepError(f"{output} exists by now, and is not overwritten")
    (folder / "parts").rename(output)
