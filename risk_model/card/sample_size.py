"""How many patients a model of this many parameters needs: the criteria of Riley et al."""

import math
from typing import NamedTuple

from clinical.schema import FEATURES

PARAMETERS = sum(len(feature.codes) - 1 if feature.codes else 1 for feature in FEATURES)
"""Of a regression on all features: one for a measurement, and for others one less than codes."""


class Criteria(NamedTuple):
    """The patients that each criterion needs."""

    r2: float  # of Cox and Snell
    highest_r2: float  # that is possible
    shrinkage: int  # for effects that shrink by at most 10 % in new patients
    optimism: int  # for Nagelkerke's R2 that is too high by at most .05
    prevalence: int  # for a mean that is known to within .05
    needed: int  # the highest number of them


def criteria(share: float, log_loss: float, parameters: int = PARAMETERS) -> Criteria | None:
    """Return the criteria for a share of diseased patients and a model's log-loss on new ones.

    None where the model predicts no better than the prevalence itself.

    References
    ----------
    Riley et al.: Minimum sample size for developing a multivariable prediction model, part II.
    Statistics in Medicine 2019. https://doi.org/10.1002/sim.7992
    """
    guessing = -share * math.log(share) - (1 - share) * math.log(1 - share)
    highest = 1 - math.exp(-2 * guessing)
    r2 = 1 - math.exp(-2 * (guessing - log_loss))
    if r2 <= 0:
        return None

    def at(shrinkage: float) -> int:
        return math.ceil(parameters / ((shrinkage - 1) * math.log(1 - r2 / shrinkage)))

    mean = math.ceil((1.96 / 0.05) ** 2 * share * (1 - share))
    numbers = (at(0.9), at(r2 / (r2 + 0.05 * highest)), mean)
    return Criteria(r2, highest, *numbers, max(numbers))
