"""The evaluation as a page to read, and to print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from clinical.schema import FEATURES, LABEL
from risk_model import card_tables
from risk_model.wording import MEASURES, MODELS, READING, SYNTHETIC, between, percent
from steps.modelling import clinical_metrics
from steps.modelling.evaluation import Measured
from steps.modelling.metrics import Floats, Labels
from steps.reports import evaluation_plots, pages
from steps.reports.card import block_html
from steps.reports.evaluation_plots import ON_PAGE

Calibrations = Mapping[str, tuple[Floats, Mapping[str, float]]]

INTERVALS = "Intervals are 95 % bootstrap intervals."
TOO_FEW = '<span class="soft">too few</span>'
WARNING = (
    "Not for clinical use. What these figures mean for other patients than those measured, such as "
    "those of today, is not known."
)


def draw(
    about: Mapping[str, Any], cohorts: Sequence[Measured], calibrations: Calibrations | None = None
) -> str:
    """Draw an evaluation as one self-contained page.

    Parameters
    ----------
    about : mapping
        `uri`, and `facts`: model.json of the model, which may be empty.
    cohorts : sequence of Measured
        The one that matters most first.
    calibrations : mapping, optional
        What `evaluation.calibrations` found, with the labels of the cross-validated cohort.
    """
    facts = about["facts"]
    kind = MODELS.get(facts.get("name", ""), "model")
    parts = [
        f"<h1>Evaluation of a {kind}</h1>\n<p><b>{escape(about['uri'])}</b> "
        f'<span class="soft">{escape(LABEL.title)}: {escape(LABEL.definition)}.</span></p>\n',
        _which(facts),
        f"<p><b>{SYNTHETIC}</b></p>\n" * (about["source"] == "synthetic"),
        _tiles(cohorts[0]),
        f"<h2>All figures</h2>\n<p class='soft'>{INTERVALS} {READING}</p>\n{_figures(cohorts)}",
    ]
    with pages.drawing():
        parts += [_cohort(cohort) for cohort in cohorts]
        if calibrations:
            y = next(cohort.y for cohort in cohorts if cohort.site == "out_of_fold")
            parts.append(_calibrations(y, calibrations, facts))
    parts += [_bands(facts), _unknown(facts), f"<h2>Limits</h2>\n<p>{WARNING}</p>\n"]
    return pages.page(f"Evaluation of {about['uri']}", "".join(parts))


def _which(facts: Mapping[str, Any]) -> str:
    """Say which model it is: what an alias names today it may not name tomorrow."""
    told = (("trained at", facts.get("trained_at")), ("in run", facts.get("run_id")),
            ("from commit", (facts.get("git") or {}).get("commit")))  # fmt: skip
    words = ", ".join(f"{word} {value}" for word, value in told if value)
    return f'<p class="soft">{escape(words[0].upper() + words[1:])}.</p>\n' if words else ""


def _tiles(cohort: Measured) -> str:
    found = cohort.found["metrics"]
    names = ("roc_auc", "brier", "calibration_slope", "sensitivity", "specificity")
    tiles = [("patients", f"{cohort.found['patients']:,}")]
    tiles += [(MEASURES[name], _cell(found, name)) for name in names if name in found]
    return f"<p>{escape(cohort.found['title'])}</p>\n{pages.tiles(tiles)}"


def _figures(cohorts: Sequence[Measured]) -> str:
    head = ["", *(escape(cohort.found["title"]) for cohort in cohorts)]
    counted = [
        ["patients", *(f"{cohort.found['patients']:,}" for cohort in cohorts)],
        ["with disease", *(pages.percent(cohort.found["prevalence"]) for cohort in cohorts)],
    ]
    measured = [
        [MEASURES[name], *(_cell(cohort.found["metrics"], name) for cohort in cohorts)]
        for name in clinical_metrics.NAMES
    ]
    return f'<div class="wide figures">{pages.table(head, [*counted, *measured])}</div>\n'


def _cell(found: Mapping[str, float], name: str) -> str:
    """Return a measure, its interval below it."""
    text = between(found, name, 3 if name in ("brier", "log_loss") else 2)
    value, _, rest = text.partition(" ")
    return f"{value}<br><small>{rest.strip('()')}</small>" if rest else value


def _cohort(cohort: Measured) -> str:
    found = cohort.found
    parts = [f"<h2>{escape(found['title'])}</h2>\n"]
    parts += [f"<p>{escape(note)}</p>\n" for note in [*cohort.notes, *_missing(found)]]
    if found["lopsided"]:
        parts.append(
            f"<p>{percent(found['prevalence'])} of these patients have the disease: whoever says "
            "so of everybody is nearly always right, so only ranking and calibration are "
            "measured.</p>\n"
        )
    shown = [
        _picture(cohort, name, title, draw)
        for name, (title, draw) in evaluation_plots.drawings(
            cohort.y, cohort.p, found["lopsided"]
        ).items()
    ]
    parts.append(f'<div class="pictures four">\n{"".join(shown)}</div>\n')
    if any(group["metrics"] for group in found.get("groups", [])):
        parts.append(_groups(cohort))
    return "".join(parts)


def _missing(found: Mapping[str, Any]) -> list[str]:
    """Return sentences on what a cohort lacks, and on the model without it."""
    if not found["missing"]:
        return []
    titles = {feature.name: feature.title for feature in FEATURES}
    shares = sorted(found["missing"].items(), key=lambda item: -item[1])
    listed = ", ".join(
        f"{titles[name]} {percent(share) if share >= 0.01 else 'under 1 %'}"
        for name, share in shares
    )
    sentences = [f"Unknown: {listed}."]
    if found.get("refitted"):
        again = found["refitted"]
        sentences.append(
            f"The same model fitted without {', '.join(again['without'])}, which are mostly "
            "unknown here: "
            + ", ".join(
                f"{MEASURES[name]} {between(again['metrics'], name, 2)}"
                for name in ("roc_auc", "brier", "calibration_slope", "calibration_intercept")
                if name in again["metrics"]
            )
            + "."
        )
    return sentences


def _picture(cohort: Measured, name: str, title: str, draw: evaluation_plots.Draw) -> str:
    figure, axes = pages.canvas(3.6, 2.7)
    draw(axes, ON_PAGE)
    pages.tidy(axes)
    key = f"{cohort.site}-{name}".replace("_", "-")
    svg = pages.svg(figure, key, f"{title}, {cohort.found['title']}")
    return f"<figure><figcaption>{title}</figcaption>{svg}</figure>\n"


def _groups(cohort: Measured) -> str:
    names = ("roc_auc", "brier", "sensitivity", "specificity", "calibration_slope")
    rows = [
        [
            escape(group["group"]),
            f"{group['patients']:,}",
            f"{group['diseased']:,}",
            *(_cell(group["metrics"], name) if group["metrics"] else TOO_FEW for name in names),
        ]
        for group in cohort.found["groups"]
    ]
    head = ["group", "patients", "diseased", *(MEASURES[name] for name in names)]
    everyone = {
        "group": "all",
        "patients": cohort.found["patients"],
        "metrics": cohort.found["metrics"],
    }
    pictures = "".join(_forest(cohort, [everyone, *cohort.found["groups"]], n) for n in names[:3:2])
    return (
        f'<div class="wide figures">{pages.table(head, rows)}</div>\n'
        f'<p class="soft">Nothing is said of a group with fewer '
        f"than {clinical_metrics.SMALLEST_GROUP} patients of either outcome.</p>\n"
        f'<div class="pictures">\n{pictures}</div>\n'
    )


def _forest(cohort: Measured, rows: Sequence[dict[str, Any]], name: str) -> str:
    figure, axes = pages.canvas(3.6, 2.4)
    evaluation_plots.forest(axes, ON_PAGE, rows, name)
    pages.tidy(axes)
    title = f"{MEASURES[name]} by group"
    key = f"{cohort.site}-groups-{name}".replace("_", "-")
    svg = pages.svg(figure, key, f"{title}, {cohort.found['title']}")
    return f"<figure><figcaption>{title}</figcaption>{svg}</figure>\n"


def _calibrations(y: Labels, found: Calibrations, facts: Mapping[str, Any]) -> str:
    names = ("roc_auc", "brier", "log_loss", "calibration_slope", "calibration_intercept")
    chosen = facts["parameters"].get("calibration", "none")
    rows = [
        [
            f"<b>{name}</b> (this model)" if name == chosen else name,
            *(_cell(m, n) for n in names),
        ]
        for name, (_, m) in found.items()
    ]
    head = ["calibration", *(MEASURES[name] for name in names)]
    figure, axes = pages.canvas(3.6, 2.7)
    evaluation_plots.several(axes, ON_PAGE, y, {name: p for name, (p, _) in found.items()})
    pages.tidy(axes)
    svg = pages.svg(figure, "calibrations", "Calibration of each calibration")
    return (
        "<h2>What calibration does</h2>\n<p>The same model with each calibration on offer, "
        f"cross-validated on all {len(y)} patients.</p>\n"
        f'<div class="wide figures">{pages.table(head, rows)}</div>\n'
        f'<div class="pictures">\n<figure>{svg}</figure>\n</div>\n'
    )


def _bands(facts: Mapping[str, Any]) -> str:
    """Return what the model card says of the risk bands, where the model has one."""
    if not any(band.get("observed") for band in facts.get("risk_bands", [])):
        return ""
    blocks = card_tables.bands(facts)
    return "<h2>Risk bands</h2>\n" + "".join(map(block_html, blocks))


def _unknown(facts: Mapping[str, Any]) -> str:
    blocks = card_tables.unknown_findings(facts)
    return "<h2>Unknown findings</h2>\n" + "".join(map(block_html, blocks)) if blocks else ""
