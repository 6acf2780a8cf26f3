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
            held = {"low": float(known.min()), "high": float(known.max())}
        found[feature.name] = held | {"fill": replaced[feature.name]}
    return found


def git_state() -> dict[str, object]:
    """Return the commit of the project's sources, and whether they differ from it."""

    def git(*words: str) -> str | None:
        done = subprocess.run(
            ["git", "-C", ROOT, *words], check=False, capture_output=True, text=True
        )
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        status = git("status", "--porcelain")
        return {
            "commit": git("rev-parse", "HEAD"),
            "dirty": bool(status),
            "repository": _public(git("config", "remote.origin.url") or ""),
        }
    except FileNotFoundError:
        return {"commit": None, "dirty": True, "repository": None}


def _public(url: str) -> str | None:
    """Return the web address of a repository without a password; None for one on this machine."""
    found = re.fullmatch(r"(?:https?://|(?:ssh://)?git@)(?:[^/@]*@)?([^/:]+)[:/](.+)", url)
    return f"https://{found[1]}/{found[2].removesuffix('.git')}" if found else None


def facts(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what those who serve or judge a model must know about it, as plain JSON values."""
    return {
        **about,
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "label": LABEL.definition,
        "git": git_state(),
    }


def write_extras(
    folder: Path,
    pipeline: Pipeline,
    content: bytes | None,
    training: pd.DataFrame,
    facts: Mapping[str, Any],
) -> list[Path]:
    """Write twin, references, facts and model card into a folder, and return the files.

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
    texts = {
        "references.json": as_json(references),
        "model.json": as_json(facts),
        "card.md": card.as_markdown(facts),
        "card.html": card.as_html(facts),
    }
    for name, text in texts.items():
        files.append(folder / name)
        files[-1].write_text(text)
    return files


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
