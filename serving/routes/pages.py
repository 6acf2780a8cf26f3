"""The pages for a person: / with the form, /model with what is being served."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request, send_from_directory
from jinja2 import TemplateError
from markupsafe import Markup, escape

from clinical.schema import FEATURES, LABEL
from risk_model.card import rendering, wording
from risk_model.layout import CARD
from risk_model.metadata import Metadata
from risk_model.model import Model
from serving.errors import NotLoaded, Problem
from serving.following.cache import PLOTS, decision_path
from serving.following.worker import Follows
from serving.http import bodies
from serving.http.gevent_support import BackgroundThread
from serving.http.keys import Keys
from serving.http.metrics import Metrics
from serving.predictions.explanation import explain
from serving.predictions.prediction import predict
from serving.predictions.recorder import Recorder
from serving.predictions.schemas import Values
from serving.routes import result
from serving.routes.form import Typed, in_columns, read_form
from serving.routes.health import readiness

_TITLES = {feature.name: feature.inline for feature in FEATURES}
_PLOT_TITLES = {
    "roc": "ROC curve",
    "precision_recall": "Precision and recall",
    "calibration": "Calibration",
    "confusion_matrix": "Confusion matrix",
    "permutation_importance": "Importance of the features",
}


def make_blueprint(
    following: Follows,
    metrics: Metrics,
    settings: Mapping[str, Any],
    background: BackgroundThread,
    recorder: Recorder,
) -> Blueprint:
    """Return the routes."""
    blueprint = Blueprint(
        "pages", __name__, static_folder=rendering.STATIC, static_url_path="/static/card"
    )
    blueprint.add_app_template_filter(_commands, "commands")
    keys = Keys(settings["HEART_API_KEYS"])

    def show(typed: list[Typed], status: int = 200, **parts: Any) -> Response:
        model = parts.get("answered") or following.model
        page = render_template(
            "form.html",
            columns=in_columns(typed),
            wrong=[field for field in typed if field.error],
            model=model,
            needs_key=bool(keys),
            ready=None if model else readiness(following, recorder)[1].get("detail"),
            **parts,
        )
        return make_response(page, status)

    @blueprint.get("/")
    def form() -> Response:
        return show([Typed(feature) for feature in FEATURES])

    @blueprint.post("/")
    def estimate() -> Response:
        fields = bodies.read_form(request, settings["HEART_BODY_SECONDS"])
        typed, values = read_form(fields)
        if keys and not keys.accepts(fields.get("key", "")):
            return show(typed, 403, failure="This API key is not valid.")
        if any(field.error for field in typed):
            return show(typed, 422)
        model = following.model
        if model is None:
            return show(typed, 503, failure=NotLoaded().detail)
        answer = _answer(model, values, background)
        metrics.predicted(answer["prediction"].label, model.origin.version)
        answer["prediction_id"] = recorder.take(
            request.environ, model, values, answer["prediction"]
        )
        return show(typed, answered=model, **answer)

    @blueprint.get("/model")
    def show_model() -> Response:
        model = following.model
        status, ready = readiness(following, recorder)
        parts: dict[str, Any] = {"model": model, "ready": ready, "label": LABEL}
        if model is not None:
            parts |= _card(model) | {"gate": _gate(model), "plots": _plots(model)}
        return make_response(render_template("model.html", **parts), status)

    @blueprint.get("/model/card.md")
    def card_file() -> Response:
        model = following.model
        if model is None or not _carries_card(model):
            raise Problem(404, "The model that is served carries no card.")
        name = f"{model.origin.version}-card.md"
        return send_from_directory(
            model.origin.directory, CARD, mimetype="text/markdown",
            as_attachment=True, download_name=name, max_age=0,
        )  # fmt: skip

    @blueprint.get("/model/plots/<name>.png")
    def plot(name: str) -> Response:
        model = following.model
        if model is None or name not in _PLOT_TITLES:
            raise Problem(404, "There is no such plot.")
        return send_from_directory(Path(model.origin.directory) / PLOTS, f"{name}.png")

    return blueprint


def _commands(text: str) -> Markup:
    """Return a message as HTML, with the commands that stand in backticks marked as such."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704


def _answer(model: Model, values: Values, background: BackgroundThread) -> dict[str, Any]:
    """Return what the page shows of an answer."""
    prediction = predict(model, values)
    parts: dict[str, Any] = {
        "prediction": prediction,
        "percent": result.percent(model, prediction.probability),
        "cautions": result.cautions(prediction.warnings),
        "bands": result.bands(model),
        "observed": result.observed(model, prediction),
        "titles": _TITLES,
        "population": wording.population(model.metadata),
        "why_low": wording.why_low(model.metadata),
    }
    explanation = None
    with contextlib.suppress(Problem):  # too many at once: the answer comes without it
        explanation = background(lambda: explain(model, values, prediction), request.environ)
    if explanation is not None:
        moved, unmoved = result.moves(explanation, values)
        parts |= {"explanation": explanation, "moves": moved, "unmoved": unmoved}
    return parts


def _card(model: Model) -> dict[str, Any]:
    """Return the model card, as far as the model carries what it is made of."""
    try:
        shown = rendering.as_fragment(model.metadata, 2)
        lacking = rendering.lacking(model.metadata)
    except (KeyError, TypeError, ValueError, TemplateError):  # another project, which knew less
        nothing = Metadata()
        shown, lacking = rendering.as_fragment(nothing, 2), rendering.lacking(nothing)
    title = rendering.title(model.metadata)
    return {"title": title, "card": shown, "lacking": lacking, "has_file": _carries_card(model)}


def _carries_card(model: Model) -> bool:
    return Path(model.origin.directory, CARD).is_file()


def _gate(model: Model) -> dict[str, Any] | None:
    """Return the gate's verdict: its words, and its rules with both models' figures."""
    tags, kept = model.origin.tags, decision_path(model.origin)
    if not tags.get("gate.verdict"):
        return None
    try:
        # Until release 0.2 a tag of the version held it.
        text = kept.read_text() if kept else tags.get("gate.decision", "{}")
        rules = json.loads(text).get("rules", [])
    except (AttributeError, OSError, ValueError, RecursionError):
        rules = []
    return {
        "verdict": tags["gate.verdict"],
        "reason": tags.get("gate.reason", ""),
        "against": tags.get("gate.against", ""),
        "rules": rules if isinstance(rules, list) else [],
    }


def _plots(model: Model) -> list[tuple[str, str]]:
    folder = Path(model.origin.directory) / PLOTS
    return [
        (name, title) for name, title in _PLOT_TITLES.items() if (folder / f"{name}.png").is_file()
    ]
