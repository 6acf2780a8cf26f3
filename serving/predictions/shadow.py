"""The challenger in shadow: asked about patients who have been answered, in spare time."""

from __future__ import annotations

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


class Asked(NamedTuple):
    """What came of asking the challenger.

    Parameters
    ----------
    version : str
        The challenger's.
    differences : ndarray, shape (n,)
        Its probability less the answer's, of each patient.
    disagreements : int
        How many of them it puts into the other class.
    shed, failed : int
        How many it was not asked about, since that would have taken too long; or in vain.
    """

    version: str
    differences: Floats = np.empty(0)
    disagreements: int = 0
    shed: int = 0
    failed: int = 0


class Shadow:
    """Asks the challenger, where there is one, about a share of the patients, from 0 to 1."""

    def __init__(self, share: float, challenger: Callable[[], Model | None]) -> None:
        self._share = share
        self._challenger = challenger
        self._draw = np.random.default_rng()
        self._seconds = _SAVED_SECONDS
        self._counted_at = time.monotonic()

    def ask(self, scored: Scored) -> Asked | None:
        """Fill in the challenger's probabilities; None where there is no challenger to ask.

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
            return Asked(model.origin.version, shed=len(rows))
        try:
            return _score(model, scored, rows)
        except Exception:  # whatever a library raises: the patients have their answers
            return Asked(model.origin.version, failed=len(rows))
        finally:
            self._seconds -= time.monotonic() - began


def _score(model: Model, scored: Scored, rows: npt.NDArray[np.intp]) -> Asked:
    answers = model.engine.score(scored.values[rows])
    scored.challenger[rows] = answers.probabilities
    scored.challenger_version = model.origin.version
    differences = answers.probabilities - scored.probabilities[rows]
    disagreements = int((answers.labels != scored.labels[rows]).sum())
    return Asked(model.origin.version, differences, disagreements)
