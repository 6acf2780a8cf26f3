"""Which finished run already did what a step is about to do.

The key of a piece of work is the SHA-256 of all that decides its outcome. A run carries its key,
and the digests of its outputs, as tags; it is reused only where both still hold.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run

from risk_model.locations import file_path
from steps.runs.files import ROOT, sha256
from steps.runs.parameters import Value
from steps.runs.sources import UCI_DIGEST, plan, stated_digest
from steps.runs.store import STORE_ERRORS
from steps.runs.tracking import KEY_TAG, OUTPUTS_TAG, finished_runs, input_of

PACKAGES = ("clinical", "risk_model", "steps")
TEMPLATES = ("templates", "static")
"""The folders beside a module that hold what it makes pages of."""
DATA_FOLDER = "data"
"""The artifact folder in which a run keeps the one file that the next step reads."""


def work_key(step: str, values: Mapping[str, Value]) -> str | None:
    """Return the key of a step's work as 64 hex digits, or None where it is never reused.

    Parameters
    ----------
    step : str
        Name of the entry point.
    values : mapping of str to value
        Its parameters; `data` must name a run or a file.
    """
    rest = {name: value for name, value in values.items() if name not in ("source", "data")}
    if step == "download":
        digest = _source_digest(plan(str(values["source"])))
    elif step in ("preprocess", "train"):
        data = str(values["data"])
        digest = _data_digest(data)
        if step == "train" and not Path(data).is_file():
            digest += _archive_digest(MlflowClient().get_run(data))
    else:
        digest = None
    return digest and _key(step, rest, digest)


def _source_digest(source: str) -> str | None:
    """Return the SHA-256 of what a source will give; None for a URL that does not say."""
    if source == "sample":
        return sha256(ROOT / "clinical" / "cohort.json")
    if source == "uci":
        return UCI_DIGEST
    path = file_path(source)
    return stated_digest(source) if path is None else sha256(path)


def _data_digest(data: str) -> str:
    if Path(data).is_file():
        return sha256(Path(data))
    run = MlflowClient().get_run(data)
    return outputs(run)[data_output(run)]


def _archive_digest(prepared: Run) -> str:
    """Return the digest of the other hospitals' data, on which a model is tried out."""
    found = archive_of(prepared)
    return outputs(found[0])[found[1]] if found else ""


def archive_of(prepared: Run) -> tuple[Run, str] | None:
    """Return the run and the output that hold the zip from which patients were prepared."""
    before = input_of(prepared)
    name = data_output(before) if before else ""
    return (before, name) if before and name.endswith(".zip") else None


def _key(step: str, parameters: Mapping[str, Value], digest: str) -> str:
    facts = {
        "step": step,
        "parameters": dict(parameters),
        "input": digest,
        **digests_of_code(step),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def digests_of_code(module: str) -> dict[str, object]:
    """Return what decides how a module of the steps works: its sources, and the libraries."""
    return {
        "sources": digests_of_sources(module),
        "requirements": sha256(ROOT / "requirements.txt"),
    }


def digests_of_sources(module: str) -> dict[str, str]:
    """Return the SHA-256 of a module of the steps, all that it imports of ours, and templates."""
    modules = _sources(ROOT / "steps" / f"{module}.py")
    folders = {path.parent / name for path in modules for name in TEMPLATES}
    paths = sorted({*modules, *(path for folder in folders for path in folder.glob("*.*"))})
    return {path.relative_to(ROOT).as_posix(): sha256(path) for path in paths}


def _sources(module: Path, seen: frozenset[Path] = frozenset()) -> frozenset[Path]:
    """Return the project's files that a module is made of: itself, and what it imports of ours."""
    if module in seen:
        return seen
    seen |= {module}
    for imported in _imports(module):
        seen = _sources(imported, seen)
    return seen


def _imports(module: Path) -> list[Path]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    ours = (name for name in names if name.split(".")[0] in PACKAGES)
    paths = (ROOT / (name.replace(".", "/") + ".py") for name in ours)
    return [path for path in paths if path.is_file()]


def find(step: str, key: str, experiment_id: str) -> Run | None:
    """Return the newest finished run of this work whose outputs are still what they were."""
    runs = finished_runs(experiment_id, step, f"tags.`{KEY_TAG}` = '{key}'")
    return next((run for run in runs if _is_intact(run)), None)


def _is_intact(run: Run) -> bool:
    """Tell whether a run has outputs, and all of them still exist and hash the same."""
    recorded = outputs(run)
    try:
        return bool(recorded) and all(
            sha256(fetch_output(run, name)) == digest for name, digest in recorded.items()
        )
    except (*STORE_ERRORS, OSError):
        # Whatever keeps an output from being read, the answer is to make it anew.
        return False


def outputs(run: Run) -> dict[str, str]:
    """Return the SHA-256 of each output of a run by its artifact path or model URI."""
    recorded: dict[str, str] = json.loads(run.data.tags.get(OUTPUTS_TAG, "{}"))
    return recorded


def data_output(run: Run) -> str:
    """Return the artifact path of the file that the next step reads."""
    return next(name for name in outputs(run) if name.startswith(f"{DATA_FOLDER}/"))


def fetch_output(run: Run, name: str) -> Path:
    """Return a local copy of an output: an artifact path of the run, or a model's URI."""
    uri = name if name.startswith("models:/") else f"runs:/{run.info.run_id}/{name}"
    return Path(download_artifacts(artifact_uri=uri))
