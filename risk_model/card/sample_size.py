"""How many patients a model of this many parameters needs: the criteria of Riley et al."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clinical.schema import FEATURES

PARAMETERS = sum(len(feature.codes) - 1 if feature.codes else 1 for feature in FEATURES)
"""Of a regression on all features: one for a measurement, and for others one less than codes."""


@dataclass(frozen=True)
class Criteria:
    """The patients that each criterion needs, from Cox and Snell's R2 and the highest possible.

    `shrinkage` is for effects that shrink by at most 10 % in new patients, `optimism` for
    Nagelkerke's R2 that is too high by at most .05, `prevalence` for a mean known to within .05.
    """

    r2: float
    highest_r2: float
    shrinkage: int
    optimism: int
    prevalence: int

    @property
    def needed(self) -> int:
        """The highest number of them."""
        return max(self.shrinkage, self.optimism, self.prevalence)


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

    intercept = math.ceil((1.96 / 0.05) ** 2 * share * (1 - share))
    return Criteria(r2, highest, at(0.9), at(r2 / (r2 + 0.05 * highest)), intercept)
