"""Predictions that have been answered, column by column: for the log and for the shadow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from risk_model.engines import Rows
from risk_model.model import Model

Floats = npt.NDArray[np.floating[Any]]
PART = 500
"""How many rows are worked on at once, so that no request waits long for the interpreter."""


class Answered(NamedTuple):
    """The predictions of one request, or a part of them.

    Parameters
    ----------
    id : str
        The service's own of the request.
    first : int
        The number of its first row here.
    request_id : str, optional
        The client's.
    time : float
        Seconds since 1970.
    model : Model
    rows : sequence of sequence of float or None, or ndarray of shape (n, 13)
        The findings as sent.
    probabilities, labels : sequence or ndarray of shape (n,)
    """

    id: str
    first: int
    request_id: str | None
    time: float
    model: Model
    rows: Sequence[Sequence[float | None]] | Rows
    probabilities: Sequence[float] | Floats
    labels: Sequence[int] | npt.NDArray[np.int64]


@dataclass
class Scored:
    """Predictions of one model.

    Parameters
    ----------
    model : Model
    ids : list of str
        Request and number of the row in it.
    request_ids : list of str or None
    times : ndarray, shape (n,)
    values : ndarray, shape (n, 13)
        NaN where unknown.
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
    challenger: Floats
    challenger_version: str | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)


def by_column(requests: Iterable[Answered]) -> Iterator[Scored]:
    """Yield the predictions of requests, in parts of one model and some hundred rows."""
    for model, group in groupby(requests, attrgetter("model")):
        part: list[Answered] = []
        rows = 0
        for request in group:
            part.append(request)
            rows += len(request.rows)
            if rows >= PART:
                yield _columns(model, part)
                part, rows = [], 0
        if part:
            yield _columns(model, part)


def _columns(model: Model, part: Sequence[Answered]) -> Scored:
    counts = [len(each.rows) for each in part]
    probabilities = np.concatenate([np.asarray(each.probabilities, np.float64) for each in part])
    return Scored(
        model,
        [f"{each.id}-{each.first + i}" for each in part for i in range(len(each.rows))],
        [each.request_id for each in part for _ in each.rows],
        np.repeat([each.time for each in part], counts),
        np.concatenate([np.asarray(each.rows, np.float64) for each in part]),
        probabilities,
        np.concatenate([np.asarray(each.labels, np.int64) for each in part]),
        np.full_like(probabilities, np.nan),
    )
