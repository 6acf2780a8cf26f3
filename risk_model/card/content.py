"""What the card's templates show, from the metadata that a stored model carries."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clinical.schema import FEATURES
from risk_model import patterns
from risk_model.card.studies import STUDIES
from risk_model.card.wording import HEADLINE, MEASURES, between, percent

CardValues = Mapping[str, Any]
"""Metadata as plain values: None for what a model does not carry."""

NEEDED = {
    "In short": ("metrics", "data"),
    "Performance": ("metrics", "data"),
    "Groups of patients": ("out_of_fold",),
    "Other hospitals": ("elsewhere",),
    "Risk bands": ("risk_bands",),
    "What moves its answers": ("importance", "reference"),
    "Patients": ("data",),
    "Limits": ("data",),
    "How it was made": ("name", "parameters", "label", "trained_at", "git"),
}
"""The sections that not every model has the metadata for, such as one of an earlier release."""

PATTERNS = (
    (), *((name,) for name in patterns.NAMES), ("ca", "thal"), ("slope", "ca", "thal"),
    ("chol", "fbs", "ca"), patterns.NAMES,
)  # fmt: skip
"""The patterns of unknown findings that a card shows, the other hospitals' among them."""

ABOUT_PATTERNS = (
    "Cross-validated, with these findings hidden from patients of whom all others are known. "
    "Slope, ca and thal are what Hungary and Long Beach mostly lack; chol, fbs and ca what "
    "Switzerland does."
)
PATTERN_MEASURES = ("roc_auc", "brier", "calibration_intercept", "observed_expected", "sensitivity")
THRESHOLDS = (0.1, 0.2, 0.3, 0.5)
TREES = ("n_estimators", "max_depth", "min_samples_leaf")


def available_sections(card: CardValues) -> list[str]:
    """Return the sections that a model has the metadata for."""
    available = {name for name, value in card.items() if value is not None}
    return [heading for heading, names in NEEDED.items() if available.issuperset(names)]


def settings(card: CardValues) -> dict[str, Any]:
    """Return the parameters that shaped the model; no path of a machine is among them."""
    unused = TREES if card["name"] == "logistic_regression" else ("C",)
    left_out = ("data", "model", "calibration", *unused)
    return {k: v for k, v in card["parameters"].items() if k not in left_out}


def own_cohort(card: CardValues) -> dict[str, Any] | None:
    """Return the model's own patients, cross-validated, in the form of the other hospitals."""
    measured, data = card["out_of_fold"], card["data"]
    if not measured:
        return None
    own = "Cleveland Clinic" if data and data["source"] == "uci" else "Its own patients"
    return {
        "title": f"{own}, cross-validated",
        "prevalence": measured["diseased"] / measured["patients"],
        "risk_bands": card["risk_bands"] or [],
        **measured,
    }


def cohorts(card: CardValues) -> list[dict[str, Any]]:
    """Return the model's own patients and those of each other hospital."""
    own = own_cohort(card)
    return [*([own] if own else []), *(card["elsewhere"] or [])]


def group_rows(cohort: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return all patients of a cohort and each group of them, as rows of a forest plot."""
    everybody = {"title": "all", **{k: cohort[k] for k in ("patients", "diseased", "metrics")}}
    return [everybody, *({"title": g["group"], **g} for g in cohort["groups"])]


def banded(card: CardValues) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the cohorts, groups and patterns whose bands were observed, each with a title."""
    own = card["out_of_fold"] or {"groups": []}
    unknown = [(", ".join(one["unknown"]), one) for one in shown_patterns(card)]
    groups = [
        *((f"Cross-validated, {group['group']}", group) for group in own["groups"]),
        *((site["title"], site) for site in card["elsewhere"] or []),
        *((f"Cross-validated, unknown: {names}", one) for names, one in unknown if names),
    ]
    return [(title, band_rows(one["risk_bands"])) for title, one in groups if one["risk_bands"]]


def band_rows(bands: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return each risk band as a row of a forest plot: the share that had the disease."""
    ends = [*(band["from"] for band in bands[1:]), 1.0]
    rows = []
    for band, end in zip(bands, ends, strict=True):
        seen = band["observed"] or {"patients": 0}
        metrics = None
        if seen["patients"]:
            metrics = _share_of(seen["diseased"] / seen["patients"], seen)
        title = f"{band['level']}: {_reach({'start': band['from'], 'end': end})}"
        rows.append({"title": title, "patients": seen["patients"], "metrics": metrics})
    return rows


def _share_of(share: float, ends: Mapping[str, float]) -> dict[str, float]:
    return {"share": share, "share_ci_low": ends["low"], "share_ci_high": ends["high"]}


def tiles(metrics: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return the figures to see first, each with its title."""
    return [
        (MEASURES[name], between(metrics, name, 3 if name == "brier" else 2))
        for name in HEADLINE
        if name in metrics
    ]


def measure_rows(columns: Sequence[Mapping[str, float]]) -> list[list[str]]:
    """Return every measure that any of several sets of figures has, as rows of a table."""
    return [
        [title, *(between(metrics, name) for metrics in columns)]
        for name, title in MEASURES.items()
        if any(name in metrics for metrics in columns)
    ]


def group_table(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of the table of `group_rows`."""
    names = (
        "roc_auc", "calibration_intercept", "observed_expected", "calibration_slope",
        "sensitivity", "specificity",
    )  # fmt: skip
    head = ["group", "patients", "diseased", *(MEASURES[name] for name in names)]
    return head, [
        [row["title"], str(row["patients"]), str(row["diseased"]), *_figures(row["metrics"], names)]
        for row in rows
    ]


def _figures(metrics: Mapping[str, float] | None, names: Iterable[str]) -> list[str]:
    return [between(metrics, name, 2) if metrics else "too few" for name in names]


def hospital_table(sites: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of the table of other hospitals."""
    head, rows = group_table([{"diseased": percent(site["prevalence"]), **site} for site in sites])
    lacking = [", ".join(site["mostly_missing"]) or "none" for site in sites]
    rows = [[*row, names] for row, names in zip(rows, lacking, strict=True)]
    return ["hospital", *head[1:], "mostly unknown"], rows


def net_benefit_rows(cohort: Mapping[str, Any]) -> list[list[str]]:
    """Return the net benefit of treating by the model and of treating all, by threshold."""
    metrics, share = cohort["metrics"], cohort["prevalence"]
    of_all = {at: share - (1 - share) * at / (1 - at) for at in THRESHOLDS}
    return [
        [percent(at), between(metrics, f"net_benefit_{100 * at:.0f}"), f"{benefit:.3f}"]
        for at, benefit in of_all.items()
    ]


def shown_patterns(card: CardValues) -> list[Mapping[str, Any]]:
    """Return what was measured for the patterns of PATTERNS."""
    by_names = {tuple(pattern["unknown"]): pattern for pattern in card["unknown_patterns"] or ()}
    return [by_names[names] for names in PATTERNS if names in by_names]


def pattern_table(shown: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of the table of how good it is while findings are unknown."""
    head = ["unknown", "patients", *(MEASURES[name] for name in PATTERN_MEASURES)]
    return head, [
        [
            ", ".join(pattern["unknown"]) or "none",
            str(pattern["patients"]),
            *_figures(pattern["metrics"], PATTERN_MEASURES),
        ]
        for pattern in shown
    ]


def refit_rows(card: CardValues) -> list[dict[str, Any]]:
    """Return where refitted models put patients, by their probability, as rows of a forest plot."""
    return [
        {
            "title": _reach(one),
            "patients": one["patients"],
            "metrics": _share_of((one["start"] + one["end"]) / 2, one),
        }
        for one in card["refits"]["bins"]
    ]


def band_changes(card: CardValues) -> list[list[str]]:
    """Return the share of patients that a refit puts into another band, by their probability."""
    return [
        [_reach(one), str(one["patients"]), percent(one["changes_band"])]
        for one in card["refits"]["bins"]
        if one["changes_band"] is not None
    ]


def _reach(one: Mapping[str, float]) -> str:
    return f"{100 * one['start']:.0f} to {percent(one['end'])}"


def importance_rows(card: CardValues) -> list[list[str]]:
    """Return by how many percentage points each finding moves the answers, the most first."""
    titles = {feature.name: feature.title for feature in FEATURES}
    moved = sorted(card["importance"].items(), key=lambda item: -item[1])
    return [[titles[name], f"{100 * value:.1f}"] for name, value in moved]


def study_rows() -> list[list[str]]:
    """Return what the archive documents about each hospital."""
    return [
        [s.title, f"{s.first} to {s.last}", f"{s.days:g}",
         *(f"{drug} %" for drug in (s.beta_blocker, s.nitrate, s.calcium_blocker, s.digitalis))]
        for s in STUDIES
    ]  # fmt: skip


def case_mix_rows(mixes: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return, for each feature, what the patients of each cohort were like."""
    rows: list[list[str]] = []
    for feature in FEATURES:
        summaries = [mix[feature.name] for mix in mixes]
        unit = f", {feature.unit}" if feature.unit else ""
        if not feature.codes:
            rows.append([f"{feature.title}{unit}: median (quartiles)", *map(_quartiles, summaries)])
        choices = list(feature.choices.items())
        for code, word in choices[1:] if len(choices) == 2 else choices:  # of two, one says all
            shares = (_share(summary.get("shares"), code) for summary in summaries)
            rows.append([f"{feature.title}: {word}", *shares])
        if any(summary["missing"] for summary in summaries):
            rows.append([f"{feature.title}: unknown", *(_missing(f["missing"]) for f in summaries)])
    return rows


def _quartiles(summary: Mapping[str, float]) -> str:
    if summary.get("median") is None:
        return "-"
    return f"{summary['median']:.3g} ({summary['q1']:.3g} to {summary['q3']:.3g})"


def _share(shares: Mapping[str, float] | None, code: int) -> str:
    return percent(shares[str(code)]) if shares else "-"


def _missing(share: float) -> str:
    return "under 1 %" if 0 < share < 0.01 else percent(share)
