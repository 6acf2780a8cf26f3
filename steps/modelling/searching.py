"""Searching for the best model: scikit-learn's random search, its fits spread over a cluster.

Workers import this module: it needs scikit-learn and nothing of MLflow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import joblib
import numpy as np
import pandas as pd
from distributed import Client
from joblib._dask import DaskDistributedBackend
from numpy.typing import NDArray
from scipy.stats import loguniform, randint
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import (
    ParameterSampler,
    RandomizedSearchCV,
    StratifiedKFold,
    cross_val_predict,
)

from clinical.errors import DataError
from steps.modelling import estimators

Results = dict[str, Any]
Tell = Callable[[Results, int], None]

MEASURES = {"brier": "neg_brier_score", "roc_auc": "roc_auc", "log_loss": "neg_log_loss"}
DECIDES = "brier"
"""The measure by which a candidate wins; the gate asks for it too."""

FOLDS = 5
FEWEST = 10
"""Patients of each class without whom folds within folds within folds have none of it."""

BATCH = 12
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


class Candidate(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """The model that parameters of `train` describe, as an estimator that can be searched.

    Parameters
    ----------
    model, n_estimators, max_depth, min_samples_leaf, C, calibration, random_state
        See `estimators.build`.
    """

    def __init__(  # noqa: PLR0913
        self,
        *,
        model: str,
        n_estimators: int,
        max_depth: int,
        min_samples_leaf: int,
        C: float,  # noqa: N803
        calibration: str,
        random_state: int,
    ) -> None:
        self.model = model
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.min_samples_leaf = min_samples_leaf
        self.C = C
        self.calibration = calibration
        self.random_state = random_state

    def fit(self, features: pd.DataFrame, y: NDArray[np.int8]) -> Self:
        """Fit the model as `train` does."""
        recipe = estimators.build(**self.get_params())
        # A fit is one task. Left alone, a forest would make a task of each tree: on two workers
        # that takes three times as long as on one.
        with joblib.parallel_config("sequential"):
            self.fitted_ = recipe.fit(features, y)
        self.classes_ = self.fitted_.classes_
        return self

    def predict_proba(self, features: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probabilities of both classes, shape (n_rows, 2)."""
        with joblib.parallel_config("sequential"):
            return np.asarray(self.fitted_.predict_proba(features))

    def predict(self, features: pd.DataFrame) -> NDArray[np.int8]:
        """Return the likelier class of each row, shape (n_rows,)."""
        return np.asarray(self.classes_[self.predict_proba(features).argmax(axis=1)])


class Search(RandomizedSearchCV):  # type: ignore[misc]
    """scikit-learn's random search, which tells what it has found as it goes on.

    Parameters
    ----------
    estimator, param_distributions, n_iter, cv, n_jobs, random_state
        See `RandomizedSearchCV`.
    batch : int
        How many candidates are tried between two tellings.
    tell : callable
        ``tell(results, first)``: what ``cv_results_`` will be, as far as it is known, and the
        first candidate that was not told before.
    """

    def __init__(  # noqa: PLR0913
        self,
        estimator: Candidate,
        param_distributions: list[dict[str, Any]],
        *,
        n_iter: int,
        cv: StratifiedKFold,
        n_jobs: int,
        random_state: int,
        batch: int,
        tell: Tell,
    ) -> None:
        super().__init__(
            estimator,
            param_distributions,
            n_iter=n_iter,
            cv=cv,
            n_jobs=n_jobs,
            random_state=random_state,
            scoring=MEASURES,
            refit=DECIDES,
            error_score="raise",
        )
        self.batch = batch
        self.tell = tell

    def _run_search(self, evaluate_candidates: Callable[[list[dict[str, Any]]], Results]) -> None:
        # The hook that scikit-learn documents for subclasses: it may evaluate more than once.
        drawn = list(
            ParameterSampler(self.param_distributions, self.n_iter, random_state=self.random_state)
        )
        for first in range(0, len(drawn), self.batch):
            results = evaluate_candidates(drawn[first : first + self.batch])
            self.tell(results, first)

    def __getstate__(self) -> dict[str, Any]:
        # scikit-learn sends the search along with each fit; nobody is to be told on a worker.
        return {**super().__getstate__(), "tell": None}


class Spread(DaskDistributedBackend):  # type: ignore[misc]
    """joblib's Dask backend, for tasks that take a while, on workers that may die."""

    def submit(self, func: Any, callback: Any = None) -> Any:
        """Send a task with all that it needs.

        joblib would put the patients on one worker for the others to fetch: with that worker,
        they and the search would be lost. What stands in a tuple it leaves where it is.
        """
        func.items = [(_call, item, {}) for item in func.items]
        return super().submit(func, callback)

    def compute_batch_size(self) -> int:
        """Return 1: what is fast to fit must not hold back what is slow."""
        return 1

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Return 1 where that is asked for, which stays in this process, else more than cores.

        One more, so that a single core is not taken for "in this process" too.
        """
        return 1 if n_jobs == 1 else 1 + int(super().effective_n_jobs(n_jobs))


def _call(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    return function(*args, **kwargs)


@contextmanager
def spread(client: Client) -> Iterator[None]:
    """Send what joblib is asked to do within the block with ``n_jobs=-1`` to a cluster."""
    with joblib.parallel_config(Spread(client=client), n_jobs=1):
        yield


def prepare(
    candidate: Candidate, models: Sequence[str], trials: int, batch: int, tell: Tell
) -> Search:
    """Return a search that has yet to begin: so many candidates of models, drawn in equal parts."""
    seed = candidate.random_state
    return Search(
        candidate,
        [{"model": [model], **SPACES[model]} for model in models],
        n_iter=trials,
        cv=folds(seed),
        n_jobs=-1,
        random_state=seed,
        batch=batch,
        tell=tell,
    )


def folds(seed: int) -> StratifiedKFold:
    """Return how patients are divided, within the search and around it."""
    return StratifiedKFold(FOLDS, shuffle=True, random_state=seed)


def out_of_fold(search: Search, features: pd.DataFrame, y: NDArray[np.int8]) -> NDArray[np.float64]:
    """Return what the winners of searches say of patients that these searches never saw.

    Nested cross-validation: the search is done anew without each fifth of the patients.

    Returns
    -------
    array of float, shape (n_rows,)
        Probabilities of disease.
    """
    outer = folds(search.random_state)
    said = cross_val_predict(search, features, y, cv=outer, n_jobs=1, method="predict_proba")
    return np.asarray(said[:, 1], dtype=float)


def require_enough(y: NDArray[np.int8]) -> None:
    """Refuse training rows that cannot be divided as often as a search does.

    Raises
    ------
    DataError
        Where a class has too few rows.
    """
    rarest = int(np.bincount(y, minlength=2).min())
    if rarest < FEWEST:
        raise DataError(
            f"a search needs {FEWEST} training rows of each class; the rarer class has {rarest}"
        )


def measured(results: Results) -> dict[str, NDArray[np.float64]]:
    """Return mean and standard deviation over the folds of each measure, one per candidate.

    Named as `train` names them, ``cv_brier_mean``; what scikit-learn negates, so that more is
    better, is itself again.
    """
    found = {}
    for name, scorer in MEASURES.items():
        sign = -1 if scorer.startswith("neg_") else 1
        found[f"cv_{name}_mean"] = sign * results[f"mean_test_{name}"]
        # scikit-learn's is that of these folds alone, that of `train` the estimate for others.
        found[f"cv_{name}_std"] = results[f"std_test_{name}"] * (FOLDS / (FOLDS - 1)) ** 0.5
    return found
