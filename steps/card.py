"""The model card: what a model is, for whom, how good, and where it must not be trusted.

Made from the facts of one model and from nothing else, as HTML and as Markdown; after Mitchell et
al.: Model cards for model reporting (2019), https://doi.org/10.1145/3287560.3287596.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from clinical.schema import FEATURES, LABEL
from steps import pages

Facts = Mapping[str, Any]

TITLES = {
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "brier": "Brier score",
    "log_loss": "log-loss",
    "accuracy": "accuracy",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
    "sensitivity": "sensitivity at 0.5",
    "specificity": "specificity at 0.5",
    "net_benefit_10": "net benefit at 10 %",
    "net_benefit_20": "net benefit at 20 %",
    "net_benefit_30": "net benefit at 30 %",
    "net_benefit_50": "net benefit at 50 %",
}
MODELS = {
    "random_forest": "random forest",
    "extra_trees": "extremely randomised trees",
    "logistic_regression": "logistic regression",
    "hist_gradient_boosting": "histogram gradient boosting",
}
UCI = (
    "303 patients of the Cleveland Clinic Foundation, referred for coronary angiography, 1981 to "
    "1984 (UCI Heart Disease, doi 10.24432/C52P4X, licence CC BY 4.0)."
)
SYNTHETIC = (
    "SYNTHETIC patients, drawn from figures that resemble the Cleveland cohort. No real patient "
    "was seen: this model is a demonstration, and its figures say nothing about patients."
)
FILE = (
    "A file that its user supplied. Where it came from, and under which licence, is for that user "
    "to say."
)
FOR = (
    "Teaching, and trying out how such a model is built, judged and served.",
    "Reading its estimates as those for patients like the ones it learnt from: adults of the 1980s "
    "whom a physician had referred for coronary angiography, with all 13 findings at hand.",
)
NOT_FOR = (
    "Treating anybody, or deciding who is examined: it is no medical device, and nobody has "
    "approved it.",
    "Screening of healthy people: it knows only patients who were already suspected to be ill.",
    "Future risk: it says what an angiogram would show now, not what will happen.",
    "Patients of today, other countries or other tests without checking it on them first.",
)


@dataclass(frozen=True)
class Table:
    """A table with a line of text that says what it shows."""

    about: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    items: Sequence[str]


Block = str | Table | Points


def sections(facts: Facts) -> dict[str, list[Block]]:
    """Return the card's text by heading."""
    return {
        "What it is": _what(facts),
        "What it is for": [Points(FOR)],
        "What it is not for": [Points(NOT_FOR)],
        "Patients": _patients(facts),
        "Performance": _performance(facts),
        "Groups of patients": _groups(facts),
        "Other hospitals": _elsewhere(facts),
        "Risk bands": _bands(facts),
        "What moves its answers": _importance(facts),
        "Limits": [Points(_limits(facts))],
        "Contact": [_contact(facts)],
    }


def title(facts: Facts) -> str:
    """Return the card's title."""
    return f"Model card: {MODELS.get(facts['name'], facts['name'])} for {LABEL.title.lower()}"


def _what(facts: Facts) -> list[Block]:
    parameters = facts["parameters"]
    calibration = parameters.get("calibration", "none")
    how = (
        "as the estimator gives them"
        if calibration == "none"
        else f"after {calibration} calibration"
    )
    # What the user cannot tell, such as a path of the machine, has no place on a card.
    told = {k: v for k, v in parameters.items() if k not in ("data", "model", "calibration")}
    settings = ", ".join(f"{name} {value}" for name, value in told.items())
    return [
        f"It estimates the probability of {LABEL.title.lower()} from 13 findings of a patient. The "
        f"label: {facts['label']}.",
        f"A {MODELS.get(facts['name'], facts['name'])}, probabilities {how}; {settings}. Trained "
        f"at {facts['trained_at']} in run {facts['run_id']}, {_code(facts)}.",
    ]


def _code(facts: Facts) -> str:
    git = facts["git"]
    changed = " with changes that were not committed" if git["dirty"] else ""
    return (
        f"from commit {git['commit']}{changed}"
        if git["commit"]
        else "from sources without a commit"
    )


def _patients(facts: Facts) -> list[Block]:
    data, rows = facts["data"], facts["data"]["rows"]
    about = {"uci": UCI, "synthetic": SYNTHETIC}.get(data["source"], FILE)
    return [
        about,
        f"{rows['train']} patients to learn from and {rows['test']} held out; "
        f"{data['prevalence']:.0%} of all have the disease. SHA-256 of the prepared data: "
        f"{data['digest']}.",
        "An unknown value is replaced by a typical one of the training patients (median or most "
        "frequent).",
    ]


def _performance(facts: Facts) -> list[Block]:
    unseen, held_out = facts["out_of_fold"], facts["metrics"]
    rows = [
        (TITLES[name], between(unseen["metrics"], name), between(held_out, name))
        for name in TITLES
        if name in unseen["metrics"] or name in held_out
    ]
    missing = facts["unknown"]
    names = " and ".join(_named(name) for name in missing["without"])
    return [
        Table(
            "With 95 % bootstrap intervals. Cross-validated: all patients, each judged by a model "
            "that has not seen them (10 folds). Held out: this very model on the patients held "
            "out.",
            (
                "measure",
                f"cross-validated ({unseen['patients']})",
                f"held out ({facts['data']['rows']['test']})",
            ),
            rows,
        ),
        f"While {names} are unknown, its ROC AUC is {missing['roc_auc']:.2f} "
        f"({missing['ci_low']:.2f} to {missing['ci_high']:.2f}).",
    ]


def _named(name: str) -> str:
    feature = next(feature for feature in FEATURES if feature.name == name)
    return f"{feature.title.lower()} ({name})"


def _groups(facts: Facts) -> list[Block]:
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
        Table(about, ("group", "patients", "diseased", *(TITLES[name] for name in names)), rows)
    ]


def _elsewhere(facts: Facts) -> list[Block]:
    if not facts["elsewhere"]:
        return ["Not tried on patients of any other hospital."]
    rows = [
        (
            site["title"],
            str(site["patients"]),
            f"{site['prevalence']:.0%}",
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
            "As it is, with typical values in place of what these hospitals did not record. Where "
            "nearly everybody is ill, only ranking and calibration are shown.",
            (
                "hospital", "patients", "diseased", "mostly unknown", "ROC AUC",
                "calibration slope", "sensitivity", "specificity",
            ),
            rows,
        )
    ]  # fmt: skip


def _bands(facts: Facts) -> list[Block]:
    bands = facts["risk_bands"]
    ends = [*(band["from"] for band in bands[1:]), 1.0]
    rows = []
    for band, end in zip(bands, ends, strict=True):
        seen = band["observed"]
        share = f"{seen['diseased'] / seen['patients']:.0%}" if seen["patients"] else "-"
        rows.append(
            (
                band["level"],
                f"{band['from']:.0%} to {end:.0%}",
                str(seen["patients"]),
                f"{share} ({seen['low']:.0%} to {seen['high']:.0%})",
            )
        )
    about = (
        "How many of the cross-validated patients fell into each band, and how many of them had "
        "the disease."
    )
    return [Table(about, ("risk", "probability", "patients", "had the disease"), rows)]


def _importance(facts: Facts) -> list[Block]:
    moved = sorted(facts["importance"].items(), key=lambda item: -item[1])
    titles = {feature.name: feature.title for feature in FEATURES}
    about = (
        "By how much each finding moves the probability away from that of the reference patient "
        f"({facts['reference']['probability']:.0%}), on average over the held-out patients, in "
        "percentage points. The reference has a typical value of each finding, and is nobody in "
        "particular."
    )
    return [
        Table(
            about,
            ("finding", "points"),
            [(titles[name], f"{100 * value:.1f}") for name, value in moved],
        )
    ]


def _limits(facts: Facts) -> list[str]:
    found = [
        "Few patients: intervals are wide, and differences between models of this kind are within "
        "noise.",
        "One hospital, forty years ago; treatment, tests and patients have changed since.",
        "Fewer women than men, so that less is known about how well it does for women.",
        "Every patient had an angiogram: those who were never referred are not represented.",
    ]
    slope = facts["out_of_fold"]["metrics"]["calibration_slope"]
    if not 0.8 <= slope <= 1.25:
        kind = "too extreme" if slope < 1 else "too timid"
        found.append(f"Its probabilities are {kind} (calibration slope {slope:.2f}).")
    if facts["data"]["source"] == "synthetic":
        found.insert(0, SYNTHETIC)
    return found


def _contact(facts: Facts) -> str:
    where = facts.get("repository")
    place = f"the repository {where}" if where else "the repository that it was trained from"
    return f"Questions and errors: the issues of {place}, {_code(facts)}."


def between(found: Mapping[str, float], name: str, digits: int = 3) -> str:
    """Return a measure with its interval, a dash where it was not taken."""
    if name not in found:
        return "-"
    if not math.isfinite(found[name]):
        return "undefined"
    low, high = found[f"{name}_ci_low"], found[f"{name}_ci_high"]
    return f"{found[name]:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def as_markdown(facts: Facts) -> str:
    """Return the card as Markdown."""
    parts = [f"# {title(facts)}"]
    for heading, blocks in sections(facts).items():
        parts += [f"## {heading}", *(_markdown(block) for block in blocks)]
    return "\n\n".join(parts) + "\n"


def _markdown(block: Block) -> str:
    if isinstance(block, Points):
        return "\n".join(f"- {item}" for item in block.items)
    if isinstance(block, Table):
        lines = [block.head, ["---"] * len(block.head), *block.rows]
        return "\n".join([block.about, "", *(f"| {' | '.join(line)} |" for line in lines)])
    return block


def as_html(facts: Facts) -> str:
    """Return the card as one self-contained page."""
    parts = [f"<h1>{escape(title(facts))}</h1>\n"]
    for heading, blocks in sections(facts).items():
        parts += [f"<h2>{escape(heading)}</h2>\n", *(_html(block) for block in blocks)]
    return pages.page(title(facts), "".join(parts))


def _html(block: Block) -> str:
    if isinstance(block, Points):
        return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in block.items) + "</ul>\n"
    if isinstance(block, Table):
        rows = [[escape(cell) for cell in row] for row in block.rows]
        table = pages.table([escape(cell) for cell in block.head], rows)
        return (
            f'<p class="soft">{escape(block.about)}</p>\n<div class="wide figures">{table}</div>\n'
        )
    return f"<p>{escape(block)}</p>\n"
