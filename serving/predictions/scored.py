"""Predictions that have been answered, column by column: for the log and for the shadow."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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
    """Predictions of one model for single patients.

    In lists of numbers and texts, none of which the garbage collector has to follow: objects that
    wait would make it look at all others again and again.

    Parameters
    ----------
    model : Model
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._ids: list[str] = []
        self._request_ids: list[str | None] = []
        self._times: list[float] = []
        self._values: list[float | None] = []
        self._probabilities: list[float] = []
        self._labels: list[int] = []

    def add(
        self,
        id_: str,
        request_id: str | None,
        values: Sequence[float | None],
        prediction: Prediction,
    ) -> None:
        """Add a patient, who has been scored just now."""
        self._ids.append(id_)
        self._request_ids.append(request_id)
        self._times.append(time.time())
        self._values.extend(values)
        self._probabilities.append(prediction.probability)
        self._labels.append(prediction.label)

    def parts(self) -> Iterator[Scored]:
        """Yield what there is in parts."""
        width = len(FEATURE_NAMES)
        for start in range(0, len(self._ids), PART):
            part = slice(start, start + PART)
            values = np.array(self._values[start * width : (start + PART) * width], np.float64)
            yield Scored(
                self.model,
                self._ids[part],
                self._request_ids[part],
                np.array(self._times[part]),
                values.reshape(-1, width),
                np.array(self._probabilities[part]),
                np.array(self._labels[part], np.int64),
            )


@dataclass(frozen=True)
class Batch:
    """The predictions of one request for many patients.

    Parameters
    ----------
    model : Model
    id : str
        The service's own, of the request.
    request_id : str, optional
        The client's.
    time : float
    rows : ndarray, shape (n, 13)
    scores : Scores
    count : int
        How many of the rows are meant, from the first on.
    """

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
            end = min(start + PART, self.count)
            yield Scored(
                self.model,
                [f"{self.id}-{number}" for number in range(start, end)],
                [self.request_id for _ in range(start, end)],
                np.full(end - start, self.time),
                self.rows[start:end].astype(np.float64),
                self.scores.probabilities[start:end].astype(np.float64),
                self.scores.labels[start:end],
            )
