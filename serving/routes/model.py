"""/model: what is being served, with its card, plots and the gate's verdict."""

import json
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, make_response, render_template, send_from_directory
from jinja2 import TemplateError

from clinical.schema import LABEL
from risk_model.card import rendering
from risk_model.layout import CARD
from risk_model.metadata import Metadata
from risk_model.model import Model
from serving.errors import Problem
from serving.following.cache import PLOTS, decision_path
from serving.routes.health import readiness
from serving.routes.service import service

_PLOT_TITLES = {
    "roc": "ROC curve",
    "precision_recall": "Precision and recall",
    "calibration": "Calibration",
    "confusion_matrix": "Confusion matrix",
    "permutation_importance": "Importance of the features",
}
blueprint = Blueprint("model", __name__)


@blueprint.get("/model")
def show_model() -> Response:
    """Show the model, or what is wrong where there is none."""
    model = service.model
    status, ready = readiness()
    parts: dict[str, Any] = {"model": model, "ready": ready, "label": LABEL}
    if model is not None:
        parts |= _card(model) | {"gate": _gate(model), "plots": _plots(model)}
    return make_response(render_template("model.html", **parts), status)


@blueprint.get("/model/card.md")
def card_file() -> Response:
    """Send the card that the model carries."""
    model = service.model
    if model is None or not _carries_card(model):
        raise Problem(404, "The model that is served carries no card.")
    name = f"{model.origin.version}-card.md"
    return send_from_directory(
        model.origin.directory, CARD, mimetype="text/markdown",
        as_attachment=True, download_name=name, max_age=0,
    )  # fmt: skip


@blueprint.get("/model/plots/<name>.png")
def plot(name: str) -> Response:
    """Send one of the train run's plots."""
    model = service.model
    if model is None or name not in _PLOT_TITLES:
        raise Problem(404, "There is no such plot.")
    return send_from_directory(Path(model.origin.directory) / PLOTS, f"{name}.png")


def _card(model: Model) -> dict[str, Any]:
    """Return the model card, as far as the model has the metadata for it."""
    known, title = model.metadata, rendering.title(model.metadata)
    try:
        card = rendering.as_fragment(known)
    except (KeyError, TypeError, ValueError, TemplateError):  # another project, which knew less
        known = Metadata()
        card = rendering.as_fragment(known)
    lacking = rendering.lacking(known)
    return {"title": title, "card": card, "lacking": lacking, "has_file": _carries_card(model)}


def _carries_card(model: Model) -> bool:
    return Path(model.origin.directory, CARD).is_file()


def _gate(model: Model) -> dict[str, Any] | None:
    """Return the gate's verdict: its reason, and its rules with both models' figures."""
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
