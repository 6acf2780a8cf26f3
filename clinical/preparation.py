"""From a file to the patients that a model may learn from, and a report of the changes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from clinical.codings.definitions import AUTO
from clinical.copies import Rows, has_near_copy, near_copies, repeated, row_hashes
from clinical.errors import DataError
from clinical.layout import Source
from clinical.patients import read_patients
from clinical.schema import FEATURE_NAMES, FEATURES, LABEL, Feature
from clinical.tables import Column, Mask, unknown_cells


@dataclass(frozen=True, slots=True)
class Prepared:
    """Patients ready for training."""

    # Canonical, with ``disease`` as int8; every patient once, all required features known; the
    # index counts from 0.
    frame: pd.DataFrame
    # As JSON can hold it: `file`, `coding`, `rows` (`read`, `kept`), `dropped` (rows by reason:
    # `repeated`, `incomplete`, `contradictory`), `incomplete` (columns whose absence dropped rows),
    # `disguised`, `converted` and `ignored` (see `Patients`), and all of `describe`.
    report: dict[str, Any]


def prepare(source: Source, name: str, coding: str = AUTO) -> Prepared:
    """Read a file of patients, in any supported coding, and keep those a model can learn from.

    See `clinical.patients.read_patients`, which also checks every cell.

    Raises a `DataError` where the file is refused, has no label, or does not leave patients of both
    classes.
    """
    patients = read_patients(source, name, coding)
    if LABEL.name not in patients.frame:
        raise DataError(f"'{name}' has no label: expected the column num, target or disease.")
    account = {
        "file": name,
        "coding": patients.coding,
        "disguised": patients.disguised,
        "converted": patients.converted,
        "ignored": patients.ignored,
    }
    rows = patients.frame
    del patients
    keep, counts = _usable(rows)
    # Column by column, each let go of when its usable rows have been taken: they may be many.
    names = (*FEATURE_NAMES, LABEL.name)
    columns = {column: rows.pop(column).to_numpy()[keep] for column in names}
    columns[LABEL.name] = columns[LABEL.name].astype(np.int8, copy=False)
    frame = pd.DataFrame(columns, copy=False)
    _require_both_classes(frame, name)
    return Prepared(frame, {**account, **counts, **describe(frame)})


def extend(prepared: Prepared, extra: Prepared) -> Prepared:
    """Return the patients of two files as one; of near-copies, those of `prepared` stay.

    What becomes of the others is in the report under ``extra``: `file`, `coding`, `rows`,
    `dropped` and, of the rows kept, how many are ``near_copies`` and how many are ``kept`` after
    all.
    """
    drop = has_near_copy(extra.frame, prepared.frame)
    drop |= pd.Series(near_copies(extra.frame)).duplicated().to_numpy()
    frame = pd.concat([prepared.frame, extra.frame[~drop]], ignore_index=True)
    account = {name: extra.report[name] for name in ("file", "coding", "rows", "dropped")}
    account |= {"near_copies": int(drop.sum()), "kept": int((~drop).sum())}
    return Prepared(frame, {**prepared.report, "extra": account, **describe(frame)})


def _usable(rows: pd.DataFrame) -> tuple[Mask, dict[str, Any]]:
    """Mark the rows to keep, and count the others by the first reason to drop them."""
    hashes = row_hashes(rows)
    drop = repeated(rows, hashes)
    dropped = {"repeated": int(drop.sum())}
    unknown = {name: mask & ~drop for name, mask in unknown_cells(rows).items()}
    incomplete = np.logical_or.reduce([np.zeros(len(rows), np.bool_), *unknown.values()])
    drop = drop | incomplete
    disputed = np.zeros(len(rows), np.bool_)  # there with both labels: the right one is unknown
    disputed[~drop] = pd.Series(hashes[~drop]).duplicated(keep=False)
    drop = drop | disputed
    dropped |= {"incomplete": int(incomplete.sum()), "contradictory": int(disputed.sum())}
    lacking = {name: int(mask.sum()) for name, mask in unknown.items() if mask.any()}
    counted = {"read": len(rows), "kept": len(rows) - int(drop.sum())}
    return ~drop, {"rows": counted, "dropped": dropped, "incomplete": lacking}


def _require_both_classes(frame: pd.DataFrame, name: str) -> None:
    classes = [word for code, word in LABEL.codes.items() if (frame[LABEL.name] == code).any()]
    if len(classes) < len(LABEL.codes):
        only = f"only '{classes[0]}'" if classes else "no usable patient at all"
        raise DataError(
            f"'{name}' cannot train a model: expected patients of both classes "
            f"({', '.join(LABEL.codes.values())}), found {only}."
        )


def describe(frame: pd.DataFrame) -> dict[str, Any]:
    """Describe complete, labelled patients in figures that JSON can hold.

    `prevalence` has ``all`` and one entry for each sex, each with `patients`, `diseased` and
    `share` (None without patients); `features` have, for each feature, the rows that do not know it
    (`missing`, `missing_share`) and, `by_class` of the label, the counts by code or the five-number
    summary.
    """
    diseased = frame[LABEL.name].to_numpy() == 1
    groups = {"0": np.flatnonzero(~diseased), "1": np.flatnonzero(diseased)}
    return {
        "prevalence": _prevalence(frame, diseased),
        "features": {feature.name: _feature(frame, feature, groups) for feature in FEATURES},
    }


def _prevalence(frame: pd.DataFrame, diseased: Mask) -> dict[str, Any]:
    sex = next(feature for feature in FEATURES if feature.name == "sex")
    values = frame[sex.name].to_numpy()
    parts = {"all": diseased}
    parts |= {word: diseased[values == code] for code, word in sex.codes.items()}
    counts = {name: (len(part), int(part.sum())) for name, part in parts.items()}
    return {
        name: {"patients": total, "diseased": ill, "share": ill / total if total else None}
        for name, (total, ill) in counts.items()
    }


def _feature(frame: pd.DataFrame, feature: Feature, groups: dict[str, Rows]) -> dict[str, Any]:
    values = frame[feature.name].to_numpy()
    missing = int(np.isnan(values).sum())
    return {
        "missing": missing,
        "missing_share": missing / len(values) if len(values) else None,
        "by_class": {name: _summary(values[group], feature) for name, group in groups.items()},
    }


def _summary(values: Column, feature: Feature) -> dict[str, Any] | None:
    if feature.codes:
        return {str(code): int((values == code).sum()) for code in feature.codes}
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    figures = np.quantile(known, [0, 0.25, 0.5, 0.75, 1]).tolist()
    names = ("low", "q1", "median", "q3", "high")
    return {**dict(zip(names, figures, strict=True)), "mean": float(known.mean())}
