"""Measure the service under gunicorn's worker classes, and with gevent's turns left out.

Run as ``python -m benchmarks.workers [--short]`` (five minutes; needs Debian's wrk); it writes the
table to docs/benchmarks.md, to which docs/decisions/0005-gunicorn.md refers. ``--short`` takes two
seconds where the full form takes ten, and writes nothing.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.arguments import arguments
from benchmarks.pasting import paste
from benchmarks.serving import PATIENT, ROOT, Server, make_models, started, wrk
from tests.serving.service import free_port

CONF = ROOT / "serving" / "gunicorn.conf.py"
# The service's own settings, with a turn taken out.
VARIANT = """
exec(compile(open({conf!r}).read(), {conf!r}, "exec"), globals())
if not {after}:
    del post_request
wsgi_app = {app!r}
"""
NO_TURN_BEFORE = """
from serving import create_app

def make():
    app = create_app()
    app.wsgi_app._yield = lambda: None
    app.wsgi_app._begin()
    return app
"""
ROUNDS = 3


@dataclass(frozen=True)
class Way:
    """A way to run the service."""

    name: str
    words: tuple[str, ...] = ()
    before: bool = True
    after: bool = True


WAYS = (
    Way("gevent, a turn before the work and one after the answer (as it is)"),
    Way("gevent, a turn before the work", after=False),
    Way("gevent, a turn after the answer", before=False),
    Way("gevent, no turns", before=False, after=False),
    Way("gthread, 4 threads", ("-k", "gthread", "--threads", "4")),
    Way("sync, a connection for each request", ("-k", "sync")),
)


def server(way: Way, number: int, home: Path, uri: str) -> Server:
    """Return how the service is started in a way."""
    app = "serving:create_app()" if way.before else "variant:make()"
    conf = home / f"conf-{number}.py"
    conf.write_text(VARIANT.format(conf=str(CONF), after=way.after, app=app))
    command = [sys.executable, "-m", "gunicorn", "-c", str(conf), *way.words]
    env = {"MLFLOW_TRACKING_URI": uri, "HEART_WORKERS": "1"}
    return Server(way.name, command, "/predict", PATIENT, env)


def measure(one: Server, home: Path, seconds: float) -> str:
    """Return the row of one way: of some rounds the one whose tail is the median."""
    port = free_port()
    with started(one, port, home):
        wrk(port, one, 16, 1, home)  # warm
        single = wrk(port, one, 1, seconds, home)
        rounds = [wrk(port, one, 16, seconds, home) for _ in range(ROUNDS)]
    found = sorted(rounds, key=lambda result: result["p99"])[ROUNDS // 2]
    return (
        f"| {one.name} | {single['rate']:,.0f} | {found['rate']:,.0f} | {found['p50']:.1f} ms "
        f"| {found['p99']:.1f} ms | {found['p99'] / found['p50']:.1f} |"
    )


def main() -> None:
    """Measure, print and paste."""
    short = arguments(__doc__, short=True).short
    lines = [
        "## The service under other workers",
        "",
        "One worker, the same settings but for what is named; `wrk`, 1 and 16 connections, "
        f"of {ROUNDS} rounds the one with the median p99.",
        "",
        "| worker | requests/s, 1 conn. | 16 conn. | p50, 16 conn. | p99 | p99 / p50 |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        uri = f"sqlite:///{home}/mlflow.db"
        make_models(uri, home)
        (home / "variant.py").write_text(NO_TURN_BEFORE)
        for number, way in enumerate(WAYS):
            lines.append(measure(server(way, number, home, uri), home, 2 if short else 10))
            print(lines[-1], file=sys.stderr)
    if short:
        print("\n".join(lines))
    else:
        paste("workers", "python -m benchmarks.workers", "\n".join(lines))


if __name__ == "__main__":
    main()
