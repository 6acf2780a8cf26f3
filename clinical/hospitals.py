"""The hospitals of the UCI archive: Cleveland, and three that a model has never seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from clinical.archive import open_source
from clinical.codings.definitions import AUTO
from clinical.copies import Mask
from clinical.errors import DataError
from clinical.layout import Source
from clinical.patients import read_patients
from clinical.schema import FEATURE_NAMES, LABEL

TITLES = {
    "cleveland": "Cleveland Clinic Foundation",
    "hungarian": "Hungarian Institute of Cardiology, Budapest",
    "switzerland": "University Hospitals of Zurich and Basel",
    "va": "V.A. Medical Center, Long Beach",
}
"""The hospitals by the names that their files have."""

TRAINING = "cleveland"


@dataclass(frozen=True)
class Cohort:
    """Patients of one place whose outcome is known."""

    site: str  # a short name, for metrics
    title: str  # a name for readers
    patients: pd.DataFrame  # each once, with an outcome; any feature may be unknown
    read: int  # the rows of its file

    @property
    def missing(self) -> dict[str, float]:
        """The share of patients in whom each feature is unknown, where there are any."""
        shares = self.patients[list(FEATURE_NAMES)].isna().mean()
        return {str(name): float(share) for name, share in shares.items() if share > 0}

    @property
    def mostly_missing(self) -> list[str]:
        """The features that are unknown in more than half of the patients."""
        return [name for name, share in self.missing.items() if share > 0.5]

    def without(self, rows: Mask) -> Cohort:
        """Return the cohort without some of its rows."""
        return Cohort(self.site, self.title, self.patients[~rows], self.read)


def site_of(name: str) -> str:
    """Return the hospital that a file's name names, such as ``processed.va.data``, or ''."""
    parts = PurePosixPath(name).name.split(".")
    return parts[1] if parts[0] == "processed" and parts[1:2] and parts[1] in TITLES else ""


def read_cohort(source: Source, name: str, coding: str = AUTO) -> Cohort:
    """Read the patients of a file, in any supported coding, whose outcome is known.

    Unlike what a model learns from, a patient may lack any feature.

    Raises a `DataError` where the file is refused, has no label, or not both outcomes.
    """
    file = read_patients(source, name, coding)
    if LABEL.name not in file.frame:
        raise DataError(f"'{name}' has no label: expected the column num, target or disease.")
    labelled = file.frame[file.frame[LABEL.name].notna()]
    patients = labelled.drop_duplicates(ignore_index=True).astype({LABEL.name: np.int8})
    if patients[LABEL.name].nunique() < len(LABEL.codes):
        raise DataError(f"'{name}' has not both outcomes, so nothing can be measured on it.")
    site = site_of(name)
    return Cohort(site or "data", TITLES.get(site, name), patients, file.rows)


def read_cohorts(path: Path, coding: str = AUTO) -> list[Cohort]:
    """Read every hospital that an archive of UCI has; none where it is another file."""
    members = open_source(path)
    named = {site_of(name): name for name in members}
    names = [named[site] for site in TITLES if site in named]
    return [read_cohort(members[name], name, coding) for name in names]
