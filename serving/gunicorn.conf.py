# ruff: noqa: N999 -- the name that gunicorn users look for
"""How gunicorn runs the service: ``gunicorn -c serving/gunicorn.conf.py``.

What was measured to choose this: docs/decisions/0005-gunicorn.md.
"""

import atexit
import contextlib
import logging
import os
import resource
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from risk_model.locations import ensure_account  # noqa: E402 -- after the path is set
from serving.http.keys import warn_if_open  # noqa: E402
from serving.settings import STATE_FOLDER, SettingError, read_settings  # noqa: E402

ensure_account()
# Workers are processes enough. And where this is not set, scikit-learn counts the cores by
# starting a program, which a thread beside gevent's loop cannot: the request would never end.
os.environ.setdefault("OMP_NUM_THREADS", "1")
if "SCRIPT_NAME" in os.environ:  # gunicorn would answer 500 to every path outside of it
    os.environ["HEART_ROOT_PATH"] = os.environ.pop("SCRIPT_NAME")
try:
    _settings = read_settings()
except SettingError as error:
    sys.exit(str(error))


def _address(host: str, port: int) -> str:
    if host.startswith("unix:"):
        return host
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


wsgi_app = "serving:create_app()"
bind = _address(_settings["HEART_HOST"], _settings["HEART_PORT"])
workers = _settings["HEART_WORKERS"]
worker_class = "gevent"
# Above what a worker holds at once (HEART_MAX_CONCURRENCY), so that more get 503 and not
# left waiting unaccepted.
worker_connections = 2 * _settings["HEART_MAX_CONCURRENCY"]
backlog = 4096
http_parser = "auto"  # the C parser, where gunicorn_h1c is installed
keepalive = 5
timeout = 30  # the heartbeat of a worker, not a limit for requests
graceful_timeout = 25
forwarder_headers = ""  # a client must not choose the path under which the service is mounted
control_socket_disable = True
accesslog = None  # the service writes its own line for each request
errorlog = "-"
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108 -- heartbeat files

# What the kernel holds of answers that a client does not read; of itself it would take 4 MiB.
_SEND_BUFFER = 256 * 1024

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def _end_at_once() -> None:
    """Let a new worker end at once on a signal that comes before it serves.

    Until it has handlers of its own it would take a signal for the main process, whose copy it is,
    and be waited for until graceful_timeout.
    """
    for number in _ENDING:
        signal.signal(number, lambda *_: os._exit(0))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def on_starting(server: Any) -> None:
    """Make the folder of this service, and start its follower before anything slow happens."""
    from serving.following import state
    from serving.following.worker import end_follower, spawn_follower

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each connection is a file
    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING),
        after_in_child=_end_at_once,
    )
    if server.cfg.root_path:
        os.environ["HEART_ROOT_PATH"] = server.cfg.root_path
    os.environ.pop(STATE_FOLDER, None)
    owner = os.getpid()
    instance = state.instance_state(owner)
    os.environ[STATE_FOLDER] = str(instance.folder)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(instance.metrics)
    follower = spawn_follower(instance, _settings)

    def end() -> None:
        # However this process ends, unless it is killed; not as the fork that a worker is.
        if os.getpid() == owner:
            end_follower(follower)
            shutil.rmtree(instance.folder, ignore_errors=True)

    atexit.register(end)
    hosts = [str(each[0]) if isinstance(each, tuple) else "" for each in server.cfg.address]
    warn_if_open(hosts, _settings["HEART_API_KEYS"])
    _import_early()


def when_ready(server: Any) -> None:
    """Limit what unread answers take; as a new generation (USR2), wait until there is a model.

    Meanwhile the old generation answers. A first start has none, and does not wait.
    """
    from serving.following.state import State

    for listener in server.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    state = State(Path(os.environ[STATE_FOLDER]))
    # What the follower publishes after HEART_START_SECONDS is checked before.
    end = time.monotonic() + _settings["HEART_START_SECONDS"] + _settings["HEART_CHECK_SECONDS"]
    while server.master_pid and not state.has_begun() and time.monotonic() < end:
        if not server.SIG_QUEUE.empty():
            break  # such as to end
        time.sleep(0.1)


def _import_early() -> None:
    """Import what every worker needs once, before they are forked: they share its memory."""
    import gc

    import prometheus_client.multiprocess  # noqa: F401

    import serving.app  # noqa: F401
    from risk_model.engines import import_runtime

    import_runtime()
    if _settings["HEART_PREDICTION_LOG"] != "off":
        import pyarrow.compute
        import pyarrow.parquet  # noqa: F401
    gc.collect()
    gc.freeze()


def post_worker_init(worker: Any) -> None:
    """See how a request of this worker's class lets others go first, threads too."""
    from gevent import get_hub

    from serving.http.gevent_support import fair_yield
    from serving.http.log import log_uncaught

    sys.setswitchinterval(0.001)  # no request waits longer for a thread that is busy
    get_hub().print_exception = log_uncaught
    worker.yield_turn = fair_yield()


def post_request(worker: Any, req: Any, environ: Any, resp: Any) -> None:  # noqa: ARG001 -- gunicorn names them
    """Let the other connections go first; meanwhile the next request of this one arrives.

    The service itself yields before it works on a request (serving.http.middleware), which is what
    makes the waiting ones countable; without this second turn that wait would fall to whoever comes
    last.
    """
    worker.yield_turn()


def worker_exit(server: Any, worker: Any) -> None:  # noqa: ARG001
    """Let the interpreter end without a word.

    On its last way it would take the lock of the log handlers, which gevent has replaced and which
    is half gone by then: a traceback in the log for each worker that ends as it should.
    """
    logging.shutdown()
    logging._handlerList.clear()


def child_exit(server: Any, worker: Any) -> None:  # noqa: ARG001
    """Drop the gauges of a worker that has ended."""
    from serving.http.metric_files import forget_worker

    forget_worker(worker.pid)
