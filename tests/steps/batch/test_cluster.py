"""A cluster of this machine, or one that runs already and has what is needed."""

from __future__ import annotations

import importlib.metadata
import site
import sys
import time
from pathlib import Path

import psutil
import pytest

from clinical.tables import ARROW_UNKNOWN
from steps.batch import cluster, engine
from steps.batch.cluster import connect
from steps.runs.store import StepError
from tests.servers import closed_port, silent_port
from tests.steps.dask_cluster import cluster as running


def where(_: int) -> str:
    return __file__


def test_the_cluster_of_this_machine_has_one_thread_in_each_process_and_ends() -> None:
    before = psutil.Process().children(recursive=True)
    with connect(workers=2) as client:
        assert list(client.nthreads().values()) == [1, 1]
        family = [p for p in psutil.Process().children(recursive=True) if p not in before]
        sockets = [s for p in (psutil.Process(), *family) for s in p.net_connections("inet")]
        listening = [s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN]
        assert set(listening) == {"127.0.0.1"}
    _, alive = psutil.wait_procs(family, timeout=10)
    # What is kept to fork others from ends with this process.
    words = [" ".join(process.cmdline()) for process in alive]
    assert [w for w in words if "resource_tracker" not in w and "forkserver" not in w] == []


def test_it_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with connect(workers=1) as client:
        assert client.submit(len, "abc").result() == 3
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["closed", "silent"])
def test_a_scheduler_that_does_not_answer_is_told_within_seconds(kind: str) -> None:
    started = time.monotonic()
    with silent_port() as silent:
        port = silent if kind == "silent" else closed_port()
        line = f"^the Dask scheduler tcp://127.0.0.1:{port} does not answer"
        with pytest.raises(StepError, match=line), connect(f"tcp://127.0.0.1:{port}"):
            pass
    assert time.monotonic() - started < 15


def test_the_code_goes_to_workers_that_run_already_and_to_those_that_come(tmp_path: Path) -> None:
    with running(tmp_path, workers=1) as made, connect(made.address) as client:
        client.submit(engine.carry, 1).result()
        made.start_worker()
        client.wait_for_workers(2, timeout=60)
        found = client.run(lambda: __import__("clinical.tables").__file__)
        assert len(found) == 2
        assert all(str(tmp_path) in path and ".zip" in path for path in found.values())


def other_project(folder: Path) -> Path:
    """Return a project with packages of the same names and nothing in them."""
    project = folder / "project"
    for package in cluster.PACKAGES:
        (project / package).mkdir(parents=True)
        (project / package / "__init__.py").write_text("")
    return project


def test_other_code_of_this_project_gives_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = other_project(tmp_path)
    (project / "clinical" / "tables.py").write_text("ARROW_UNKNOWN = ['old']")

    def unknown() -> list[str]:
        import clinical.tables

        return list(clinical.tables.ARROW_UNKNOWN)

    # What is called as the project is, but none of its archives, stays on the path.
    clone = tmp_path / "heart-disease-model-main"
    clone.mkdir()
    with running(clone, workers=1) as made:
        with monkeypatch.context() as patch, connect(made.address) as client:
            patch.setattr(cluster, "ROOT", project)
            cluster._send_code(made.address, client)
            assert list(client.run(unknown).values()) == [["old"]]
        with connect(made.address) as client:
            assert list(client.run(unknown).values()) == [ARROW_UNKNOWN]
            (path,) = client.run(lambda: list(sys.path)).values()
            assert str(clone) in path
            assert (
                len([entry for entry in path if cluster.CODE in entry and entry.endswith(".zip")])
                == 1
            )


def test_a_cluster_at_work_with_other_code_of_this_project_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = other_project(tmp_path)
    with running(tmp_path, workers=1) as made:
        with monkeypatch.context() as patch, connect(made.address) as client:
            patch.setattr(cluster, "ROOT", project)
            cluster._send_code(made.address, client)
            patch.undo()
            working = client.submit(time.sleep, 0.1)
            line = f"{made.address} is at work with another version of this project; wait, or start"
            with pytest.raises(StepError, match=line), connect(made.address):
                pass
            working.result()
            found = client.run(lambda: __import__("clinical").__file__)
            assert all(str(project) not in path and ".zip" in path for path in found.values())
        with connect(made.address) as client:
            assert client.submit(engine.carry, 1).result() == 1


def test_a_scheduler_without_workers_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with running(tmp_path, workers=0) as made:
        line = f"{made.address} has no workers; start some"
        with pytest.raises(StepError, match=line), connect(made.address):
            pass


def without(package: str, folder: Path) -> Path:
    """Return a folder that has all that is installed here but one package."""
    folder.mkdir()
    for path in Path(site.getsitepackages()[0]).iterdir():
        if not path.name.lower().startswith(package):
            (folder / path.name).symlink_to(path)
    return folder


def test_workers_that_lack_a_requirement_are_told_with_what_they_lack(tmp_path: Path) -> None:
    installed = without("onnxruntime", tmp_path / "installed")
    with running(tmp_path, workers=1) as made:
        # -S: without the packages that this Python has by itself.
        made.start_worker(("-S",), PYTHONPATH=str(installed))
        here = importlib.metadata.version("onnxruntime")
        line = (
            f"^the Dask scheduler {made.address} or its workers lack what this project needs: "
            f"onnxruntime {here} is needed, none is there. Start them in"
        )
        with pytest.raises(StepError, match=line):
            connect_in_vain(made.address)


def connect_in_vain(address: str) -> None:
    """Connect again and again: once the worker that lacks something is there, that is refused."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with connect(address):
            time.sleep(0.2)


def test_another_python_is_told_of() -> None:
    major, minor = sys.version_info[:2]
    found = {"host": {"python": f"{major}.{minor}.99.final.0"}, "packages": {}}
    assert cluster._versions(found)["python"] == f"{major}.{minor}"
