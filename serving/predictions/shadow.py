"""The challenger in shadow: it scores patients after their answers, in spare time."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from risk_model.model import Model
from serving.predictions.scored import Floats, Scored

_BUSY = 0.02
"""The part of one core's time that it may take."""

_SAVED_SECONDS = 0.1
"""How much of that time it may save up while there is nothing to do."""


class ShadowResult(NamedTuple):
    """The result of scoring patients by the challenger.

    Parameters
    ----------
    version : str
        The challenger's.
    differences : ndarray, shape (n,)
        Its probability less the answer's, of each patient.
    disagreements : int
        The number of them that it puts into the other class.
    shed, failed : int
        The number that it did not score, for want of time or by an error.
    """

    version: str
    differences: Floats = np.empty(0)
    disagreements: int = 0
    shed: int = 0
    failed: int = 0


class Shadow:
    """Scores a share of the patients, from 0 to 1, by the challenger, where there is one."""

    def __init__(self, share: float, challenger: Callable[[], Model | None]) -> None:
        self._share = share
        self._challenger = challenger
        self._draw = np.random.default_rng()
        self._seconds = _SAVED_SECONDS
        self._counted_at = time.monotonic()

    def compare(self, scored: Scored) -> ShadowResult | None:
        """Fill in the challenger's probabilities; None where there is no challenger.

        What its share of the processor's time does not suffice for is shed.
        """
        model = self._challenger()
        if model is None or model.origin.key == scored.model.origin.key:
            return None
        rows = np.flatnonzero(self._draw.random(len(scored)) < self._share)
        began = time.monotonic()
        earned = (began - self._counted_at) * _BUSY
        self._seconds = min(self._seconds + earned, _SAVED_SECONDS)
        self._counted_at = began
        if self._seconds <= 0:
            return ShadowResult(model.origin.version, shed=len(rows))
        try:
            return _score(model, scored, rows)
        except Exception:  # any error of a library: the patients have their answers
            return ShadowResult(model.origin.version, failed=len(rows))
        finally:
            self._seconds -= time.monotonic() - began


def _score(model: Model, scored: Scored, rows: npt.NDArray[np.intp]) -> ShadowResult:
    answers = model.engine.score(scored.values[rows])
    scored.challenger[rows] = answers.probabilities
    scored.challenger_version = model.origin.version
    differences = answers.probabilities - scored.probabilities[rows]
    disagreements = int((answers.labels != scored.labels[rows]).sum())
    return ShadowResult(model.origin.version, differences, disagreements)
