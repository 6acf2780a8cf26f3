"""What training has measured about a model: the parts of model.json that hold figures."""

import math
from bisect import bisect_right
from operator import attrgetter
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _defined(value: object) -> object:
    """Return None for a figure that is undefined: JSON has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


Figure = Annotated[float | None, BeforeValidator(_defined)]
Measures = dict[str, Figure]
"""Figures by name, with ``<name>_ci_low`` and ``<name>_ci_high``; None where undefined."""


class Part(BaseModel):
    """A part of a model's metadata: frozen, strict, open for later fields."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )


class Observed(Part):
    """How many patients there were, how many of them had the disease, and the 95 % interval."""

    patients: int
    diseased: int
    low: float
    high: float

    @classmethod
    def of(cls, patients: int, diseased: int) -> Self:
        """Return the counts with Wilson's interval, which is sensible for few patients too."""
        if not patients:
            return cls(patients=0, diseased=0, low=0.0, high=1.0)
        share, z = diseased / patients, 1.959964
        middle = share + z * z / (2 * patients)
        reach = z * math.sqrt(share * (1 - share) / patients + (z / (2 * patients)) ** 2)
        low, high = ((end / (1 + z * z / patients)) for end in (middle - reach, middle + reach))
        return cls(patients=patients, diseased=diseased, low=max(low, 0.0), high=min(high, 1.0))


class RiskBand(Part):
    """A risk band: its name, the probability it begins at, and what has been observed in it."""

    level: str
    start: float = Field(alias="from")
    observed: Observed | None = None


class Group(Part):
    """A group of patients with its measures; None where the group is too small for any."""

    group: str
    patients: int
    diseased: int
    metrics: Measures | None = None
    risk_bands: tuple[RiskBand, ...] = ()


class Curve(Part):
    """A figure over the probability `x`, with the ends of its interval."""

    x: tuple[float, ...]
    middle: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


Outcomes = dict[str, tuple[int, ...]]
"""By the label as text: how many patients were in each of equal bins of the probability."""


class Calibration(Part):
    """A calibration curve, and the patients by outcome."""

    curve: Curve | None = None
    histogram: Outcomes


class FeatureMix(Part):
    """What patients were like: the share unknown, and of the others quartiles or codes' shares."""

    missing: float
    q1: float | None = None
    median: float | None = None
    q3: float | None = None
    shares: dict[str, float] | None = None


CaseMix = dict[str, FeatureMix]
"""By feature."""


class OutOfFold(Part):
    """The measures of cross-validation: over all patients, and by group."""

    patients: int
    diseased: int
    metrics: Measures
    groups: tuple[Group, ...] = ()
    calibration: Calibration | None = None
    # The net benefit over the threshold, of treating by the `model` and of treating `all`.
    decision: dict[str, Curve] | None = None
    case_mix: CaseMix | None = None


class WithoutLate(Part):
    """The discrimination while the features `without` are unknown. Format 1."""

    without: tuple[str, ...]
    roc_auc: Figure
    ci_low: Figure
    ci_high: Figure


class Hospital(Part):
    """How good it is for the patients of another hospital."""

    site: str = ""
    title: str
    read: int | None = None
    patients: int
    diseased: int | None = None
    prevalence: float
    missing: dict[str, float] = {}
    mostly_missing: tuple[str, ...] = ()
    lopsided: bool = False
    metrics: Measures
    risk_bands: tuple[RiskBand, ...] = ()
    case_mix: CaseMix | None = None


class UnknownPattern(Part):
    """The measures while some findings are unknown, and the observed share in each band."""

    unknown: tuple[str, ...]  # together, in the order of FEATURES; empty for "all known"
    patients: int  # with these findings masked, out of fold
    metrics: Measures = {}
    risk_bands: tuple[RiskBand, ...] = ()
    histogram: Outcomes | None = None  # what a patient with this pattern is compared with


class RefitBin(Part):
    """Where refits put patients whose probability lies from `start` to `end`."""

    start: float
    end: float
    patients: int
    low: float  # from here to `high` are as many of the refits' probabilities as `level` says
    high: float
    changes_band: float | None = None  # the share whom some refit puts into another risk band


class Refits(Part):
    """How sure a probability is: the same recipe refitted on resamples, out of bag."""

    count: int
    level: float
    bins: tuple[RefitBin, ...]

    def range_of(self, probability: float) -> tuple[float, float] | None:
        """Return the range in which refits put patients with such a probability."""
        place = bisect_right(self.bins, probability, key=attrgetter("start"))
        if not place:
            return None
        interval = self.bins[place - 1]
        return min(interval.low, probability), max(interval.high, probability)


class Histogram(Part):
    """Counts of one variable in bins, for the prediction log and for monitoring."""

    codes: tuple[int, ...] | None = None  # of a coded feature: a bin for each
    # Of a measured one: inner edges. Bin i holds edges[i-1] <= value < edges[i].
    edges: tuple[float, ...] | None = None
    counts: tuple[int, ...]  # in the baseline, by bin
    missing: int = 0  # how many were unknown in the baseline


class Baseline(Part):
    """What the patients that it was trained on looked like, in the bins of the prediction log."""

    log_schema: int  # the version of the log's columns that the bins are for
    patients: int
    features: dict[str, Histogram]
    probability: Histogram  # of disease, out of fold
