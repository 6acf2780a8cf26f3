"""The model card: what a model is, for whom, how good, and where it must not be trusted.

Made from the facts of one model and from nothing else; after Mitchell et al.: Model cards for model
reporting (2019), https://doi.org/10.1145/3287560.3287596. Here is its text, as blocks that a page
or a file can show, and as Markdown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clinical.schema import LABEL
from risk_model import blocks, card_tables
from risk_model.blocks import Block, Points
from risk_model.card_tables import Facts
from risk_model.wording import FILE, FOR, FOR_UCI, MODELS, NOT_FOR, SYNTHETIC, UCI, percent

_TREES = ("n_estimators", "max_depth", "min_samples_leaf")
_IDLE = {name: _TREES if name == "logistic_regression" else ("C",) for name in MODELS}
"""The parameters of which each kind of model has no use."""


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
    # What says nothing of the model, such as a path of the machine, has no place on a card.
    untold = ("data", "model", "calibration", *_IDLE.get(facts["name"], ()))
    told = {k: v for k, v in parameters.items() if k not in untold}
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


def _for(facts: Facts) -> list[Block]:
    source = (facts.get("data") or {}).get("source")
    return [Points((*FOR, *(FOR_UCI if source == "uci" else ())))]


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
    ("What it is for", (), _for),
    ("What it is not for", (), lambda _: [Points(NOT_FOR)]),
    ("Patients", ("data",), _patients),
    ("Performance", ("metrics", "data"), card_tables.performance),
    ("Groups of patients", ("out_of_fold",), card_tables.groups),
    ("Other hospitals", ("elsewhere",), card_tables.elsewhere),
    ("Risk bands", ("risk_bands",), card_tables.bands),
    ("What moves its answers", ("importance", "reference"), card_tables.importance),
    ("Limits", ("data",), lambda facts: [Points(_limits(facts))]),
    ("Contact", ("git",), lambda facts: [_contact(facts)]),
)
