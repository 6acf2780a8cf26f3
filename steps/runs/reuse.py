"""Which finished run already did what a step is about to do.

The key of a piece of work is the SHA-256 of all that decides its outcome. A run carries its key as
a tag, and the digests of its outputs as a file; it is reused only where both still hold.
"""

from __future__ import annotations

import ast
import hashlib
import json
from functools import lru_cache
from pathlib import Path

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run

from risk_model.locations import file_path
from steps.parameters.declaration import as_texts, step_name
from steps.parameters.entry_points import RECALIBRATED, Download, Preprocess, Train
from steps.runs.downloads import stated_digest
from steps.runs.files import ROOT, sha256
from steps.runs.sources import UCI_DIGEST, resolve_auto
from steps.runs.store import StepError, store_errors
from steps.runs.tracking.finished import finished_runs, input_of, stored_artifact
from steps.runs.tracking.tags import KEY_TAG, OUTPUTS_FILE, OUTPUTS_TAG

PACKAGES = ("clinical", "risk_model", "steps")
_BY_CONTENT = ("source", "data", "extra")
"""The parameters that name a file or a run: its content counts, not its name."""
DATA_FOLDER = "data"
"""The artifact folder in which a run keeps the one file that the next step reads."""


def work_key(values: object) -> str | None:
    """Return the key of a step's work as 64 hex digits, or None where it is never reused.

    The `data` of the parameters must name a run or a file.
    """
    match values:
        case Download():
            digest = _source_digest(resolve_auto(values.source))
        case Preprocess():
            digest = _data_digest(values.data)
            digest += sha256(Path(values.extra)) if values.extra else ""
        case Train() if values.model == RECALIBRATED:
            return None  # what the alias of its base names may have changed
        case Train():
            digest = _data_digest(values.data) + _archive_digest(values.data)
        case _:
            return None
    return digest and _key(values, digest)


def _source_digest(source: str) -> str | None:
    """Return the SHA-256 of what a source will give; None for a URL that does not say."""
    if source == "sample":  # its figures lie beside the code, and are part of every key
        return source
    if source == "uci":
        return UCI_DIGEST
    path = file_path(source)
    return stated_digest(source) if path is None else sha256(path)


def _data_digest(data: str) -> str:
    if Path(data).is_file():
        return sha256(Path(data))
    run = MlflowClient().get_run(data)
    return outputs(run)[data_output(run)]


def _archive_digest(data: str) -> str:
    """Return the digest of the other hospitals' data, on which a model is tried out."""
    archive = None if Path(data).is_file() else archive_of(MlflowClient().get_run(data))
    return outputs(archive[0])[archive[1]] if archive else ""


def archive_of(prepared: Run) -> tuple[Run, str] | None:
    """Return the run and the output that hold the zip from which patients were prepared."""
    before = input_of(prepared)
    name = data_output(before) if before else ""
    return (before, name) if before and name.endswith(".zip") else None


def _key(values: object, digest: str) -> str:
    step = step_name(type(values))
    parameters = {k: v for k, v in as_texts(values).items() if k not in _BY_CONTENT}
    content = {
        "step": step,
        "parameters": parameters,
        "input": digest,
        "sources": digests_of_sources(step),
        "requirements": sha256(ROOT / "requirements.txt"),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def digests_of_sources(module: str) -> dict[str, str]:
    """Return the SHA-256 of a module of the steps, all that it imports of ours, and templates."""
    paths = sorted(_sources(ROOT / "steps" / f"{module}.py"))
    return {path.relative_to(ROOT).as_posix(): sha256(path) for path in paths}


def _sources(module: Path, seen: frozenset[Path] = frozenset()) -> frozenset[Path]:
    """Return the project's files that a module is made of: itself, and what it imports of ours."""
    if module in seen:
        return seen
    seen |= {module, *_data_files(module.parent)}
    for imported in _imports(module):
        seen = _sources(imported, seen)
    return seen


def _data_files(package: Path) -> list[Path]:
    """Return the files of a package that are no modules, such as templates."""
    found = []
    for path in package.iterdir():
        if path.is_file() and path.suffix != ".py":
            found.append(path)
        elif path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").exists():
            found += _data_files(path)
    return found


def _imports(module: Path) -> list[Path]:
    """Return the modules of ours that a module imports anywhere, and the packages around them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    ours = [name.split(".") for name in names if name.split(".")[0] in PACKAGES]
    # To import a.b.c is to run a and a.b as well.
    paths = {ROOT.joinpath(*parts[:n]) for parts in ours for n in range(1, len(parts) + 1)}
    files = [file for path in paths for file in (path.with_suffix(".py"), path / "__init__.py")]
    return [file for file in files if file.is_file()]


def find(step: str, key: str, experiment_id: str) -> Run | None:
    """Return the newest finished run of this work whose outputs are still what they were."""
    runs = finished_runs(experiment_id, step, f"tags.`{KEY_TAG}` = '{key}'")
    return next((run for run in runs if _is_intact(run)), None)


def _is_intact(run: Run) -> bool:
    """Return whether a run has outputs, and all of them still exist and hash the same."""
    try:
        recorded = outputs(run)
        return bool(recorded) and all(
            sha256(fetch_output(run, name)) == digest for name, digest in recorded.items()
        )
    except store_errors(StepError, OSError):
        # Whatever keeps an output from being read, the answer is to make it anew.
        return False


def outputs(run: Run) -> dict[str, str]:
    """Return the SHA-256 of each output of a run by its artifact path or model URI."""
    return dict(json.loads(run.data.tags.get(OUTPUTS_TAG) or _recorded(run.info.run_id)))


@lru_cache
def _recorded(run_id: str) -> str:
    """Return what a run that has ended says of its outputs, asked for once: it stays."""
    path = stored_artifact(run_id, OUTPUTS_FILE)
    return path.read_text() if path else "{}"


def data_output(run: Run) -> str:
    """Return the artifact path of the file that the next step reads."""
    return next(name for name in outputs(run) if name.startswith(f"{DATA_FOLDER}/"))


def fetch_output(run: Run, name: str) -> Path:
    """Return a local copy of an output: an artifact path of the run, or a model's URI."""
    uri = name if name.startswith("models:/") else f"runs:/{run.info.run_id}/{name}"
    return Path(download_artifacts(artifact_uri=uri))
