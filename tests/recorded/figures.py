"""What the steps leave: runs, figures, splits, prepared data, versions, verdicts, scores."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnxruntime
import pandas as pd
from mlflow.entities import Run

from tests.recorded.patients import NAMES, Row, as_csv, in_uci_coding
from tests.recorded.project import MODEL, Project

LABEL = "disease"


def record_run(project: Project, run: Run) -> dict[str, Any]:
    """Return what MLflow's pages show of a run, without what varies."""
    varies = ("mlflow.", "heart.owner")
    tags = {name: text for name, text in run.data.tags.items() if not name.startswith(varies)}
    return {
        "status": run.info.status,
        "name": run.info.run_name,
        "params": steady(project, run.data.params),
        "metrics": run.data.metrics,
        "tags": steady(project, tags),
        "artifacts": sorted(_artifacts(project, run, "")),
        "datasets": [used.dataset.name for used in run.inputs.dataset_inputs],
        "models": len(run.outputs.model_outputs) if run.outputs else 0,
    }


def steady(project: Project, texts: dict[str, str]) -> dict[str, str]:
    return {name: project.steady(text) for name, text in texts.items()}


def _artifacts(project: Project, run: Run, folder: str) -> list[str]:
    found = []
    for entry in project.client.list_artifacts(run.info.run_id, folder):
        found += _artifacts(project, run, entry.path) if entry.is_dir else [entry.path]
    return found


def record_data(project: Project) -> dict[str, Any]:
    """Return digests of the prepared patients and of their split, and the data report."""
    prepared, trained = project.latest("preprocess"), project.latest("train")
    patients = pd.read_parquet(project.artifact(prepared, "data/patients.parquet"))
    held_out = pd.read_parquet(project.artifact(trained, "split/held_out.parquet"))
    fitted = pd.read_parquet(project.artifact(trained, "split/training_rows.parquet"))
    return {
        "patients": {
            "columns": list(patients.columns),
            "rows": len(patients),
            "values": _digest(_row_digests(patients)),
        },
        "held out": {"rows": len(held_out), "values": _digest(sorted(_row_digests(held_out)))},
        "fitted": {"rows": len(fitted), "hashes": _digest(sorted(map(str, fitted["row_hash"])))},
        "report": json.loads(project.artifact(prepared, "data_report.json").read_text()),
    }


def _row_digests(frame: pd.DataFrame) -> list[str]:
    """Return a digest of the values of each row, whatever types and file they are kept in."""
    values = frame[[*NAMES, LABEL]].to_numpy(np.float64)
    values[np.isnan(values)] = np.nan
    return [hashlib.sha256(row.astype("<f8").tobytes()).hexdigest() for row in values]


def _digest(texts: list[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def record_evaluation(project: Project) -> dict[str, Any]:
    """Return the metrics of the latest evaluation, and its account."""
    run = project.latest("evaluate")
    text = project.artifact(run, "evaluation.json").read_text()
    return {**record_run(project, run), "account": json.loads(project.steady(text))}


def record_registry(project: Project) -> dict[str, Any]:
    """Return every version, the aliases, and the registered model's own tags."""
    model = project.client.get_registered_model(MODEL)
    return {
        "aliases": {alias: str(version) for alias, version in model.aliases.items()},
        "tags": steady(project, model.tags),
        "versions": {
            str(version.version): {
                "stage": version.current_stage,
                "description": version.description,
                "tags": steady(project, version.tags),
            }
            for version in project.client.search_model_versions(f"name = '{MODEL}'")
        },
    }


def record_decision(project: Project) -> Any:
    """Return the gate's decision of the latest registration, as its artifact has it."""
    run = project.latest("register")
    return json.loads(project.artifact(run, "gate_decision.json").read_text())


def onnx_probabilities(project: Project, run: Run, rows: list[Row]) -> list[float]:
    """Return what the ONNX model that a train run logged says of patients."""
    mlflow.set_tracking_uri(project.uri)
    target = project.work / "models" / run.info.run_id
    target.mkdir(parents=True)
    uri = f"runs:/{run.info.run_id}/{run.data.params['model']}_model"
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(target)))
    (path,) = folder.rglob("*.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    values = np.array(rows, dtype=np.float32)
    answers = session.run(None, {session.get_inputs()[0].name: values})
    both = next(answer for answer in answers if np.shape(answer) == (len(rows), 2))
    return [float(p) for p in both[:, 1]]


def score_jobs(project: Project, rows: list[Row]) -> dict[str, Any]:
    """Return the answers of scoring jobs: with ids and without, in both codings."""
    ids = [f"p{number:03}" for number in range(1, len(rows) + 1)]
    with_ids = [[name, *row] for name, row in zip(ids, rows, strict=True)]
    canonical = as_csv(_with_faults(with_ids, 1), ["id", *NAMES])
    uci = as_csv(_with_faults([in_uci_coding(row) for row in rows], 0), NAMES, unknown="?")
    return {
        "canonical, with ids": _score(project, "canonical", canonical),
        "uci, without ids": _score(project, "uci", uci),
        "version 2, canonical, without ids": _score(
            project, "version-2", as_csv(rows, NAMES), model_uri=f"models:/{MODEL}/2"
        ),
        "both codings in one": _score(
            project, "mixed", as_csv([*rows, *map(in_uci_coding, rows)], NAMES)
        ),
    }


def _with_faults(rows: list[Any], first: int) -> list[Any]:
    """Return rows of which some are not valid; `first` is the place of the first finding."""
    rows = [list(row) for row in rows]
    rows[4][first] = 987
    rows[9][first + NAMES.index("chol")] = "high"
    rows[9][first + NAMES.index("sex")] = 2
    rows[14][first + NAMES.index("thalach")] = None
    rows[19].append(1)
    return rows


def _score(project: Project, name: str, text: str, **parameters: object) -> dict[str, Any]:
    source, output = project.work / f"{name}.csv", project.work / f"{name}.parquet"
    source.write_text(text)
    done = project.step("score", input=source, output=output, **parameters)
    return {"command": done} | ({"answers": _scored(output)} if output.exists() else {})


def _scored(output: Path) -> dict[str, Any]:
    """Return each line's answer or its wrong columns, as either form of the output has them."""
    frame = pd.read_parquet(output)
    rejects = output.with_name(f"{output.name}.rejects.csv")
    problems = pd.Series(dtype=str)
    if "problem" in frame:
        frame["row"] = range(1, len(frame) + 1)
        problems = frame.set_index("row")["problem"].dropna()
        frame = frame[frame["problem"].isna()]
    elif rejects.is_file():  # release 0.1: a line for each wrong cell
        problems = (
            pd.read_csv(rejects, keep_default_na=False).groupby("row")["column"].agg(" ".join)
        )
    answers = frame.sort_values("row").rename(columns={"row": "line"})
    said = ["line", *(["id"] if "id" in frame else []), "probability", "prediction", "risk_level"]
    return {
        "model_version": sorted(set(frame["model_version"])),
        "columns": said,
        "lines": answers[said].astype(object).to_numpy().tolist(),
        "wrong": {
            str(line): [name for name in NAMES if re.search(rf"\b{name}\b", problem)]
            for line, problem in problems.items()
        },
    }
