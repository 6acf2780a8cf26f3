"""Whether patients differ from those of the baseline: a test in which both are samples.

A baseline of 242 patients is itself a draw. A test that takes its shares for the truth finds drift
in nearly every large window; see docs/decisions/0027-monitoring.md.

References
----------
Scholz, Stephens: K-sample Anderson-Darling tests. Journal of the American Statistical Association
1987. https://doi.org/10.1080/01621459.1987.10478517
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clinical.schema import FEATURES

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

SCREENING, DRAWS = 200, 2000
LEVEL = 0.04
"""The chance, at most, that some variable of a window seems to drift where nothing has changed.

5 % are promised, and a benchmark counts them.
"""
MATTERS = 0.1
"""The PSI beyond what chance alone gives from which a drift is an alarm."""
SEED = 20240  # the same log gets the same answer
_NOMINAL = {feature.name for feature in FEATURES if feature.nominal}


@dataclass(frozen=True)
class Drift:
    """How far a variable is from the baseline."""

    psi: float  # population stability index
    by_chance: float  # the PSI in the mean where nothing has changed
    p_value: float  # of this variable alone: of counts at least as far apart
    detected: bool = False  # beyond chance, all variables of the window taken together

    @property
    def matters(self) -> bool:
        """Whether it is beyond chance and of a size that matters."""
        return self.detected and self.psi - self.by_chance >= MATTERS


def psi(before: Counts, now: Counts) -> Floats:
    """Return the population stability index of counts by bin, of shape (..., n_bins).

    Half a patient is added to each bin, so that an empty one does not make it infinite.
    """
    p, q = ((one + 0.5) / (one + 0.5).sum(axis=-1, keepdims=True) for one in (before, now))
    return np.asarray(((q - p) * np.log(q / p)).sum(axis=-1))


def cuts_of(bins: int, *, nominal: bool) -> Floats:
    """Return the ways to divide bins in two that the test looks at, shape (n_cuts, bins).

    Each code against the others where codes have no order, else up to each bin against those
    beyond it; and in any case the last bin, of unknown values, against the others.
    """
    cuts = np.eye(bins - 1) if nominal else np.tri(bins - 2, bins - 1)
    return np.vstack([np.pad(cuts, ((0, 0), (0, 1))), np.eye(1, bins, bins - 1)])


def compare(before: Counts, now: Counts, random: np.random.Generator, *, nominal: bool) -> Drift:
    """Compare a variable's counts by permutation: which patients are the baseline's is drawn anew.

    Both are of shape (n_bins,), in the same bins, the last of them for unknown values; `nominal`
    bins have no order. The statistic is the sum, over cuts, of the squared difference of the
    shares on one side, by its variance (Anderson and Darling's, for ordered bins): it sees a shift
    that moves some of each bin, which is noise to the PSI of few patients.
    """
    both, cuts = before + now, cuts_of(len(before), nominal=nominal)
    share = cuts @ both / both.sum()
    # A cut without patients on one side holds no information.
    cuts, share = cuts[(share > 0) & (share < 1)], share[(share > 0) & (share < 1)]

    def distance(one: Counts, other: Counts) -> Floats:
        apart = (one / before.sum() - other / now.sum()) @ cuts.T
        return np.asarray((apart**2 / (share * (1 - share))).sum(axis=-1))

    for draws in (SCREENING, DRAWS):
        drawn = random.multivariate_hypergeometric(both, int(now.sum()), draws, method="marginals")
        as_far = np.count_nonzero(distance(both - drawn, drawn) >= distance(before, now) - 1e-12)
        if as_far > SCREENING / 10:
            break  # far from any level: more draws would change nothing
    chance = float(psi(both - drawn, drawn).mean())
    return Drift(float(psi(before, now)), chance, float((1 + as_far) / (1 + draws)))


def compare_all(before: dict[str, Counts], now: dict[str, Counts]) -> dict[str, Drift]:
    """Compare all variables of a window; what is beyond chance is decided by Holm's method."""
    random = np.random.default_rng(SEED)
    compared = {
        name: compare(before[name], counts, random, nominal=name in _NOMINAL)
        for name, counts in now.items()
        if before[name].sum() and counts.sum()
    }
    for place, name in enumerate(sorted(compared, key=lambda name: compared[name].p_value)):
        if compared[name].p_value > LEVEL / (len(compared) - place):
            break
        compared[name] = replace(compared[name], detected=True)
    return compared
