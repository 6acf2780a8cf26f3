"""The model card: what a model is, for whom, how good, and where it must not be trusted.

Made from the facts of one model and from nothing else; after Mitchell et al.: Model cards for model
reporting (2019), https://doi.org/10.1145/3287560.3287596. Here is its text, as blocks that a page
or a file can show, and as Markdown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from clinical import blocks
from clinical.blocks import Block, Points, Table
from clinical.schema import FEATURES, LABEL
from clinical.wording import (
    FILE,
    FOR,
    MEASURES,
    MODELS,
    NOT_FOR,
    READING,
    SYNTHETIC,
    UCI,
    between,
    percent,
)

Facts = Mapping[str, Any]


def sections(facts: Facts) -> dict[str, list[Block]]:
    """Return the card's text by heading, as far as a model has facts for it."""
    return {heading: write(facts) for heading, needed, write in _SECTIONS if _has(facts, needed)}


def lacking(facts: Facts) -> list[str]:
    """Return the headings that a model has no facts for, such as one of an earlier release."""
    return [heading for heading, needed, _ in _SECTIONS if not _has(facts, needed)]


def _has(facts: Facts, needed: Sequence[str]) -> bool:
    return all(facts.get(name) is not None for name in needed)


def title(facts: Facts) -> str:
    """Return the card's title."""
    return f"Model card: {_kind(facts)} for {LABEL.title.lower()}"


def _kind(facts: Facts) -> str:
    return MODELS.get(facts.get("name", ""), str(facts.get("name", "a model")))


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
        f"A {_kind(facts)}, probabilities {how}; {settings}. Trained "
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
        f"{percent(data['prevalence'])} of all have the disease. SHA-256 of the prepared data: "
        f"{data['digest']}.",
        "An unknown value is replaced by a typical one of the training patients (median or most "
        "frequent).",
    ]


def _performance(facts: Facts) -> list[Block]:
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
    return [table, READING, *([late_values(facts)] if facts.get("unknown") else [])]


def _with_sensitivity(held_out: Mapping[str, float]) -> dict[str, float]:
    """Call the recall of the ill by the name that clinicians use."""
    renamed = {
        name.replace("recall", "sensitivity"): value
        for name, value in held_out.items()
        if name.startswith("recall")
    }
    return {**held_out, **renamed}


def late_values(facts: Facts) -> str:
    """Say how well a model does without what comes late, in the card's words."""
    missing = facts["unknown"]
    names = " and ".join(_named(name) for name in missing["without"])
    return (
        f"While {names} are unknown, its ROC AUC is {missing['roc_auc']:.2f} "
        f"({missing['ci_low']:.2f} to {missing['ci_high']:.2f}), cross-validated."
    )


def _named(name: str) -> str:
    feature = next(feature for feature in FEATURES if feature.name == name)
    return f"{feature.inline} ({name})"


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
        Table(about, ("group", "patients", "diseased", *(MEASURES[name] for name in names)), rows)
    ]


def _elsewhere(facts: Facts) -> list[Block]:
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
        seen = band.get("observed") or {"patients": 0}
        rows.append(
            (
                band["level"],
                f"{percent(band['from'])} to {percent(end)}",
                str(seen["patients"] or "-"),
                observed_rate(seen) if seen["patients"] else "-",
            )
        )
    about = (
        "How many of the cross-validated patients fell into each band, and how many of them had "
        "the disease."
    )
    return [Table(about, ("risk", "probability", "patients", "had the disease"), rows)]


def observed_rate(seen: Mapping[str, float]) -> str:
    """Return the share of a band's patients who had the disease, with its interval."""
    share = seen["diseased"] / seen["patients"]
    return f"{percent(share)} ({percent(seen['low'])} to {percent(seen['high'])})"


def _importance(facts: Facts) -> list[Block]:
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


def _limits(facts: Facts) -> list[str]:
    found = [
        "Few patients: intervals are wide, and differences between models of this kind are within "
        "noise.",
        "One hospital, forty years ago; treatment, tests and patients have changed since.",
        "Fewer women than men, so that less is known about how well it does for women.",
        "Every patient had an angiogram: those who were never referred are not represented.",
    ]
    if facts["data"]["source"] not in ("uci", "synthetic"):
        found = ["What holds for the patients of its file is for those to say who know them."]
    slope = ((facts.get("out_of_fold") or {}).get("metrics") or {}).get("calibration_slope")
    if slope is not None and not 0.8 <= slope <= 1.25:
        kind = "too extreme" if slope < 1 else "too timid"
        found.append(f"Its probabilities are {kind} (calibration slope {slope:.2f}).")
    if facts["data"]["source"] == "synthetic":
        found.insert(0, SYNTHETIC)
    return found


def _contact(facts: Facts) -> str:
    where = facts.get("repository")
    place = f"the repository {where}" if where else "the repository that it was trained from"
    return f"Questions and errors: the issues of {place}, {_code(facts)}."


def as_markdown(facts: Facts) -> str:
    """Return the card as Markdown."""
    parts = [f"# {title(facts)}"]
    for heading, content in sections(facts).items():
        parts += [f"## {heading}", *map(blocks.as_markdown, content)]
    return "\n\n".join(parts) + "\n"


_SECTIONS: tuple[tuple[str, tuple[str, ...], Callable[[Facts], list[Block]]], ...] = (
    ("What it is", ("name", "parameters", "label", "trained_at", "git"), _what),
    ("What it is for", (), lambda _: [Points(FOR)]),
    ("What it is not for", (), lambda _: [Points(NOT_FOR)]),
    ("Patients", ("data",), _patients),
    ("Performance", ("metrics", "data"), _performance),
    ("Groups of patients", ("out_of_fold",), _groups),
    ("Other hospitals", ("elsewhere",), _elsewhere),
    ("Risk bands", ("risk_bands",), _bands),
    ("What moves its answers", ("importance", "reference"), _importance),
    ("Limits", ("data",), lambda facts: [Points(_limits(facts))]),
    ("Contact", ("git",), lambda facts: [_contact(facts)]),
)
