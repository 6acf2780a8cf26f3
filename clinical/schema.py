"""What the data means: the 13 features of a patient, and the label.

``FEATURES`` is the only place that defines a feature. The MLflow signature, the request model, the
HTML form, the validation of files, ``docs/schema.md`` and the test cases are drawn from it.

The coding is the *canonical* one, that of the re-coded ``heart.csv`` which API clients send;
``clinical.patients`` brings files of other codings to it.

References
----------
Janosi, Steinbrunn, Pfisterer, Detrano: Heart Disease. UCI Machine Learning Repository.
https://doi.org/10.24432/C52P4X
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of a patient's record."""

    name: str  # on the wire and in files, such as chol
    title: str  # what a person reads as a label
    help: str  # one sentence that explains it
    group: str  # the heading under which the form shows it
    low: float  # the possible values, in `unit`
    high: float  # both ends are included
    example: float  # valid, for documentation and as the model's input example
    unit: str = ""  # empty for codes
    codes: Mapping[int, str] = field(default_factory=dict)  # none for measurements
    order: tuple[int, ...] = ()  # the codes as a clinician lists them, where that is not by number
    hint: str = ""  # what the form adds to the label
    nominal: bool = False  # its codes have no order, so that a model must one-hot encode them
    # Whether a request may leave it unknown: true for what the other hospitals of the UCI archive
    # mostly lack, for it arrives late, is invasive, or needs a laboratory.
    nullable: bool = False

    @property
    def allowed(self) -> str:
        """The valid values as text, for the end of an error message."""
        if self.codes:
            text = "one of " + ", ".join(f"{code} ({word})" for code, word in self.codes.items())
        else:
            text = f"a number in [{self.low:g}, {self.high:g}] {self.unit}".rstrip()
        return text + ", or null where it is unknown" if self.nullable else text

    def accepts(self, value: float) -> bool:
        """Return whether the value is in range (NaN and infinities are not)."""
        if self.codes:
            return value in self.codes
        return math.isfinite(value) and self.low <= value <= self.high

    @property
    def inline(self) -> str:
        """The title as it stands within a sentence."""
        return self.title if self.title[:2].isupper() else self.title[0].lower() + self.title[1:]

    @property
    def choices(self) -> dict[int, str]:
        """The codes and what they mean, in the order in which a clinician lists them."""
        return {code: self.codes[code] for code in self.order or self.codes}

    def format_value(self, value: float | None) -> str:
        """Return a value as a person reads it: what a code means, a number with its unit."""
        if value is None:
            return "unknown"
        return self.codes[int(value)] if value in self.codes else f"{value:g} {self.unit}".rstrip()


_NO_YES = {0: "no", 1: "yes"}

FEATURES: tuple[Feature, ...] = (
    Feature(
        "age", "Age", "Age at the examination.",
        group="Patient", unit="years", low=18, high=110, example=54,
    ),
    Feature(
        "sex", "Sex", "Sex as recorded by the hospital.", hint="As recorded by the hospital",
        group="Patient", codes={0: "female", 1: "male"}, low=0, high=1, example=1,
    ),
    Feature(
        "cp", "Chest pain", "Type of chest pain that led to the referral.",
        hint="What led to the referral", group="Symptoms", nominal=True,
        codes={0: "asymptomatic", 1: "atypical angina", 2: "non-anginal pain", 3: "typical angina"},
        order=(3, 1, 2, 0), low=0, high=3, example=0,
    ),
    Feature(
        "trestbps", "Resting blood pressure", "Systolic pressure at rest, on admission.",
        hint="Systolic, on admission",
        group="At rest", unit="mm Hg", low=60, high=260, example=120,
    ),
    Feature(
        "chol", "Serum cholesterol", "Total cholesterol in the blood serum.", hint="Total",
        group="Blood tests", unit="mg/dl", low=80, high=700, example=240, nullable=True,
    ),
    Feature(
        "fbs", "Fasting blood sugar above 120 mg/dl",
        "Whether the fasting blood sugar exceeds 120 mg/dl.",
        group="Blood tests", codes=_NO_YES, low=0, high=1, example=0, nullable=True,
    ),
    Feature(
        "restecg", "Resting electrocardiogram", "Finding in the electrocardiogram at rest.",
        group="At rest", nominal=True,
        codes={0: "left ventricular hypertrophy", 1: "normal", 2: "ST-T wave abnormality"},
        order=(1, 2, 0), low=0, high=2, example=0,
    ),
    Feature(
        "thalach", "Highest heart rate reached", "Highest heart rate during the exercise test.",
        group="Exercise test", unit="beats/min", low=40, high=230, example=160,
    ),
    Feature(
        "exang", "Angina during exercise", "Whether the exercise brought on angina.",
        group="Exercise test", codes=_NO_YES, low=0, high=1, example=0,
    ),
    Feature(
        "oldpeak", "ST depression",
        "ST depression brought on by exercise, relative to rest; negative for an elevation.",
        hint="Negative if elevated",
        group="Exercise test", unit="mm", low=-4, high=10, example=0.0,
    ),
    Feature(
        "slope", "Slope of the ST segment", "Slope of the ST segment at peak exercise.",
        hint="At peak exercise", group="Exercise test", nominal=True, nullable=True,
        codes={0: "downsloping", 1: "flat", 2: "upsloping"},
        order=(2, 1, 0), low=0, high=2, example=1,
    ),
    Feature(
        "ca", "Major vessels coloured", "Number of major vessels coloured by fluoroscopy.",
        hint="By fluoroscopy", group="Imaging", nullable=True,
        codes={0: "none", 1: "one", 2: "two", 3: "three"}, low=0, high=3, example=0,
    ),
    Feature(
        "thal", "Thallium scan", "Perfusion defect seen in the thallium stress test.",
        hint="Perfusion under stress", group="Imaging", nominal=True, nullable=True,
        codes={1: "fixed defect", 2: "normal", 3: "reversible defect"},
        order=(2, 1, 3), low=1, high=3, example=2,
    ),
)  # fmt: skip

FEATURE_NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
#: The features that a usable patient's record must know.
REQUIRED: tuple[str, ...] = tuple(feature.name for feature in FEATURES if not feature.nullable)


@dataclass(frozen=True, slots=True)
class Label:
    """The column to be predicted."""

    name: str
    title: str
    definition: str
    codes: Mapping[int, str]


LABEL = Label(
    name="disease",
    title="Coronary artery disease",
    definition=(
        "1 = at least one major vessel narrowed by 50 % or more in the angiogram (UCI num > 0)"
    ),
    codes={0: "no disease", 1: "disease"},
)
