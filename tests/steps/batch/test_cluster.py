"""A cluster of this machine, or one that runs already and has what is needed."""

import importlib.metadata
import os
import site
import time
import zipfile
from pathlib import Path

import psutil
import pytest
from distributed import Client

from steps.batch.cluster import connect
from steps.runs.store import StepError
from tests.servers import silent_port
from tests.steps.dask_cluster import cluster as running

pytestmark = pytest.mark.server


def test_the_cluster_of_this_machine_has_one_thread_in_each_process_ends_and_says_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = psutil.Process().children(recursive=True)
    with connect(workers=2) as client:
        assert list(client.nthreads().values()) == [1, 1]
        family = [p for p in psutil.Process().children(recursive=True) if p not in before]
        workers = [p for p in family if p.ppid() != os.getpid()]
        assert len(workers) >= 2
        sockets = [s for p in (psutil.Process(), *family) for s in p.net_connections("inet")]
        listening = [s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN]
        assert set(listening) == {"127.0.0.1"}
    # What they were forked from ends with this process.
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []
    assert capfd.readouterr() == ("", "")


def test_nobody_else_on_this_machine_gets_into_its_cluster() -> None:
    with connect(workers=1) as client:
        address = client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        for scheme in ("tcp", "tls"):
            with pytest.raises((OSError, TypeError)):
                Client(address.replace("tls", scheme), timeout=3, set_as_default=False)
        assert client.submit(len, "abc").result() == 3


def test_a_scheduler_that_takes_the_connection_and_says_nothing_is_told_within_seconds() -> None:
    started = time.monotonic()
    with silent_port() as port:
        line = f"^the Dask scheduler tcp://127.0.0.1:{port} does not answer"
        with pytest.raises(StepError, match=line), connect(f"tcp://127.0.0.1:{port}"):
            pass
    assert time.monotonic() - started < 60


def test_the_code_goes_to_workers_that_run_already_and_to_those_that_come(tmp_path: Path) -> None:
    with running(tmp_path, workers=1) as made:
        with connect(made.address) as client:
            made.start_worker()
            client.wait_for_workers(2, timeout=60)
            found = client.run(lambda: __import__("clinical.tables").__file__)
            assert len(found) == 2
            assert all(str(tmp_path) in path and ".zip" in path for path in found.values())
        with connect(made.address) as client:  # once more
            assert client.run(lambda: __import__("clinical.tables").__file__) == found


def test_a_cluster_that_has_loaded_another_version_of_this_project_is_refused(
    tmp_path: Path,
) -> None:
    other = tmp_path / "heart-disease-model-other.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("clinical/__init__.py", "")
    with running(tmp_path, workers=1) as made:
        with Client(made.address, set_as_default=False) as client:
            client.upload_file(str(other))
        line = f"{made.address} or its workers have loaded another version of this project: restart"
        with pytest.raises(StepError, match=line), connect(made.address):
            pass
        with Client(made.address, set_as_default=False) as client:
            (place,) = client.run(lambda: __import__("clinical").__file__).values()
            assert other.name in place


def without(package: str, folder: Path) -> Path:
    """Return a folder that has all that is installed here but one package."""
    folder.mkdir()
    for path in Path(site.getsitepackages()[0]).iterdir():
        if not path.name.lower().startswith(package):
            (folder / path.name).symlink_to(path)
    return folder


def test_no_workers_and_such_that_lack_a_requirement_are_told_with_what_they_lack(
    tmp_path: Path,
) -> None:
    installed = without("onnxruntime", tmp_path / "installed")
    with running(tmp_path, workers=0) as made:
        line = f"{made.address} has no workers; start some"
        with pytest.raises(StepError, match=line), connect(made.address):
            pass
        # -S: without the packages that this Python has by itself.
        made.start_worker(("-S",), PYTHONPATH=str(installed))
        made.wait_for_workers(1)
        here = importlib.metadata.version("onnxruntime")
        line = (
            f"^the Dask scheduler {made.address} or its workers lack what this project needs: "
            f"onnxruntime {here} is needed, none is there. Start them in"
        )
        with pytest.raises(StepError, match=line), connect(made.address):
            pass
