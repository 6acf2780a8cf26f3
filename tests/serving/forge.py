"""Models for the tests: small, quick, and in format 1 as release 0.1 registered them.

Format 1 is written from the contract of the artifact, not with the project's code, which does not
write it any more: versions in it must be served as long as somebody has them.
"""

import hashlib
import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from clinical.schema import FEATURE_NAMES, FEATURES, LABEL
from risk_model.engines import Scores
from risk_model.metadata import Metadata
from risk_model.model import Model
from risk_model.serialization import REVIEWED_TYPES

Rows = npt.NDArray[np.float64]
NOMINAL = [i for i, feature in enumerate(FEATURES) if feature.nominal]
OTHERS = [i for i, feature in enumerate(FEATURES) if not feature.nominal]


class Engine:
    """An engine that answers as a test wants."""

    name, dtype = "made up", np.float64

    def __init__(self, probability: Callable[[Rows], Rows], label: Any = None) -> None:
        self._probability, self._label = probability, label

    def score(self, rows: Rows) -> Scores:
        p = self._probability(rows)
        labels = (p > 0.5) if self._label is None else self._label(p)
        return Scores(np.asarray(labels, np.int64), p)

    def score_one(self, values: Any) -> tuple[int, float]:
        labels, p = self.score(np.array([values]))
        return int(labels[0]), float(p[0])


def patients(count: int, seed: int = 0, unknown: float = 0.05) -> Rows:
    """Return made-up patients inside the allowed ranges; some nullable cells are NaN."""
    random = np.random.default_rng(seed)
    columns = []
    for feature in FEATURES:
        if feature.codes:
            column = random.choice(list(feature.codes), count).astype(float)
        else:
            middle = (feature.low + feature.high) / 2
            column = random.normal(middle, (feature.high - feature.low) / 8, count)
            column = np.clip(column, feature.low, feature.high).round(1)
        if feature.nullable:
            column[random.random(count) < unknown] = np.nan
        columns.append(column)
    return np.column_stack(columns)


def labels(rows: Rows, seed: int = 0) -> npt.NDArray[np.int64]:
    """Return labels that depend on the rows, so that there is something to learn."""
    known = np.nan_to_num(rows, nan=1.0)
    by = {name: known[:, i] for i, name in enumerate(FEATURE_NAMES)}
    z = 1.2 * by["exang"] + 0.8 * by["ca"] - 0.5 * by["cp"] + 0.7 * (by["thal"] == 3)
    noise = np.random.default_rng(seed + 1).normal(0, 0.5, len(z))
    return (z + noise > np.median(z)).astype(np.int64)


def framed(rows: Rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(FEATURE_NAMES))


def fit(kind: str = "forest", seed: int = 0) -> Any:
    """Return a fitted and calibrated pipeline of one of the kinds forest, logistic, boosting."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    nominal = make_pipeline(
        SimpleImputer(strategy="most_frequent", keep_empty_features=True),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    others = SimpleImputer(strategy="median", keep_empty_features=True)
    columns = ColumnTransformer([("others", others, OTHERS), ("nominal", nominal, NOMINAL)])
    estimator = {
        "forest": RandomForestClassifier(100, max_depth=5, random_state=seed),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
        "boosting": HistGradientBoostingClassifier(max_iter=20, random_state=seed),
    }[kind]
    made = patients(300, seed)
    calibrated = CalibratedClassifierCV(estimator, method="sigmoid", cv=3, ensemble=False)
    return make_pipeline(columns, calibrated).fit(framed(made), labels(made, seed))


def probabilities(pipeline: Any, rows: Rows) -> npt.NDArray[np.float64]:
    return np.asarray(pipeline.predict_proba(framed(rows))[:, 1], dtype=np.float64)


def to_onnx(pipeline: Any) -> bytes:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    model = convert_sklearn(
        pipeline,
        initial_types=[("patients", FloatTensorType([None, len(FEATURES)]))],
        options={"zipmap": False},
        target_opset={"": 21, "ai.onnx.ml": 3},
    )
    return bytes(model.SerializeToString())


def facts(source: str = "uci", **more: Any) -> dict[str, Any]:
    """Return what model.json says."""
    seen: dict[str, Any] = {}
    for feature in FEATURES:
        if feature.codes:
            seen[feature.name] = {"codes": list(feature.codes), "fill": 1}
        else:
            quarter = (feature.high - feature.low) / 4
            low, high = feature.low + quarter, feature.high - quarter
            seen[feature.name] = {"low": low, "high": high, "fill": (low + high) / 2}
    return {
        "name": "random_forest",
        "trained_at": "2026-01-02T03:04:05+00:00",
        "run_id": "0" * 32,
        "data": {
            "source": source,
            "digest": "d" * 64,
            "rows": {"train": 242, "test": 61},
            "prevalence": 0.459,
        },
        "label": LABEL.definition,
        "parameters": {"n_estimators": 100},
        "metrics": {"roc_auc": 0.904, "roc_auc_ci_low": 0.85, "roc_auc_ci_high": 0.95},
        "seen": seen,
        "risk_bands": [
            {"level": "Low", "from": 0.0},
            {"level": "Moderate", "from": 0.3},
            {"level": "High", "from": 0.7},
        ],
        "git": {"commit": "c" * 40, "dirty": False},
        **more,
    }


def metadata(source: str = "uci", **more: Any) -> Metadata:
    """Return what model.json says, as it is read."""
    return Metadata.read(json.dumps(facts(source, **more)))


def knowing(model: Model | None, **more: Any) -> Model:
    """Return a model of which something else is known."""
    assert model is not None
    return of(model, model.metadata.as_dict() | more)


def of(model: Model, known: dict[str, Any]) -> Model:
    """Return a model of which nothing else is known."""
    return Model(model.engine, model.origin, Metadata.read(json.dumps(known)))


def measured(**values: float) -> dict[str, float]:
    """Return measures with an interval around each."""
    return {
        f"{name}{end}": round(value * share, 3)
        for name, value in values.items()
        for end, share in (("", 1), ("_ci_low", 0.95), ("_ci_high", 1.04))
    }


def reference(pipeline: Any) -> dict[str, Any]:
    """Return the patient that the pipeline makes of one of whom nothing is known."""
    columns = pipeline[0]
    filled = {
        **dict(zip(OTHERS, columns.named_transformers_["others"].statistics_, strict=True)),
        **dict(zip(NOMINAL, columns.named_transformers_["nominal"][0].statistics_, strict=True)),
    }
    values = {name: float(filled[i]) for i, name in enumerate(FEATURE_NAMES)}
    return {
        "values": values,
        "probability": float(probabilities(pipeline, np.array([list(values.values())]))[0]),
    }


def judged(pipeline: Any) -> dict[str, Any]:
    """Return what model.json says besides, since there are model cards and explanations."""
    areas = measured(roc_auc=0.9, brier=0.13, calibration_slope=1.05, sensitivity=0.8)
    seen = ((0.0, 130, 16, 0.08, 0.19), (0.3, 60, 26, 0.32, 0.56), (0.7, 113, 97, 0.78, 0.91))
    names = ("from", "patients", "diseased", "low", "high")
    bands = [dict(zip(names, row, strict=True)) for row in seen]
    return {
        "metrics": measured(roc_auc=0.904, recall=0.79) | {"cv_accuracy_mean": 0.8213},
        "out_of_fold": {
            "patients": 303, "diseased": 139, "metrics": areas,
            "groups": [
                {"group": "female", "patients": 97, "diseased": 25, "metrics": areas},
                {"group": "age 60 and over", "patients": 12, "diseased": 3, "metrics": None},
            ],
        },
        "unknown": {"without": ["ca", "thal"], "roc_auc": 0.86, "ci_low": 0.81, "ci_high": 0.9},
        "risk_bands": [
            {"level": level, "from": band.pop("from"), "observed": band}
            for level, band in zip(("Low", "Moderate", "High"), bands, strict=True)
        ],
        "reference": reference(pipeline),
        "importance": {name: round(0.01 * i, 3) for i, name in enumerate(FEATURE_NAMES)},
        "elsewhere": [
            {"title": "Another hospital", "patients": 200, "prevalence": 0.36,
             "diseased": 72, "mostly_missing": ["ca", "thal"], "metrics": measured(roc_auc=0.88)},
        ],
    }  # fmt: skip


def unknown_patterns(*patterns: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return what model.json says of some patterns of unknown findings: each another AUC."""
    return [
        {
            "unknown": list(names),
            "patients": 303 - len(names),
            "metrics": measured(roc_auc=0.91 - 0.02 * len(names), observed_expected=1.01),
            "risk_bands": [
                {"level": level, "from": start, "observed": {
                    "patients": 100 + len(names), "diseased": diseased, "low": 0.0, "high": 1.0}}
                for level, start, diseased in (("Low", 0.0, 15), ("Moderate", 0.3, 45),
                                               ("High", 0.7, 88))
            ],
        }
        for names in patterns
    ]  # fmt: skip


def references_of(pipeline: Any) -> dict[str, Any]:
    """Return made-up patients and their probabilities, as references.json holds them."""
    rows = patients(20, seed=99, unknown=0.3)
    inputs = [[None if math.isnan(v) else v for v in row] for row in rows.tolist()]
    return {"inputs": inputs, "probabilities": probabilities(pipeline, rows).tolist()}


def write_extras(folder: Path, pipeline: Any, *, twin: bool = True, **more: Any) -> list[Path]:
    """Write twin, references, facts and card of a pipeline into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    content = to_onnx(pipeline) if twin else None
    references = references_of(pipeline) | {
        "twin_sha256": hashlib.sha256(content).hexdigest() if content else None,
        "tolerance": 1e-5,
    }
    (folder / "references.json").write_text(json.dumps(references))
    known = facts(**{**judged(pipeline), **more})
    (folder / "model.json").write_text(json.dumps(known))
    (folder / "card.md").write_text("# Model card\n")
    if content:
        (folder / "twin.onnx").write_bytes(content)
    return sorted(folder.iterdir())


def save_local(folder: Path, pipeline: Any) -> Path:
    """Write a pickle and its digest, as the local file of last resort; return the folder."""
    content = pickle.dumps(pipeline)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.pkl").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    (folder / "model.pkl.sha256").write_text(f"{digest}  model.pkl\n")
    return folder


def save_format_2(folder: Path, pipeline: Any, *, onnx: bool = True, **more: Any) -> Path:
    """Write a model as `train` does now, in format 2, and return its folder."""
    from risk_model.flavours import saving
    from risk_model.metadata import References

    references = References.read(json.dumps(references_of(pipeline)))
    known = Metadata.of(facts(**{"format": 2, **judged(pipeline), **more}))
    content = to_onnx(pipeline) if onnx else None
    contents = saving.Contents(pipeline, content, known, references)
    saving.save_model(str(folder), contents, ["mlflow"])
    return folder


def log_run(
    uri: str, pipeline: Any, work: Path, *, twin: bool = True, plots: bool = True, **more: Any
) -> tuple[str, str]:
    """Log a train run with its model; return the run's id and the model's URI."""
    import mlflow
    from matplotlib.image import imsave
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    inputs = Schema([ColSpec(DataType.double, f.name, required=not f.nullable) for f in FEATURES])
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient(uri, uri)
    name = "Heart Disease Prediction"
    if client.get_experiment_by_name(name) is None:
        client.create_experiment(name, None if uri.startswith("http") else f"{work}/artifacts")
    experiment = client.get_experiment_by_name(name)
    with mlflow.start_run(
        experiment_id=experiment.experiment_id, tags={"heart.step": "train"}
    ) as run:
        files = write_extras(work / run.info.run_id, pipeline, twin=twin, **more)
        info = mlflow.sklearn.log_model(
            pipeline,
            name="random_forest_model",
            serialization_format="skops",
            skops_trusted_types=list(REVIEWED_TYPES),
            signature=ModelSignature(inputs=inputs, outputs=Schema([ColSpec(DataType.long)])),
            pip_requirements=["scikit-learn"],
            extra_files=[str(path) for path in files],
        )
        if plots:
            imsave(work / "roc.png", [[0.0]])
            mlflow.log_artifact(str(work / "roc.png"), "plots")
    return run.info.run_id, f"models:/{info.model_id}"


def register(
    uri: str, run: str, model: str, *, name: str = "heart-disease-model",
    champion: bool = True, tags: dict[str, str] | None = None,
) -> str:  # fmt: skip
    """Make a version of a logged model; return its number."""
    import mlflow

    client = mlflow.MlflowClient(uri, uri)
    if not client.search_registered_models(f"name='{name}'"):
        client.create_registered_model(name)
    given = {"gate.verdict": "passed", "gate.reason": "No champion yet.", **(tags or {})}
    version = client.create_model_version(name, model, run_id=run, model_id=model[8:], tags=given)
    if champion:
        client.set_registered_model_alias(name, "champion", version.version)
    return str(version.version)


def artifact_folder(uri: str, model: str) -> Path:
    """Return where a logged model's files are, for a test that damages them."""
    import mlflow

    found = mlflow.MlflowClient(uri, uri).get_logged_model(model.removeprefix("models:/"))
    return Path(found.artifact_location.removeprefix("file://"))
