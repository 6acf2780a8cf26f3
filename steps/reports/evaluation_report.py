"""The evaluation of a model as a page to read, and to print."""

from functools import partial
from typing import Any

from risk_model.card import content
from risk_model.card.wording import MODELS
from risk_model.metadata import Metadata
from steps.modelling.evaluation import Measured
from steps.reports import drawing, plots
from steps.reports.pages import render

Calibrations = dict[str, tuple[Any, dict[str, float]]]

LEADING = ("calibration", "decision_curve")
"""The pictures that are shown; the others are folded."""


def draw(
    about: dict[str, Any],
    cohorts: list[Measured],
    seed: int,
    calibrations: Calibrations | None = None,
) -> str:
    """Draw an evaluation as one self-contained page.

    `about` has `uri`, `source` and `metadata`, which may be empty; the first of `cohorts` matters
    most, and on its patients are the `calibrations`, as `evaluation.calibrations` finds them.
    """
    metadata, leading = about["metadata"], cohorts[0]
    with drawing.colours(on_page=True):
        shown = [_cohort(cohort, seed) for cohort in cohorts]
        compared = _calibrations(leading, calibrations, metadata) if calibrations else None
    return render(
        "evaluation.html.j2",
        title=f"Evaluation of a {MODELS.get(metadata.name or '', 'model')}",
        uri=about["uri"],
        source=about["source"],
        known=_identity(metadata),
        cohorts=shown,
        calibrations=compared,
        unknown=metadata.unknown,
        patterns=content.shown_patterns(metadata.as_dict()),
    )


def _identity(metadata: Metadata) -> str:
    """Return the training run and commit of a model, since an alias may move."""
    parts = (("Trained at", metadata.trained_at), ("in run", metadata.run_id),
             ("from commit", metadata.git and metadata.git.commit))  # fmt: skip
    return ", ".join(f"{word} {value}" for word, value in parts if value)


def _cohort(cohort: Measured, seed: int) -> dict[str, Any]:
    whose = cohort.summary["title"]
    pictures = [
        {
            "title": title,
            "svg": drawing.svg(f"{cohort.site}-{name}", f"{title}, {whose}", draw),
            "leads": name in LEADING,
        }
        for name, (title, draw) in plots.of_cohort(cohort, seed).items()
    ]
    return {"refitted": None, **cohort.summary, "notes": cohort.notes, "pictures": pictures}


def _calibrations(cohort: Measured, results: Calibrations, metadata: Metadata) -> dict[str, Any]:
    curves = {name: p for name, (p, _) in results.items()}
    draw_on = partial(plots.calibrations, y=cohort.y, probabilities=curves)
    picture = drawing.svg("calibrations", "Calibration curves, each calibration", draw_on)
    return {
        "picture": {"title": "Calibration curves", "svg": picture},
        "chosen": (metadata.parameters or {}).get("calibration", "none"),
        "metrics": {name: metrics for name, (_, metrics) in results.items()},
    }
