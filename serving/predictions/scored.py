"""Predictions that have been answered, column by column: for the log and for the shadow."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
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
_NUMBERS = _WIDTH + 3  # and time, probability, label
_ROW = np.dtype([("id", "S24"), ("numbers", np.float64, _NUMBERS)])
_pack_into = Struct(f"24s{_NUMBERS}d").pack_into

Ids = tuple[Sequence[str] | npt.NDArray[np.bytes_], list[str | None]]
"""Of some rows: the service's own ids, as texts or in ASCII, and the clients' request ids."""


@dataclass
class Scored:
    """Predictions of one model.

    Parameters
    ----------
    model : Model
    ids : callable
        Returns the rows' ids: request and number of the row in it; and the clients' request ids.
    times : ndarray, shape (n,)
        Seconds since 1970.
    values : ndarray, shape (n, 13)
        The findings as sent; NaN where unknown.
    probabilities, labels : ndarray, shape (n,)
    challenger : ndarray, shape (n,)
        The challenger's probabilities; NaN where it did not score.
    challenger_version : str, optional
    """

    model: Model
    ids: Callable[[], Ids]
    times: Floats
    values: Floats
    probabilities: Floats
    labels: npt.NDArray[np.int64]
    challenger: Floats = field(init=False)
    challenger_version: str | None = None

    def __post_init__(self) -> None:
        """Begin without a challenger."""
        self.challenger = np.full(len(self), np.nan)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.times)


class Singles:
    """Predictions of one model for single patients, up to PART, which wait to become columns.

    They are packed into one piece of memory: objects of Python that wait would cost each request
    memory that no cache holds.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._rows = bytearray(PART * _ROW.itemsize)
        self._count = 0
        self._request_ids: dict[int, str] = {}

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another patient."""
        return self._count == PART

    def add(
        self,
        id_: str,
        request_id: str | None,
        values: Sequence[float | None],
        prediction: Prediction,
    ) -> None:
        """Add a patient that has just been scored; the client's id has up to 24 characters."""
        if prediction.imputed:
            values = [math.nan if value is None else value for value in values]
        if request_id is not None:
            self._request_ids[self._count] = request_id
        _pack_into(
            self._rows, self._count * _ROW.itemsize,
            id_.encode(), *values, time.time(), prediction.probability, prediction.label,
        )  # fmt: skip
        self._count += 1

    def parts(self) -> Iterator[Scored]:
        """Yield what there is."""
        rows = np.frombuffer(self._rows, _ROW, self._count)
        times, probabilities, labels = rows["numbers"][:, _WIDTH:].T
        values = rows["numbers"][:, :_WIDTH]

        def ids() -> Ids:
            return rows["id"], [self._request_ids.get(row) for row in range(len(rows))]

        yield Scored(self.model, ids, times, values, probabilities, labels.astype(np.int64))


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
                partial(self._ids, part),
                np.full(len(part), self.time),
                self.rows[part].astype(np.float64),
                self.scores.probabilities[part].astype(np.float64),
                self.scores.labels[part],
            )

    def _ids(self, part: range) -> Ids:
        return [f"{self.id}-{number}" for number in part], [self.request_id] * len(part)
