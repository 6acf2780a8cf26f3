"""The metadata of a stored model: the content of model.json and references.json, typed.

Every field but the format may be missing, as in a model of an earlier release, or of another
project; fields of a later release are ignored. A field of a wrong type is refused when the file is
read.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import Field, ValidationError

from clinical.schema import FEATURE_NAMES
from risk_model.bands import RISK_BANDS, Bands
from risk_model.errors import ModelError
from risk_model.measurements import (
    Baseline,
    Hospital,
    Measures,
    Observed,
    OutOfFold,
    Part,
    Refits,
    RiskBand,
    UnknownPattern,
    WithoutLate,
)

FORMAT = 2
"""The format that `train` writes. Format 1 has no field `format`; see risk_model/layout.py."""


class Rows(Part):
    """How many patients a model was fitted on, and how many were held out."""

    train: int
    test: int


class Origin(Part):
    """Where some of the patients come from: a value of ``data.source``, and SHA-256 of the file."""

    source: str
    digest: str
    patients: int


class Data(Part):
    """The patients that a model was trained on; `origins`, where they are of several files."""

    source: str = "unknown"
    digest: str = ""
    rows: Rows | None = None
    prevalence: float | None = None
    origins: tuple[Origin, ...] = ()


class Base(Part):
    """The model that this one is an update of: it differs in intercept and slope alone."""

    uri: str
    run_id: str = ""
    source: str = "unknown"
    patients: int | None = None


class TrainingRange(Part):
    """What the training rows held of a feature, and what replaces an unknown value."""

    codes: tuple[int, ...] | None = None
    low: float | None = None
    high: float | None = None
    fill: float | None = None


class UnseenPairs(Part):
    """Pairs of findings that no training patient had."""

    parts: int  # the equal parts of the `TrainingRange` of a measurement
    pairs: tuple[tuple[str, int, str, int], ...]  # feature and code, or part from 0 on, of both


class ReferencePatient(Part):
    """The patient that others are compared with in explanations, and their probability."""

    values: dict[str, float]
    probability: float | None = None


class Git(Part):
    """The commit of the sources that trained it, and whether they had been changed."""

    commit: str | None = None
    dirty: bool = False


class _Stored(Part):
    """The content of a JSON file of a stored model."""

    file_name: ClassVar[str]

    @classmethod
    def read(cls, content: bytes | str) -> Self:
        """Return what a file of this content holds.

        Raises a `ModelError` with one line: which field is wrong.
        """
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            raise ModelError(f"{cls.file_name} is not valid JSON.")
        where = ".".join(map(str, first["loc"]))
        if not where:
            raise ModelError(f"{cls.file_name} holds no object.")
        message = first["msg"].replace("Input should be", "it should be")
        raise ModelError(f"{cls.file_name}: '{where}' is wrong: {message}.")

    def as_json(self) -> str:
        """Return the content of the file."""
        return self.model_dump_json(by_alias=True, exclude_unset=True, indent=2) + "\n"


class Metadata(_Stored):
    """The metadata of a model: population, performance, how it is served.

    `unseen_pairs`, `unknown_patterns`, `refits`, `baseline` and `base` are of format 2.
    """

    file_name = "model.json"

    format: int = 1  # 1 or 2
    # SHA-256 of the files that hold the model, by their paths in its folder. Format 2.
    files: dict[str, str] = Field(default_factory=dict)
    name: str | None = None  # the kind of model
    run_id: str = ""
    trained_at: str | None = None
    label: str | None = None  # what it predicts
    parameters: dict[str, str | int | float | bool] | None = None  # those of the train step
    data: Data | None = None
    metrics: Measures | None = None  # of the held-out patients, and of cross-validation
    out_of_fold: OutOfFold | None = None  # cross-validated
    unknown: WithoutLate | None = None  # without late findings, in format 1
    risk_bands: tuple[RiskBand, ...] | None = None
    seen: dict[str, TrainingRange] = Field(default_factory=dict)  # by feature
    unseen_pairs: UnseenPairs | None = None
    reference: ReferencePatient | None = None
    importance: dict[str, float] | None = None  # by feature
    elsewhere: tuple[Hospital, ...] | None = None  # in other hospitals
    git: Git | None = None
    repository: str | None = None  # of the sources that trained it
    unknown_patterns: tuple[UnknownPattern, ...] | None = None
    refits: Refits | None = None
    baseline: Baseline | None = None
    base: Base | None = None  # None where it was trained anew

    @property
    def is_update(self) -> bool:
        """Whether it was made for other patients than those of the source alone."""
        return self.base is not None or len(self.data.origins if self.data else ()) > 1

    @property
    def source(self) -> str:
        """The value of ``data.source``."""
        return self.data.source if self.data else "unknown"

    @property
    def measured(self) -> dict[str, Measures]:
        """How good it is: cross-validated, and on the held-out patients as a check."""
        validated = self.out_of_fold.metrics if self.out_of_fold else {}
        return {"cross-validated": validated, "held out": self.metrics or {}}

    @property
    def bands(self) -> Bands:
        """The risk bands as pairs of level and start; those of a new model where it has none."""
        return tuple((band.level, band.start) for band in self.risk_bands or ()) or RISK_BANDS

    def pattern(self, unknown: Sequence[str]) -> UnknownPattern | None:
        """Return the measures with just these features unknown, None where there are none."""
        matching = (p for p in self.unknown_patterns or () if p.unknown == tuple(unknown))
        return next(matching, None)

    def observed(self, unknown: Sequence[str], level: str) -> Observed | None:
        """Return the observed share in a risk band with just these features unknown, if any."""
        measured: UnknownPattern | Metadata | None = self
        if self.unknown_patterns is not None and unknown:
            measured = self.pattern(unknown)
        bands = (measured.risk_bands if measured else None) or ()
        return next((band.observed for band in bands if band.level == level), None)

    @property
    def reference_values(self) -> dict[str, float] | None:
        """All 13 values of the reference patient in the order of FEATURES, or None."""
        values = self.reference.values if self.reference else {}
        if not values.keys() >= set(FEATURE_NAMES):
            return None
        return {name: values[name] for name in FEATURE_NAMES}

    @classmethod
    def read(cls, content: bytes | str) -> Self:
        """Return the metadata in the content of model.json; not if a later release wrote it."""
        metadata = super().read(content)
        if metadata.format > FORMAT:
            raise ModelError(
                f"The model has format {metadata.format} of a later release; this one reads up to "
                f"{FORMAT}."
            )
        return metadata

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """Return the metadata that training has put together, as Python values."""
        return cls.model_validate(content, strict=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the metadata as plain JSON values, None for each field that is not there."""
        return self.model_dump(mode="json", by_alias=True)


class References(_Stored):
    """Made-up patients with the probabilities that the model gave when it was trained."""

    file_name = "references.json"

    inputs: tuple[tuple[float | None, ...], ...] = ()  # in the order of FEATURES, None unknown
    probabilities: tuple[float, ...] = ()
    tolerance: float = 1e-5  # by so much an engine may be off: float32 against float64
    twin_sha256: str | None = None  # of the ONNX model, in format 1; see `Metadata.files`
