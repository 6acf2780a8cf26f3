"""A random search for the best model, its fits spread over a Dask cluster.

Workers import this module: it needs scikit-learn and nothing of MLflow.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from distributed import Client, Future
from scipy.stats import loguniform, randint
from sklearn.model_selection import ParameterSampler, StratifiedKFold

from clinical.copies import split
from clinical.errors import DataError
from steps.modelling import metrics
from steps.modelling.estimators import Patients, columns, from_parameters
from steps.modelling.metrics import Floats, Indices
from steps.parameters.entry_points import Train

Parameters = dict[str, Any]

MEASURES = ("brier", "roc_auc", "log_loss")
BEST = "cv_brier_mean"
"""The measure by which a candidate wins, the lower the better; the gate compares it too."""

FOLDS = 5
FEWEST = 10
"""Patients of each class that folds within folds within folds need."""

TREES = {
    "n_estimators": randint(25, 201),
    "max_depth": randint(2, 11),
    "min_samples_leaf": randint(1, 21),
}
SPACES: dict[str, dict[str, Any]] = {
    "random_forest": TREES,
    "extra_trees": TREES,
    "logistic_regression": {"C": loguniform(1e-3, 1e2)},
    "hist_gradient_boosting": TREES,
}
"""What is searched for each model, all of it parameters of `train`: distributions by name."""


@dataclass(frozen=True)
class Candidate:
    """What was drawn, and how good it is: mean and deviation, named as those of `train`."""

    parameters: Parameters
    measures: dict[str, float]


def draw(models: Sequence[str], trials: int, seed: int) -> list[Parameters]:
    """Return so many candidates of models, drawn in equal parts."""
    spaces = [{"model": [model], **SPACES[model]} for model in models]
    return list(ParameterSampler(spaces, trials, random_state=seed))


class Search:
    """A search on a cluster, among what `draw` returned; `base` has the other parameters.

    All fits are sent at once; a worker that dies loses none of them.
    """

    def __init__(
        self, client: Client, patients: Patients, drawn: Sequence[Parameters], base: Train
    ) -> None:
        self.drawn, self._labels, self._client, self._base = drawn, patients.labels, client, base
        # A task's result, which Dask can make again, unlike data that is put on one worker.
        self._patients = client.submit(Patients, *patients)
        everybody = np.arange(len(patients.labels))
        self._whole = self._evaluate(everybody)
        self._splits = list(folds(base.random_state).split(everybody, patients.labels))
        self._nested = [self._evaluate(fitting) for fitting, _ in self._splits]

    def _evaluate(self, rows: Indices) -> list[Future]:
        return [
            self._client.submit(cross_validate, self._patients, rows, replace(self._base, **drawn))
            for drawn in self.drawn
        ]

    def candidates(self) -> Iterator[Candidate]:
        """Yield the candidates in the order in which they were drawn, each when it is measured."""
        for drawn, future in zip(self.drawn, self._whole, strict=True):
            yield Candidate(drawn, future.result())

    def out_of_fold(self) -> Iterator[tuple[Indices, Floats]]:
        """Yield the rows of each fifth with the probabilities of a search without them.

        Nested cross-validation: the search is done anew without each fifth of the patients.
        """
        for (fitting, test), futures in zip(self._splits, self._nested, strict=True):
            tried = map(Candidate, self.drawn, self._client.gather(futures))
            chosen = replace(self._base, **best(tried).parameters)
            future = self._client.submit(fit_and_predict, self._patients, fitting, test, chosen)
            yield test, future.result()

    def nested_measures(self, note: Callable[[int], None]) -> dict[str, float]:
        """Return the winner's out-of-fold measures; `note` gets the number of each fold."""
        p = np.empty(len(self._labels))
        for number, (rows, predicted) in enumerate(self.out_of_fold(), start=1):
            p[rows] = predicted
            note(number)
        return metrics.with_intervals(self._labels, p, self._base.random_state)


def best(candidates: Iterable[Candidate]) -> Candidate:
    """Return the winner: the first of those with the lowest mean of the measure that decides."""
    return min(candidates, key=lambda candidate: candidate.measures[BEST])


def folds(seed: int) -> StratifiedKFold:
    """Return how patients are divided, within the search and around it."""
    return StratifiedKFold(FOLDS, shuffle=True, random_state=seed)


def cross_validate(patients: Patients, rows: Indices, values: Train) -> dict[str, float]:
    """Return mean and standard deviation of each measure over the folds of some patients."""
    labels = patients.labels[rows]
    scores = [
        metrics.scores(labels[test], fit_and_predict(patients, rows[fit], rows[test], values))
        for fit, test in folds(values.random_state).split(rows, labels)
    ]
    return metrics.over_folds(scores, MEASURES)


def fit_and_predict(patients: Patients, fit: Indices, test: Indices, values: Train) -> Floats:
    """Return the probabilities of the rows `test` by what `train` would fit on the rows `fit`."""
    x, y = patients
    model = from_parameters(values).fit(x.iloc[fit], y[fit])
    return np.asarray(model.predict_proba(x.iloc[test])[:, 1], dtype=float)


def start(
    client: Client, patients: pd.DataFrame, models: Sequence[str], trials: int, base: Train
) -> Search:
    """Start a search on prepared patients; a `DataError` where they are too few.

    The winner will be measured as `train` does: on patients not used to choose it.
    """
    fitting, _ = split(patients, base.test_size)
    prepared = columns(fitting)
    if (rarest := int(np.bincount(prepared.labels, minlength=2).min())) < FEWEST:
        raise DataError(
            f"a search needs {FEWEST} training rows of each class; the rarer class has {rarest}"
        )
    return Search(client, prepared, draw(models, trials, base.random_state), base)
