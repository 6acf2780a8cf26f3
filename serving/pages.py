"""The pages for a person: / with the form, /model with what is being served."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request, send_from_directory

from clinical.schema import FEATURES, LABEL, Feature
from serving.cache import PLOTS
from serving.errors import NotLoaded, Problem
from serving.following import Follows
from serving.health import readiness
from serving.keys import Keys
from serving.metrics import Metrics
from serving.model import Model
from serving.prediction import predict
from serving.schemas import Values

UNKNOWN = "unknown"
_TITLES = {feature.name: feature.title for feature in FEATURES}
_PLOT_TITLES = {
    "roc": "ROC curve",
    "precision_recall": "Precision and recall",
    "calibration": "Calibration",
    "confusion_matrix": "Confusion matrix",
    "permutation_importance": "Importance of the features",
}
_METRIC_TITLES = {
    "roc_auc": "ROC AUC",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "sensitivity": "Sensitivity",
    "recall": "Sensitivity (recall)",
    "specificity": "Specificity",
    "precision": "Precision",
    "f1": "F1",
    "brier": "Brier score",
    "log_loss": "Log-loss",
    "average_precision": "Average precision",
    "calibration_slope": "Calibration slope",
    "calibration_intercept": "Calibration intercept",
}


@dataclass(frozen=True, slots=True)
class Typed:
    """One field of the form as it was typed.

    Parameters
    ----------
    feature : Feature
    text : str
    error : str
        What is wrong with it; empty where nothing is.
    """

    feature: Feature
    text: str = ""
    error: str = ""

    @property
    def hint(self) -> str:
        """The range in words, as the form shows it."""
        return _range(self.feature)


def _range(feature: Feature) -> str:
    return f"{feature.low:g} to {feature.high:g} {feature.unit}".rstrip()


def read_form(form: Mapping[str, str]) -> tuple[list[Typed], Values]:
    """Return the fields as typed, with their errors, and the values (None where unknown)."""
    typed, values = [], []
    for feature in FEATURES:
        text = form.get(feature.name, "").strip()
        value, error = _read_field(feature, text)
        typed.append(Typed(feature, text, error))
        values.append(value)
    return typed, values


def _read_field(feature: Feature, text: str) -> tuple[float | None, str]:
    if text == UNKNOWN or not text:
        if feature.nullable and (text or not feature.codes):
            return None, ""
        return (
            None,
            "Please choose one." if feature.codes else f"Please fill this in: {_range(feature)}.",
        )
    try:
        value = float(text.replace(",", ".")) if len(text) <= 40 else math.nan
    except ValueError:
        value = math.nan
    if not feature.accepts(value):
        wanted = "one of the list" if feature.codes else f"a number from {_range(feature)}"
        return None, f"This must be {wanted}."
    return value, ""


def _groups(typed: list[Typed]) -> list[tuple[str, list[Typed]]]:
    order = list(dict.fromkeys(feature.group for feature in FEATURES))
    ordered = sorted(typed, key=lambda field: order.index(field.feature.group))
    return [(name, list(fields)) for name, fields in groupby(ordered, lambda f: f.feature.group)]


def metric_rows(metrics: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return title, value and interval of each metric of a model."""
    rows = []
    for name, value in metrics.items():
        if name.endswith(("_ci_low", "_ci_high")) or not isinstance(value, int | float):
            continue
        low, high = metrics.get(f"{name}_ci_low"), metrics.get(f"{name}_ci_high")
        interval = f"{low:.3f} to {high:.3f}" if low is not None and high is not None else ""
        title = _METRIC_TITLES.get(name, name.replace("_", " ").capitalize())
        rows.append((title, f"{value:.3f}" if isinstance(value, float) else str(value), interval))
    return rows


def _gate(model: Model) -> dict[str, str] | None:
    verdict = model.origin.tags.get("gate.verdict")
    if not verdict:
        return None
    return {"verdict": verdict, "reason": model.origin.tags.get("gate.reason", "")}


def _plots(model: Model) -> list[tuple[str, str]]:
    folder = Path(model.origin.directory) / PLOTS
    return [
        (name, title) for name, title in _PLOT_TITLES.items() if (folder / f"{name}.png").is_file()
    ]


def make_blueprint(following: Follows, metrics: Metrics, settings: Mapping[str, Any]) -> Blueprint:
    """Return the routes."""
    blueprint = Blueprint("pages", __name__)
    keys = Keys(settings["HEART_API_KEYS"])

    def show(typed: list[Typed], status: int = 200, **parts: Any) -> Response:
        page = render_template(
            "form.html",
            groups=_groups(typed),
            wrong=[field for field in typed if field.error],
            model=following.model,
            needs_key=bool(keys),
            unknown=UNKNOWN,
            **parts,
        )
        return make_response(page, status)

    @blueprint.get("/")
    def form() -> Response:
        return show([Typed(feature) for feature in FEATURES])

    @blueprint.post("/")
    def answer() -> Response:
        typed, values = read_form(request.form)
        if keys and not keys.accepts(request.form.get("key", "")):
            return show(typed, 403, failure="This API key is not valid.")
        if any(field.error for field in typed):
            return show(typed, 422)
        model = following.model
        if model is None:
            return show(typed, 503, failure=NotLoaded().detail)
        prediction = predict(model, values)
        metrics.predicted(prediction.label, model.origin.version)
        return show(
            typed, prediction=prediction, bands=_picture(model), titles=_TITLES, answered=model
        )

    @blueprint.get("/model")
    def card() -> Response:
        model = following.model
        status, ready = readiness(following)
        parts: dict[str, Any] = {"model": model, "ready": ready, "label": LABEL}
        if model is not None:
            parts |= {
                "facts": model.facts,
                "metrics": metric_rows(model.facts.get("metrics") or {}),
                "gate": _gate(model),
                "plots": _plots(model),
            }
        return make_response(render_template("model.html", **parts), status)

    @blueprint.get("/model/plots/<name>.png")
    def plot(name: str) -> Response:
        model = following.model
        if model is None or name not in _PLOT_TITLES:
            raise Problem(404, "There is no such plot.")
        return send_from_directory(Path(model.origin.directory) / PLOTS, f"{name}.png")

    return blueprint


def _picture(model: Model) -> list[dict[str, Any]]:
    """Return the bands of risk as parts of a bar of 100 units."""
    starts = [start for _, start in model.bands] + [1.0]
    return [
        {"level": level, "x": 100 * start, "width": 100 * (end - start)}
        for (level, start), end in zip(model.bands, starts[1:], strict=True)
    ]
