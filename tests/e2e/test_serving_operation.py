"""How the service is started, upgraded and ended, and what it does where it is short of means."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.e2e.registry import Registry
from tests.serving.service import (
    JSON,
    PATIENT,
    ROOT,
    Load,
    environment,
    free_port,
    running,
    wait_for,
)

OWN = ("gunicorn", "-c", str(ROOT / "serving" / "gunicorn.conf.py"))


def followers(home: Path) -> list[psutil.Process]:
    """Return the followers of services whose cache is below a folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "serving.following" in words and any(str(home) in word for word in words):
            found.append(process)
    return found


def test_an_upgrade_by_usr2_loses_nothing_and_leaves_nothing(
    registry: Registry, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    pidfile = home / "pid"
    with running(home, registry.uri, GUNICORN_CMD_ARGS=f"--pid {pidfile}") as service:
        with Load(service.port, headers={**JSON, "Connection": "close"}) as load:
            service.process.send_signal(signal.SIGUSR2)
            new = wait_for(lambda: (home / "pid.2").is_file() and (home / "pid.2").read_text())
            after = psutil.Process(int(new))
            wait_for(lambda: len(after.children()) == 3, what="the new generation's workers")
            assert service.stop() == 0
            time.sleep(2)
        load.assert_lost_nothing()
        assert service.version() == "registry-v1"
        after.send_signal(signal.SIGHUP)
        time.sleep(2)
        wait_for(lambda: service.version() == "registry-v1")
        after.terminate()
        psutil.wait_procs([after], 40)
    wait_for(lambda: not followers(home), what="the followers' end")
    assert not list((home / "cache").rglob("services/*"))


def fill(disk: Path) -> None:
    """Write until there is no room."""
    descriptor = os.open(disk / "filler", os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while os.write(descriptor, bytes(2**16)):
            pass
    os.close(descriptor)


@pytest.mark.parametrize("small_disk", ["16m"], indirect=True)
def test_a_full_disk_costs_metrics_of_new_workers_and_no_answer(
    registry: Registry, tmp_path: Path, small_disk: Path
) -> None:
    with running(tmp_path / "home", registry.uri, XDG_CACHE_HOME=str(small_disk)) as service:
        fill(small_disk)
        with Load(service.port, connections=4, retry=True) as load:
            service.workers()[0].kill()
            wait_for(lambda: "metrics.incomplete" in service.log.read_text())
            time.sleep(3)
        load.assert_lost_nothing()
        wait_for(lambda: len(service.workers()) == 2)
        assert "heart_metrics_incomplete 1.0" in service.ask("/metrics")[1]
        assert "SIGBUS" not in service.log.read_text()


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        (
            {"HEART_PORT": "tcp://10.0.0.1:8000", "TMPDIR": "{home}/" + "long" * 30}
            | dict.fromkeys(("HEART_HOST", "HEART_WORKERS", "HEART_POLL_SECONDS"), ""),
            "",
        ),
        ({"HEART_HOST": "::1", "XDG_CACHE_HOME": "/proc/nowhere"}, "[::1]"),
        ({"HEART_HOST": "unix:{home}/heart.sock"}, "unix:"),
    ],
    ids=["kubernetes, empty, long TMPDIR", "IPv6, no cache", "unix"],
)
def test_it_starts_wherever_it_is_put(
    registry: Registry, tmp_path: Path, settings: dict[str, str], address: str
) -> None:
    home = tmp_path / "home"
    given = {name: text.replace("{home}", str(home)) for name, text in settings.items()}
    Path(given.get("TMPDIR", home)).mkdir(parents=True)
    command = (*OWN, "-b", "127.0.0.1:{port}") if not address else OWN
    with running(
        home, registry.uri, workers=1 if address else 2, wait=not address, command=command, **given
    ) as service:
        if not address:
            assert service.version() == "registry-v1"
        wait_for(lambda: "model.serving" in service.log.read_text())
        (listening,) = re.findall(r"Listening at: (.*)", service.log.read_text())
        assert address in listening
    assert "Traceback" not in service.log.read_text()


@pytest.mark.parametrize("command", [OWN, ("gunicorn", "serving:create_app()"),
                                     (sys.executable, "-m", "steps.serve")])  # fmt: skip
def test_a_wrong_setting_is_one_line_and_no_traceback(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    env = environment(tmp_path, HEART_PORT="many", HEART_BODY_SECONDS="-1")
    if "serving:create_app()" in command:
        command += ("-b", f"127.0.0.1:{free_port()}", "--no-control-socket")
    done = subprocess.run(
        command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "HEART_PORT must be an integer in [0, 65535]. Got 'many' instead." in done.stderr
    assert "HEART_BODY_SECONDS must be a number" in done.stderr
    assert "Traceback" not in done.stderr


def test_below_a_path_the_description_names_the_right_server(
    registry: Registry, tmp_path: Path
) -> None:
    command = (*OWN, "--root-path", "/heart")
    with running(tmp_path / "home", registry.uri, workers=1, command=command) as service:
        for path in ("/openapi.json", "/heart/openapi.json"):
            assert service.ask(path)[1]["servers"] == [{"url": "/heart"}]
        assert service.ask("/heart/predict", PATIENT)[0] == 200
        assert 'href="/heart/' in service.ask("/heart/docs")[1]
        assert service.ask("/heartbeat")[0] == 404
