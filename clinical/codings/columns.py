"""The columns of a file: which are features, which is the label, which are not used."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from clinical.codings.definitions import BY_LABEL, Coding
from clinical.errors import DataError
from clinical.schema import FEATURE_NAMES

EXPECTED = (
    f"Expected: the columns {', '.join(FEATURE_NAMES)}, and the label 'num' (UCI coding), 'target' "
    "(heart.csv) or 'disease' (canonical) where the outcome is known; or a UCI file without a "
    f"header, with {len(FEATURE_NAMES) + 1} numbers in each row."
)

ALIASES = {
    "gender": "sex (1 = male, 0 = female)",
    "trtbps": "trestbps",
    "thalch": "thalach",
    "thalachh": "thalach",
    "exng": "exang",
    "slp": "slope",
    "caa": "ca",
    "thall": "thal",
}
"""What public files call a feature; a rename is safe, since its codes are checked afterwards."""

LABEL_ALIASES = (
    "condition", "diagnosis", "class", "output", "outcome", "heartdisease", "heart_disease",
    "heart disease", "presence", "ahd", "hd", "label",
)  # fmt: skip
"""What public files call a label, each with more than one meaning."""

NAMES_LISTED = 20
_PLAIN_NAME = re.compile(r"[a-z_][\w .%()/:-]{0,39}")


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of a file are."""

    names: Sequence[str]  # all, in the order of the file
    label: str | None  # where one is known
    alias: str | None  # a label in public files, which may mean either
    ignored: list[str]  # neither feature nor label
    problems: list[str]  # what is wrong with them, one line each


def is_index(column: str) -> bool:
    """Return whether this is the column that a frame leaves when written with its index."""
    return re.fullmatch(r"(unnamed: \d+)?|__index_level_\d+__", column) is not None


def recognise_columns(names: Sequence[str], width: int, stated: Coding | None = None) -> Columns:
    """Find the features and the label among the columns of a file, in lower case.

    There are no names for a file without a header: the coding that the user stated, or UCI's,
    decides what its label is.

    Raises a `DataError` where they are not those of a file of patients.
    """
    if not names:
        if width != len(FEATURE_NAMES) + 1:
            raise _refusal(f"no header, and {width} columns in the first row")
        names = (*FEATURE_NAMES, next(iter(stated.labels)) if stated else "num")
    used = [name for name in names if not is_index(name)]
    labels = [name for name in BY_LABEL if name in used]
    ignored = [name for name in used if name not in {*FEATURE_NAMES, *BY_LABEL}]
    missing = [name for name in FEATURE_NAMES if name not in used]
    if (missing and ignored) or len(labels) > 1 or len(missing) == len(FEATURE_NAMES):
        raise _refusal(_found(ignored, labels, missing))
    alias = None if labels else next((name for name in ignored if name in LABEL_ALIASES), None)
    problems = [f"{name}: this column is missing" for name in missing]
    twice = sorted({n for n in used if used.count(n) > 1 and n not in ignored})
    problems += [f"{name}: this column is there twice" for name in twice]
    return Columns(names, labels[0] if labels else None, alias, ignored, problems)


def require_features(names: list[str], ids: list[str]) -> None:
    """Raise a `DataError` where a feature lacks among columns, or it or an id is there twice."""
    if missing := [name for name in FEATURE_NAMES if name not in names]:
        hints = ["none of them" if len(missing) == len(FEATURE_NAMES) else "the others"]
        hints += [f"rename '{name}' to {ALIASES[name]}" for name in names if name in ALIASES]
        raise DataError(
            f"expected the columns {', '.join(FEATURE_NAMES)}; missing: {', '.join(missing)} "
            f"(found {'; '.join(hints)})"
        )
    if twice := [name for name in (*FEATURE_NAMES, *ids) if names.count(name) > 1]:
        raise DataError(f"these columns are there twice: {', '.join(twice)}")


def _refusal(columns: str) -> DataError:
    return DataError(f"it is no file of patients known here.\n  {EXPECTED}\n  Found: {columns}.")


def _found(others: Sequence[str], labels: Sequence[str], missing: Sequence[str]) -> str:
    everything = len(missing) == len(FEATURE_NAMES)
    parts = []
    if others and not everything:
        # Without any feature the first line may be no header, but a patient's values.
        parts.append(f"unexpected columns: {list_names(others)}")
    if len(labels) > 1:
        parts.append(f"more than one label: {', '.join(sorted(labels))}")
    if missing:
        parts.append(f"columns missing: {'all 13' if everything else ', '.join(missing)}")
    renames = [f"'{other}' to {ALIASES[other]}" for other in others if other in ALIASES]
    if renames:
        parts.append(f"rename {', '.join(renames)}")
    return "; ".join(parts)


def list_names(names: Sequence[str]) -> str:
    """Return the names of columns for a message; what does not read like a name is counted."""
    # Where a header is missing, its place may hold a patient's values, which no message repeats.
    plain = [name for name in names if _PLAIN_NAME.fullmatch(name)]
    parts = [repr(name) for name in plain[:NAMES_LISTED]]
    if len(plain) > NAMES_LISTED:
        parts.append(f"{len(plain) - NAMES_LISTED} more")
    if len(plain) < len(names):
        parts.append(f"{len(names) - len(plain)} without a plain name")
    return ", ".join(parts)
