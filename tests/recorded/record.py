"""Record what the project does: ``python -m tests.recorded.record <output folder>``.

It runs a clone of the project through its public interfaces alone: commands, MLflow's client, and
HTTP to a real server. So it records any commit, however its code is laid out: ``--project`` names
the work tree whose last commit is cloned, by default the current one.
"""

import argparse
import json
import os
import re
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.recorded import commands, figures, requests, store
from tests.recorded.patients import EXAMPLE, NAMES, Row, invented, patient
from tests.recorded.project import MODEL, Project
from tests.recorded.service import Request, Service, running
from tests.serving.service import wait_for

PARTS = ("commands", "registry", "figures", "service", "answers")
Run = Callable[..., dict[str, Any]]
KEY, SECRET = "a key for this record", "a secret for this record"
EXPLAINED = 12


class Recorder:
    """Records a fresh clone, part by part; the parts go into a folder as JSON, and the store."""

    def __init__(self, project: Project, output: Path) -> None:
        self.project, self.output = project, output
        self.rows = invented()
        self.found: dict[str, dict[str, Any]] = {part: {} for part in PARTS}

    def record(self) -> None:
        """Record everything; what needs no store runs beside the rest."""
        alone = Project.clone(self.project.path, self.project.work / "alone")
        with ThreadPoolExecutor(1) as beside:
            printed = beside.submit(commands.record, alone)
            self.train_and_register()
            store.pack(self.project.path, self.output / "store.tar.xz", self.project.work)
            self.serve()
            self.judge()
            self.serve_otherwise()
            self.found["commands"] |= printed.result()
        for part, content in self.found.items():
            (self.output / f"{part}.json").write_text(as_json(content))

    def run(self, name: str, done: dict[str, Any]) -> None:
        """Note how a command ended."""
        self.found["commands"][name] = done

    def train_and_register(self) -> None:
        """Run main twice; register two versions more; make the last one champion by hand."""
        project, found = self.project, self.found["figures"]
        self.run("main", project.launch("main", source="sample"))
        first = project.latest("train")
        for step in ("main", "download", "preprocess", "train", "register"):
            found[step] = figures.record_run(project, project.latest(step))
        found["data"] = figures.record_data(project)
        onnx = figures.onnx_probabilities(project, first, self.rows)
        self.found["answers"]["onnx"] = onnx
        self.registered("main")
        self.run("main again", project.launch("main", source="sample"))
        self.train("max_depth=3", project.launch, max_depth=3)
        found["train of max_depth=3"] = figures.record_run(project, project.latest("train"))
        self.train("boosting", project.step, model="hist_gradient_boosting", n_estimators=20)
        found["train of boosting"] = figures.record_run(project, project.latest("train"))
        self.run("promote of boosting", project.step("promote", version=3))
        self.registered("promote of boosting", judged=False)

    def train(self, name: str, run: Run, **recipe: object) -> None:
        """Train by a recipe, and register what came of it."""
        self.run(f"train of {name}", run("train", **recipe))
        self.run(f"register of {name}", run("register"))
        self.registered(name)

    def registered(self, name: str, *, judged: bool = True) -> None:
        """Note the registry, and the decision that the gate made last."""
        found: dict[str, Any] = figures.record_registry(self.project)
        if judged:
            found["decision"] = figures.record_decision(self.project)
        self.found["registry"][name] = found

    def judge(self) -> None:
        """Let the gate judge an equal and a worse recipe; evaluate and score with the champion."""
        project = self.project
        self.train("an equal recipe", project.step)
        self.train("a worse recipe", project.step, n_estimators=5, max_depth=1)
        required = project.step("register", promote="require")
        self.run("register of a worse recipe that must be champion", required)
        self.run("evaluate", project.step("evaluate"))
        self.found["figures"]["evaluate"] = figures.record_evaluation(project)
        self.found["answers"]["scores"] = figures.score_jobs(project, self.rows)
        self.found["commands"] |= commands.record_refused(project)

    def serve(self) -> None:
        """Serve the champion, roll it back while it is served, and ask everything of the first."""
        found, answers = self.found["service"], self.found["answers"]
        answers |= {"fields": NAMES, "patients": self.rows}
        with running(self.project, self.project.uri) as service:
            service.wait_for_version("registry-v3")
            answers["version 3"] = answers_of(service, self.rows)
            self.run("rollback", self.project.step("promote", rollback="true"))
            self.registered("rollback", judged=False)
            service.wait_for_version("registry-v1")
            # A look between the alias's move and the stage's notes that they disagree.
            wait_for(lambda: not service.ready()[1]["notes"], what="a look")
            answers["version 1"] = answers_of(service, self.rows)
            found["routes"] = record_all(service, requests.routes())
            for path in ("/predict", "/explain"):
                found[f"POST {path}"] = record_all(service, requests.bodies(path))
            found["fields of /predict"] = record_all(service, requests.single_fields("/predict"))
            batches = requests.invocations(self.rows)
            found["POST /invocations"] = record_all(service, batches)
            found["the form"] = record_all(service, requests.forms())
            found["webhooks that are off"] = record_all(service, requests.webhooks(SECRET))
            found["GET /metrics"] = metrics_of(service)
        with running(self.project, self.project.uri, MODEL_URI=f"models:/{MODEL}/2") as service:
            service.wait_for_version("registry-v2")
            answers["version 2"] = answers_of(service, self.rows)
            found["pinned: GET /ready"] = service.record(Request("GET", "/ready"))

    def serve_otherwise(self) -> None:
        """Serve with keys, webhooks and a limit; and without a model."""
        found = self.found["service"]
        limits = {"HEART_MAX_CONTENT_LENGTH": "1024", "HEART_BODY_SECONDS": "2"}
        safe = {"HEART_API_KEYS": KEY, "HEART_WEBHOOK_SECRET": SECRET}
        with running(self.project, self.project.uri, **limits, **safe) as service:
            wait_for(lambda: service.ready()[0] == 200, what="a model")
            found["with a key"] = record_all(service, requests.keyed(KEY))
            found["webhooks"] = record_all(service, requests.webhooks(SECRET))
        nowhere = f"sqlite:///{self.project.work}/nothing.db"
        with running(self.project, nowhere, HEART_LOCAL_MODEL="nothing.pkl",
                     XDG_CACHE_HOME=f"{self.project.work}/empty") as service:  # fmt: skip
            wait_for(lambda: "mlflow run" in str(service.ready()), what="a look")
            pages = ("/", "/model", "/model/card.md", "/ready", "/ping")
            asked = {f"GET {path}": Request("GET", path) for path in pages} | {
                "/predict": requests.post("/predict", EXAMPLE),
                "/explain": requests.post("/explain", EXAMPLE),
                "/invocations": requests.post("/invocations", {"inputs": EXAMPLE}),
                "the form": requests.forms()["the example"],
            }
            found["without a model"] = record_all(service, asked)


def record_all(service: Service, asked: dict[str, Request]) -> dict[str, Any]:
    """Return the answers to requests by their names, and once the headers of the first of them.

    Of the others, those headers that differ from it are kept; one that is not there is null.
    """
    found = {name: service.record(request) for name, request in asked.items()}
    usual = next(iter(found.values()))["headers"]
    for answer in found.values():
        headers = answer["headers"]
        other = {name: text for name, text in headers.items() if usual.get(name) != text}
        answer["headers"] = other | {name: None for name in usual if name not in headers}
    return {"headers": usual, **found}


def answers_of(service: Service, rows: list[Row]) -> dict[str, Any]:
    """Return what /predict says of patients, and /explain of the first of them."""
    predicted, explained = (
        [service.ask(path, json.dumps(patient(row)).encode()) for row in asked]
        for path, asked in (("/predict", rows), ("/explain", rows[:EXPLAINED]))
    )
    assert {status for status, _ in predicted} == {200}
    return {
        "predict": [answer for _, answer in predicted],
        "explain": [{"status": status, **answer} for status, answer in explained],
    }


def metrics_of(service: Service) -> dict[str, list[str]]:
    """Return the names of the metrics, with their labels."""
    found: dict[str, set[str]] = {}
    for line in str(service.ask("/metrics")[1]).splitlines():
        name, _, rest = line.partition(" " if line.startswith("#") or "{" not in line else "{")
        if line.startswith("#"):
            found.setdefault(line, set())
        else:
            labels = re.findall(r'(\w+)="', rest)
            found.setdefault(name, set()).update(labels)
    return {name: sorted(labels) for name, labels in found.items()}


def as_json(content: Any, width: int = 100) -> str:
    """Return JSON in which whatever fits on a line stands on one."""
    return _lines(content, "", width) + "\n"


def _lines(content: Any, indent: str, width: int) -> str:
    flat = json.dumps(content, ensure_ascii=False)
    if not isinstance(content, dict | list) or not content or len(indent) + len(flat) <= width:
        return flat
    deeper = f"{indent} "
    if isinstance(content, dict):
        parts = [f"{json.dumps(k)}: {_lines(v, deeper, width)}" for k, v in content.items()]
    else:
        parts = [_lines(item, deeper, width) for item in content]
    first, last = "{}" if isinstance(content, dict) else "[]"
    inner = ",\n".join(f"{deeper}{part}" for part in parts)
    return f"{first}\n{inner}\n{indent}{last}"


def main() -> None:
    """Record a project into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--project", type=Path, default=Path())
    given = parser.parse_args()
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    given.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder, "work").resolve()
        Recorder(Project.clone(given.project, work), given.output).record()


if __name__ == "__main__":
    main()
