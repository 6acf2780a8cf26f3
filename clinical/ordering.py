"""The order in which many patients are scored quickly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from clinical.schema import FEATURES

# The coded features as digits of one number, the last of them the leading one; 0 is unknown.
_CODED = [i for i, feature in reversed(list(enumerate(FEATURES))) if feature.codes]
_LEAST = [FEATURES[i].low - 1 for i in _CODED]
_WIDTH = [int(FEATURES[i].high - FEATURES[i].low) + 2 for i in _CODED]
_KIND = np.min_scalar_type(int(np.prod(_WIDTH)))  # short, so that sorting is quick


def alike(
    columns: Sequence[npt.NDArray[np.float64]] | npt.NDArray[np.float64],
) -> npt.NDArray[np.intp]:
    """Return an order of patients in which those with the same codes follow one another.

    They take the same ways through a forest, which a processor then guesses right: it takes half
    the time. No answer depends on it.

    Parameters
    ----------
    columns : sequence of ndarray of float, each of shape (n,), or ndarray of shape (13, n)
        The 13 features in the order of FEATURES, NaN where unknown. Any numbers will do.

    Returns
    -------
    ndarray of int, shape (n,)
        The places of the patients in their new order.
    """
    number = np.zeros(len(columns[0]), _KIND)
    for i, least, width in zip(_CODED, _LEAST, _WIDTH, strict=True):
        digit = np.clip(np.nan_to_num(columns[i] - least), 0, width - 1)
        number = number * _KIND.type(width) + digit.astype(_KIND)
    return np.argsort(number, kind="stable")
