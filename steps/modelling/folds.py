"""Which patients are left out together in cross-validation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinical.copies import near_copies, salted
from clinical.errors import DataError

SALT = 10
"""Another one than that of the held-out patients, who are not folds of their own then."""


def assign(
    features: pd.DataFrame, y: NDArray[np.int8], count: int, salt: int = SALT
) -> NDArray[np.intp]:
    """Return the fold of each patient, from 0 to `count` - 1.

    Inside each class the patients are ordered by a hash of their features and cut into equal
    parts. So the folds are the same in every run on these patients, whatever its parameters, and
    hardly others when some patients are added; near-copies of a patient are in one fold. Another
    `salt` gives other folds.

    Raises
    ------
    DataError
        Where a class has fewer patients than there are folds.
    """
    patients, which = np.unique(salted(near_copies(features), salt), return_inverse=True)
    diseased = np.zeros(len(patients), dtype=np.bool_)
    diseased[which[y == 1]] = True
    classes = np.flatnonzero(~diseased), np.flatnonzero(diseased)
    if (rarest := min(map(len, classes))) < count:
        raise DataError(
            f"{count}-fold cross-validation needs {count} patients of each class, of whom copies "
            f"and near-copies count as one; the rarer class has {rarest}"
        )
    fold = np.empty(len(patients), dtype=np.intp)
    for members in classes:
        fold[members] = np.arange(len(members)) * count // len(members)
    return np.asarray(fold[which])
