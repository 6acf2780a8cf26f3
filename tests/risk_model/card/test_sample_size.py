import math

import pytest

from risk_model.card import sample_size


def test_a_published_example_gives_the_published_numbers() -> None:
    """That of the R package pmsampsize: 24 parameters, prevalence .174, R2 .288."""
    share = 0.174
    guessing = -share * math.log(share) - (1 - share) * math.log(1 - share)
    loss = guessing + math.log(1 - 0.288) / 2
    found = sample_size.criteria(share, loss, 24)
    assert found is not None
    assert found.r2 == pytest.approx(0.288)
    assert (found.shrinkage, found.optimism, found.prevalence) == (623, 662, 221)
    assert found.needed == 662


@pytest.mark.parametrize("loss", [0.69, 0.8])
def test_a_model_that_says_no_more_than_the_prevalence_has_no_sample_size(loss: float) -> None:
    assert sample_size.criteria(0.46, loss) is None
