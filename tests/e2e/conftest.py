"""The project as a user has it: a clone of its own, run through the commands of the README."""

import compileall
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from py_compile import PycInvalidationMode
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from filelock import FileLock

from tests.conftest import ROOT, copy_database, need
from tests.e2e.backends import Bucket, Postgres, postgres_programs
from tests.e2e.browser import chromium
from tests.e2e.clones import Clone, clone_into
from tests.e2e.registry import Registry, copy_store, forge_versions

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder: each starts servers, or whole pipelines."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("server")


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a git repository of the work tree as it is, that no test changes."""
    folder = tmp_path_factory.mktemp("pristine") / "heart"
    listing = ["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(listing, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if not (ROOT / name).is_file():  # deleted, and not committed yet
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], [*who, "commit", "-qm", "All"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    # Compiled once, and not in each clone anew; git ignores what comes of it.
    compileall.compile_dir(folder, quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    return folder


@pytest.fixture(scope="session")
def make_clone(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Clone]:
    def make() -> Clone:
        return clone_into(tmp_path_factory.mktemp("clone") / "heart", pristine)

    return make


@pytest.fixture
def clone(make_clone: Callable[[], Clone]) -> Clone:
    """Return a fresh clone."""
    return make_clone()


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that makes a folder, once for all workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        folder, whole = shared / name, shared / f"{name}.whole"
        with FileLock(f"{folder}.lock"):
            if not whole.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                whole.touch()
        return folder

    return make


@pytest.fixture(scope="module")
def cleveland(
    pristine: Path, make_once: Callable[..., Path], uci_zip: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Clone:  # fmt: skip
    """Return a clone in which ``main`` ran on the UCI archive, and nothing since."""

    def run_main(folder: Path) -> None:
        clone_into(folder / "heart", pristine).launch("main", source=uci_zip).succeeded()

    source = make_once("cleveland", run_main)
    folder = tmp_path_factory.mktemp("cleveland")
    shutil.copytree(source / "home", folder / "home")
    return Clone(copy_store(source / "heart", folder / "heart"))


@pytest.fixture(scope="session")
def forged(make_once: Callable[..., Path]) -> Path:
    """Return a registry of small models that no test changes."""
    return make_once("forged", forge_versions)


@pytest.fixture(scope="module")
def registry(forged: Path, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return a registry of small models for the tests of one file."""
    return Registry(tmp_path_factory.mktemp("registry") / "copy", forged)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Run one PostgreSQL server for all tests that need one."""
    programs = postgres_programs()
    # Not below pytest's own folder, into which nobody else may look.
    with TemporaryDirectory(prefix="heart-postgres-") as folder:
        server = Postgres(programs, Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """Run an S3 server with a bucket for the tests of one file."""
    with closing(Bucket(tmp_path_factory.mktemp("s3"))) as made:
        yield made


@pytest.fixture
def bare_store(clone: Clone, empty_database: Path) -> Clone:
    """Return a fresh clone whose tracking store exists already."""
    copy_database(empty_database, clone.path, "mlruns", "DELETE")
    return clone


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of a megabyte, or of what is asked for, which only root may do."""
    folder, size = tmp_path / "disk", getattr(request, "param", "1m")
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder]
    mounted = subprocess.run(mount, check=False, capture_output=True)
    need(mounted.returncode == 0, "a small disk needs the right to mount one")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
