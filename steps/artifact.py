"""The model as it is stored: pipeline, signature, ONNX twin, references and facts."""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from sklearn.pipeline import Pipeline

from clinical.schema import FEATURES, LABEL
from steps import card, twin
from steps.estimators import fills, trusted_types
from steps.files import ROOT, as_json, sha256

# What the model needs to be loaded by MLflow's own tools; the twin needs none of it.
REQUIREMENTS = ("mlflow", "numpy", "pandas", "scikit-learn", "scipy", "skops")


def signature() -> ModelSignature:
    """Return the MLflow signature of every model of this project, drawn from FEATURES."""
    inputs = Schema([ColSpec(DataType.double, f.name, required=not f.nullable) for f in FEATURES])
    return ModelSignature(inputs=inputs, outputs=Schema([ColSpec(DataType.long)]))


def example() -> pd.DataFrame:
    """Return the input example: one valid patient, made up of FEATURES' examples."""
    return pd.DataFrame([{feature.name: float(feature.example) for feature in FEATURES}])


def pinned() -> list[str]:
    """Return the pinned requirements of a model, as requirements.txt has them."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [line for line in lines if re.split("[=<>]", line)[0] in REQUIREMENTS]


def seen(training: pd.DataFrame, pipeline: Pipeline) -> dict[str, dict[str, Any]]:
    """Return, for each feature, what the training rows held and what replaces an unknown value."""
    replaced = fills(pipeline)
    found: dict[str, dict[str, Any]] = {}
    for feature in FEATURES:
        known = training[feature.name].dropna()
        if feature.codes:
            held: dict[str, Any] = {"codes": sorted({int(code) for code in known})}
        else:
            # JSON has no NaN: what nobody knew has no range.
            held = {"low": float(known.min()), "high": float(known.max())} if len(known) else {}
        found[feature.name] = held | {"fill": replaced[feature.name]}
    return found


def git_state() -> dict[str, object]:
    """Return the commit of the project's sources, and whether they differ from it."""
    status = _git("status", "--porcelain")
    return {"commit": _git("rev-parse", "HEAD"), "dirty": status is None or bool(status)}


def repository() -> str | None:
    """Return the web address that the project was cloned from, without a password.

    None for a clone of another folder: where that lies is nobody's business.
    """
    url = _git("config", "remote.origin.url") or ""
    found = re.fullmatch(r"(?:https?://|(?:ssh://)?git@)(?:[^/@]*@)?([^/:]+)[:/](.+)", url)
    return f"https://{found[1]}/{found[2].removesuffix('.git')}" if found else None


def _git(*words: str) -> str | None:
    """Return what git says of the project, None where it says nothing or is not there."""
    try:
        done = subprocess.run(
            ["git", "-C", ROOT, *words], check=False, capture_output=True, text=True
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def facts(training: pd.DataFrame, pipeline: Pipeline, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what those who serve or judge a model must know about it, as plain JSON values."""
    return {
        **about,
        # Such as the precision of a model that says nobody is ill.
        "metrics": {k: v for k, v in about["metrics"].items() if math.isfinite(v)},
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "label": LABEL.definition,
        "seen": seen(training, pipeline),
        "git": git_state(),
        "repository": repository(),
    }


def write_extras(
    folder: Path,
    pipeline: Pipeline,
    training: pd.DataFrame,
    facts: Mapping[str, Any],
    content: bytes | None,
) -> list[Path]:
    """Write the twin, its references and the facts into a folder, and return the files.

    `content` is the twin, as ``twin.convert`` gives it.
    """
    files = []
    if content is not None:
        files.append(folder / "twin.onnx")
        files[0].write_bytes(content)
    rows = twin.reference_rows(training)
    probabilities = pipeline.predict_proba(pd.DataFrame(rows, columns=training.columns))[:, 1]
    references = {
        "twin_sha256": sha256(files[0]) if files else None,
        "tolerance": twin.TOLERANCE,
        # JSON has no NaN: an unknown value is null.
        "inputs": [
            [None if math.isnan(value) else value for value in row] for row in rows.tolist()
        ],
        "probabilities": probabilities.tolist(),
    }
    for name, value in (("references.json", references), ("model.json", facts)):
        files.append(folder / name)
        files[-1].write_text(as_json(value))
    return files


def write_card(folder: Path, facts: Mapping[str, Any]) -> list[Path]:
    """Write the model card in both its forms, and return the files."""
    texts = {"card.md": card.as_markdown(facts), "card.html": card.as_html(facts)}
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [folder / name for name in texts]


def log(
    pipeline: Pipeline,
    model: str,
    extras: list[Path],
    tags: Mapping[str, str],
    calibration: str = "none",
) -> str:
    """Log the model to the active run, and return its URI, ``models:/m-<id>``."""
    info = mlflow.sklearn.log_model(
        pipeline,
        name=f"{model}_model",
        serialization_format="skops",
        skops_trusted_types=trusted_types(model, calibration),
        signature=signature(),
        input_example=example(),
        pip_requirements=pinned(),
        extra_files=[str(path) for path in extras],
        tags=dict(tags),
    )
    return f"models:/{info.model_id}"
