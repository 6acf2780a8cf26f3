"""The tables of the model card: performance, groups, hospitals, risk bands, importance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clinical.schema import FEATURES
from risk_model import patterns
from risk_model.blocks import Block, Table
from risk_model.wording import MEASURES, READING, between, percent

Facts = Mapping[str, Any]

SHOWN = (
    (), *((name,) for name in patterns.NAMES), ("ca", "thal"), ("slope", "ca", "thal"),
    ("chol", "fbs", "ca"), patterns.NAMES,
)  # fmt: skip
"""The patterns of unknown findings that a card shows."""


def performance(facts: Facts) -> list[Block]:
    """Return how good a model is, cross-validated and on its held-out patients."""
    held_out = _with_sensitivity(facts["metrics"])
    columns = {f"held out ({facts['data']['rows']['test']})": held_out}
    if unseen := facts.get("out_of_fold"):
        columns = {f"cross-validated ({unseen['patients']})": unseen["metrics"], **columns}
    rows = [
        (MEASURES[name], *(between(found, name) for found in columns.values()))
        for name in MEASURES
        if any(name in found for found in columns.values())
    ]
    about = (
        "With 95 % bootstrap intervals. Cross-validated: all patients, each judged by a model that "
        "has not seen them (10 folds). Held out: this very model on the patients held out."
    )
    table = Table(about, ("measure", *columns), rows)
    return [table, READING, *unknown_findings(facts)]


def _with_sensitivity(held_out: Mapping[str, float]) -> dict[str, float]:
    """Call the recall of the ill by the name that clinicians use."""
    renamed = {
        name.replace("recall", "sensitivity"): value
        for name, value in held_out.items()
        if name.startswith("recall")
    }
    return {**held_out, **renamed}


def unknown_findings(facts: Facts) -> list[Block]:
    """Return how good a model is while findings are unknown; nothing where nobody measured it."""
    if not facts.get("unknown_patterns"):
        return [_late_values(facts)] if facts.get("unknown") else []
    names = ("roc_auc", "brier", "observed_expected", "calibration_intercept", "sensitivity")
    found = {tuple(pattern["unknown"]): pattern for pattern in facts["unknown_patterns"]}
    rows = [
        (
            ", ".join(unknown) or "none",
            str(found[unknown]["patients"]),
            *(between(found[unknown]["metrics"], name, 2) for name in names),
            *(_observed_rate(band["observed"]) for band in found[unknown]["risk_bands"]),
        )
        for unknown in SHOWN
        if unknown in found
    ]
    about = (
        "While findings are unknown, cross-validated on patients who know the others, with 95 % "
        "intervals; for each risk band how many had the disease. Slope, ca and thal are what "
        "Hungary and Long Beach mostly lack; chol, fbs and ca what Switzerland does."
    )
    bands = (band["level"] for band in facts["risk_bands"])
    head = ("unknown", "patients", *(MEASURES[name] for name in names), *bands)
    return [Table(about, head, rows)]


def _late_values(facts: Facts) -> str:
    """Say how well a model of format 1 does without what comes late."""
    missing = facts["unknown"]
    names = " and ".join(_named(name) for name in missing["without"])
    return (
        f"While {names} are unknown, its ROC AUC is {missing['roc_auc']:.2f} "
        f"({missing['ci_low']:.2f} to {missing['ci_high']:.2f}), cross-validated."
    )


def _named(name: str) -> str:
    feature = next(feature for feature in FEATURES if feature.name == name)
    return f"{feature.inline} ({name})"


def groups(facts: Facts) -> list[Block]:
    """Return how good it is for each sex and age."""
    names = ("roc_auc", "sensitivity", "specificity", "calibration_slope")
    rows = []
    for group in facts["out_of_fold"]["groups"]:
        cells = [
            between(group["metrics"], name, 2) if group["metrics"] else "too few" for name in names
        ]
        rows.append((group["group"], str(group["patients"]), str(group["diseased"]), *cells))
    about = (
        "Cross-validated, with 95 % intervals. Nothing is said of a group with fewer than 10 "
        "patients of either outcome."
    )
    return [
        Table(about, ("group", "patients", "diseased", *(MEASURES[name] for name in names)), rows)
    ]


def elsewhere(facts: Facts) -> list[Block]:
    """Return how good it is in other hospitals."""
    if not facts["elsewhere"]:
        return ["Not tried on patients of any other hospital."]
    rows = [
        (
            site["title"],
            str(site["patients"]),
            percent(site["prevalence"]),
            ", ".join(site["mostly_missing"]) or "none",
            *(
                between(site["metrics"], name, 2)
                for name in ("roc_auc", "calibration_slope", "sensitivity", "specificity")
            ),
        )
        for site in facts["elsewhere"]
    ]
    return [
        Table(
            "As it is served, calibrated for what these hospitals did not record. Where "
            "nearly everybody is ill, only ranking and calibration are shown.",
            (
                "hospital", "patients", "diseased", "mostly unknown", "ROC AUC",
                "calibration slope", "sensitivity", "specificity",
            ),
            rows,
        )
    ]  # fmt: skip


def bands(facts: Facts) -> list[Block]:
    """Return what each risk band has meant."""
    bands = facts["risk_bands"]
    ends = [*(band["from"] for band in bands[1:]), 1.0]
    rows = []
    for band, end in zip(bands, ends, strict=True):
        seen = band.get("observed") or {"patients": 0}
        rows.append(
            (
                band["level"],
                _span(band["from"], end),
                str(seen["patients"] or "-"),
                _observed_rate(seen),
            )
        )
    about = (
        "How many of the cross-validated patients fell into each band, and how many of them had "
        "the disease."
    )
    return [Table(about, ("risk", "probability", "patients", "had the disease"), rows)]


def _observed_rate(seen: Mapping[str, float]) -> str:
    """Return the share of a band's patients who had the disease, with its interval."""
    if not seen["patients"]:
        return "-"
    share = seen["diseased"] / seen["patients"]
    return f"{percent(share)} ({_span(seen['low'], seen['high'])})"


def _span(low: float, high: float) -> str:
    return f"{100 * low:.0f} to {percent(high)}"


def importance(facts: Facts) -> list[Block]:
    """Return by how much each finding moves its answers."""
    moved = sorted(facts["importance"].items(), key=lambda item: -item[1])
    titles = {feature.name: feature.title for feature in FEATURES}
    base = percent(facts["reference"]["probability"])
    about = (
        "By how much each finding moves the probability away from that of the reference patient "
        f"({base}), on average over the held-out patients, in percentage points. The "
        "reference has a typical value of each finding, and is nobody in particular."
    )
    return [
        Table(
            about,
            ("finding", "points"),
            [(titles[name], f"{100 * value:.1f}") for name, value in moved],
        )
    ]
