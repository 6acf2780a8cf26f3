"""Predictions that have been answered, column by column: for the log and for the shadow."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

import numpy as np
import numpy.typing as npt

from clinical.schema import FEATURE_NAMES
from risk_model.engines import Rows, Scores
from risk_model.model import Model
from serving.predictions.prediction import Prediction

Floats = npt.NDArray[np.floating[Any]]
PART = 1000
"""How many rows are worked on at once, so that no request waits long for the interpreter."""

_WIDTH = len(FEATURE_NAMES)
_pack = Struct(f"{_WIDTH + 3}d").pack  # and time, probability, label


@dataclass
class Scored:
    """Predictions of one model.

    Parameters
    ----------
    model : Model
    ids : list of str
        Request and number of the row in it.
    request_ids : list of str or None
        The clients'.
    times : ndarray, shape (n,)
        Seconds since 1970.
    values : ndarray, shape (n, 13)
        The findings as sent; NaN where unknown.
    probabilities, labels : ndarray, shape (n,)
    challenger : ndarray, shape (n,)
        The challenger's probabilities; NaN where it was not asked.
    challenger_version : str, optional
    """

    model: Model
    ids: list[str]
    request_ids: list[str | None]
    times: Floats
    values: Floats
    probabilities: Floats
    labels: npt.NDArray[np.int64]
    challenger: Floats = field(init=False)
    challenger_version: str | None = None

    def __post_init__(self) -> None:
        """Begin without a challenger."""
        self.challenger = np.full(len(self.ids), np.nan)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)


class Singles:
    """Predictions of one model for single patients, which wait to become columns.

    Each patient's numbers are packed into bytes: numbers of Python that wait would cost each
    request memory that no cache holds.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._ids: list[str] = []
        self._request_ids: list[str | None] = []
        self._numbers: list[bytes] = []

    def add(
        self,
        id_: str,
        request_id: str | None,
        values: Sequence[float | None],
        prediction: Prediction,
    ) -> None:
        """Add a patient, who has been scored just now."""
        if prediction.imputed:
            values = [math.nan if value is None else value for value in values]
        self._ids.append(id_)
        self._request_ids.append(request_id)
        numbers = _pack(*values, time.time(), prediction.probability, prediction.label)
        self._numbers.append(numbers)

    def parts(self) -> Iterator[Scored]:
        """Yield what there is in parts."""
        numbers = np.frombuffer(b"".join(self._numbers)).reshape(-1, _WIDTH + 3)
        for start in range(0, len(numbers), PART):
            part = slice(start, start + PART)
            times, probabilities, labels = numbers[part, _WIDTH:].T
            yield Scored(
                self.model,
                self._ids[part],
                self._request_ids[part],
                times,
                numbers[part, :_WIDTH],
                probabilities,
                labels.astype(np.int64),
            )


@dataclass(frozen=True)
class Batch:
    """The predictions of one request for many patients, of which the first `count` are meant."""

    model: Model
    id: str
    request_id: str | None
    time: float
    rows: Rows
    scores: Scores
    count: int

    def parts(self) -> Iterator[Scored]:
        """Yield what there is in parts."""
        for start in range(0, self.count, PART):
            part = range(start, min(start + PART, self.count))
            yield Scored(
                self.model,
                [f"{self.id}-{number}" for number in part],
                [self.request_id] * len(part),
                np.full(len(part), self.time),
                self.rows[part].astype(np.float64),
                self.scores.probabilities[part].astype(np.float64),
                self.scores.labels[part],
            )
