"""The figures of the data report: what was read, dropped and converted, and what is left."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from clinical.schema import FEATURES, LABEL, Feature

#: The places of each class's patients.
Groups = dict[str, npt.NDArray[np.intp]]


def describe(frame: pd.DataFrame) -> dict[str, Any]:
    """Describe complete, labelled patients in figures that JSON can hold.

    Returns
    -------
    dict
        `prevalence` with ``all`` and one entry for each sex, each with `patients`, `diseased` and
        `share` (None without patients); `features` with, for each feature, the rows that do not
        know it (`missing`, `missing_share`) and, for each class of the label, the counts by code
        or the five-number summary.
    """
    diseased = frame[LABEL.name].to_numpy() == 1
    groups = {"0": np.flatnonzero(~diseased), "1": np.flatnonzero(diseased)}
    return {
        "prevalence": _prevalence(frame, diseased),
        "features": {feature.name: _feature(frame, feature, groups) for feature in FEATURES},
    }


def _prevalence(frame: pd.DataFrame, diseased: npt.NDArray[np.bool_]) -> dict[str, Any]:
    sex = next(feature for feature in FEATURES if feature.name == "sex")
    values = frame[sex.name].to_numpy()
    parts = {word: diseased[values == code] for code, word in sex.codes.items()}
    return {name: _share(part) for name, part in {"all": diseased, **parts}.items()}


def _share(diseased: npt.NDArray[np.bool_]) -> dict[str, Any]:
    count, total = int(diseased.sum()), len(diseased)
    return {"patients": total, "diseased": count, "share": count / total if total else None}


def _feature(frame: pd.DataFrame, feature: Feature, groups: Groups) -> dict[str, Any]:
    values = frame[feature.name].to_numpy()
    missing = int(np.isnan(values).sum())
    summary = _codes if feature.codes else _numbers
    return {
        "missing": missing,
        "missing_share": missing / len(values) if len(values) else None,
        "by_class": {name: summary(values[group], feature) for name, group in groups.items()},
    }


def _codes(values: npt.NDArray[np.float64], feature: Feature) -> dict[str, int]:
    # The unknown are counted at a place beyond the codes.
    beyond = max(feature.codes) + 1
    counts = np.bincount(np.nan_to_num(values, nan=beyond).astype(np.int8), minlength=beyond)
    return {str(code): int(counts[code]) for code in feature.codes}


def _numbers(values: npt.NDArray[np.float64], _: Feature) -> dict[str, float] | None:
    # Sorted once, with NaN at the end, all five are at hand; np.quantile takes several times
    # as long.
    ordered = np.sort(values)
    ordered = ordered[: len(ordered) - int(np.isnan(values).sum())]
    if not len(ordered):
        return None
    places = np.linspace(0, len(ordered) - 1, 5)
    low, high = ordered[np.floor(places).astype(int)], ordered[np.ceil(places).astype(int)]
    figures = (low + (high - low) * (places % 1)).tolist()
    names = ("low", "q1", "median", "q3", "high")
    return {**dict(zip(names, figures, strict=True)), "mean": float(ordered.mean())}
