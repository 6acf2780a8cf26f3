"""The output of a scoring job: written in parts beside its place, and moved in as a whole.

What is finished is kept under a key of everything that decides it, so that a job which was killed
goes on where it stopped, and another one never takes over what is not its own.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from steps.files import ABANDONED_SECONDS, replacing
from steps.store import StepError


def rejects_of(output: Path) -> Path:
    """Return the file beside an output that tells which rows could not be scored, and why."""
    return output.with_name(f"{output.stem}.rejects.csv")


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

    def require_free(self) -> None:
        """Refuse an output that is there, unless this very job was killed while moving it in."""
        for path in (self.output, rejects_of(self.output)):
            if os.path.lexists(path) and not (path != self.output and self.folder.is_dir()):
                raise StepError(f"{path} exists, and is not overwritten; name another output")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the work folder for this process; where the block ends badly, for the next start."""
        for folder in (self._parts, self._told):
            folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StepError(f"another process is writing {self.output}") from None
            try:
                yield
            finally:
                if not any(self._told.glob("*.json")):
                    self.discard()

    def _sweep(self) -> None:
        """Remove what jobs on other inputs have left of the same output, if it is old."""
        for left in self.output.parent.glob(f".{glob.escape(self.output.name)}.*.work"):
            lock = left / "lock"
            if left != self.folder and _is_abandoned(lock):
                shutil.rmtree(left, ignore_errors=True)

    def counts(self) -> dict[int, dict[str, int]]:
        """Return what was counted in each finished part, by its number."""
        return {int(path.stem): json.loads(path.read_text()) for path in self._told.glob("*.json")}

    def add(self, number: int, part: bytes, rejects: str, counts: Mapping[str, int]) -> None:
        """Keep a part; its counts are written last, and say that it is whole."""
        with replacing(self._part(number)) as path:
            path.write_bytes(part)
        if rejects:
            with replacing(self._told / f"{number}.csv") as path:
                path.write_text(rejects, encoding="utf-8")
        with replacing(self._told / f"{number}.json") as path:
            path.write_text(json.dumps(counts))

    def _part(self, number: int) -> Path:
        return self._parts / f"part-{number:06}.parquet"

    def discard(self) -> None:
        """Remove the work folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def move_in(self, header: Sequence[str]) -> None:
        """Put the rejects and then the parts where they belong, and remove the work folder."""
        for left in self._parts.glob("*.part"):
            left.unlink()
        if rejects := sorted(self._told.glob("*.csv"), key=lambda path: int(path.stem)):
            with replacing(rejects_of(self.output)) as path, path.open("wb") as file:
                file.write((",".join(header) + "\n").encode())
                for part in rejects:
                    with part.open("rb") as source:
                        shutil.copyfileobj(source, file)
        try:
            self._parts.rename(self.output)
        except OSError:
            raise StepError(f"{self.output} exists by now, and is not overwritten") from None
        self.discard()


def _is_abandoned(lock: Path) -> bool:
    """Tell whether nobody has held a lock for a while."""
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return time.time() - lock.parent.stat().st_mtime > ABANDONED_SECONDS
    except OSError:
        return False
