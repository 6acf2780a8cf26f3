"""The output of a scoring job: written in parts beside its place, and moved in as a whole.

What is finished is kept under a key of everything that decides it, so that a job which was killed
goes on where it stopped, and another one never takes over what is not its own.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from steps.runs.files import ABANDONED_SECONDS, replacing
from steps.runs.store import StepError


def rejects_of(output: Path) -> Path:
    """Return the file beside an output that tells which rows could not be scored, and why."""
    return output.with_name(f"{output.name}.rejects.csv")


def key_of(*facts: object) -> str:
    """Return a digest of facts that JSON can hold."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


class Parts:
    """The parts of one job that are finished.

    Parameters
    ----------
    output : Path
        Where the whole will be: a folder of Parquet files.
    key : str
        Of all that decides what is written.
    """

    def __init__(self, output: Path, key: str) -> None:
        self.output = output
        self.folder = output.parent / f".{output.name}.{key[:16]}.work"
        self._parts = self.folder / "parts"
        self._told = self.folder / "told"
        self._rejects = self.folder / "rejects.csv"

    def require_free(self) -> None:
        """Refuse an output that is there; rejects may be, if this very job has put them there."""
        for path in (self.output, rejects_of(self.output)):
            if os.path.lexists(path) and not _is_same(path, self._rejects):
                raise StepError(f"{path} exists, and is not overwritten; name another output")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the output for this process; where the block ends badly, parts for the next start.

        Raises
        ------
        StepError
            Where another process is writing the output, or has written it.
        """
        self.output.parent.mkdir(parents=True, exist_ok=True)
        with _alone(self.output):
            self.require_free()
            self._sweep()
            for folder in (self._parts, self._told):
                folder.mkdir(parents=True, exist_ok=True)
            try:
                yield
            finally:
                if not self.counts():
                    self.discard()

    def _sweep(self) -> None:
        """Remove what jobs on other inputs have left of the same output, if it is old."""
        key = "[0-9a-f]" * 16
        for left in self.output.parent.glob(f".{glob.escape(self.output.name)}.{key}.work"):
            latest = max(path.stat().st_mtime for path in (left, *left.iterdir()))
            if left != self.folder and time.time() - latest > ABANDONED_SECONDS:
                shutil.rmtree(left, ignore_errors=True)

    def counts(self) -> dict[int, dict[str, int]]:
        """Return what was counted in each finished part, by its number."""
        told = {int(path.stem): path for path in self._told.glob("*.json")}
        # A part that is not there any more has been moved in, or removed by somebody.
        return {n: json.loads(p.read_text()) for n, p in told.items() if self._part(n).is_file()}

    def add(self, number: int, part: bytes, rejects: str, counts: Mapping[str, int]) -> None:
        """Keep a part; its counts are written last, and say that it is whole.

        Raises
        ------
        StepError
            Where the disk does not take it.
        """
        try:
            with replacing(self._part(number)) as path:
                path.write_bytes(part)
            if rejects:
                with replacing(self._told / f"{number}.csv") as path:
                    path.write_text(rejects, encoding="utf-8")
            with replacing(self._told / f"{number}.json") as path:
                path.write_text(json.dumps(counts))
        except OSError as error:
            raise StepError(
                f"{self.output.parent}: {error.strerror or error}; what is finished is kept: "
                "start the same command again"
            ) from None

    def _part(self, number: int) -> Path:
        return self._parts / f"part-{number:06}.parquet"

    def discard(self) -> None:
        """Remove the work folder; first what says that its parts are whole."""
        shutil.rmtree(self._told, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def move_in(self, header: Sequence[str]) -> None:
        """Put the rejects and then the parts where they belong, and remove the work folder."""
        for left in self._parts.glob("*.part"):
            left.unlink()
        self._move_in_rejects(header)
        try:
            self._parts.rename(self.output)
        except OSError:
            if not os.path.lexists(self.output):
                raise
            if _is_same(rejects_of(self.output), self._rejects):
                rejects_of(self.output).unlink()
            raise StepError(f"{self.output} exists by now, and is not overwritten") from None
        self.discard()

    def _move_in_rejects(self, header: Sequence[str]) -> None:
        rejects = sorted(self._told.glob("*.csv"), key=lambda path: int(path.stem))
        target = rejects_of(self.output)
        if not rejects or _is_same(target, self._rejects):
            return
        with replacing(self._rejects) as path, path.open("wb") as file:
            file.write((",".join(header) + "\n").encode())
            for part in rejects:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, file)
        _link(self._rejects, target)


def _is_same(path: Path, other: Path) -> bool:
    try:
        return os.path.samefile(path, other)
    except FileNotFoundError:
        return False


def _link(source: Path, target: Path) -> None:
    """Put a file in its place as well, unless one is there: a rename would overwrite it."""
    try:
        try:
            os.link(source, target)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            with source.open("rb") as whole, target.open("xb") as file:
                shutil.copyfileobj(whole, file)
    except FileExistsError:
        raise StepError(f"{target} exists by now, and is not overwritten") from None


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Keep all other processes from writing an output."""
    path = output.with_name(f".{output.name}.lock")
    # More than one try: the process before may remove the file as it is being opened here.
    lock = FileLock(path, timeout=1)
    try:
        lock.acquire()
    except Timeout:
        raise StepError(f"another process is writing {output}") from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no file that is open
            path.unlink()
        lock.release()
