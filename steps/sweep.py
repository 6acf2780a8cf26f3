"""Search for the best model on a cluster, say honestly how good it is, and train it."""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from distributed import Client
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from clinical import copies
from clinical.tables import plain_cell
from risk_model.card.wording import between
from steps.batch import cluster
from steps.modelling import metrics, searching
from steps.modelling.facts import Input
from steps.modelling.searching import DECIDES, FOLDS, MEASURES, Candidate, Results, Search
from steps.reports import search_plot
from steps.runs.files import ROOT, place
from steps.runs.launching import ensure
from steps.runs.orphans import OWNER_TAG
from steps.runs.parameters import check
from steps.runs.running import Values, run_step
from steps.runs.tracking import STEP_TAG, StepRun, latest_or_named, say
from steps.train import columns, read_patients

CANDIDATE = "candidate"
REGISTER = "mlflow run . -e register --env-manager local"
BEST = f"cv_{DECIDES}_mean"
SHARED = ("calibration", "test_size", "random_state")
"""What the user may ask of the sweep that each candidate, and the winner's training, takes over."""


def sweep(run: StepRun, values: Values, given: Run | None) -> None:
    """Search, validate the search itself, and train the winner in a run of its own."""
    # The cluster first: where it cannot be reached, nothing else needs to be made.
    with cluster.connect(str(values["scheduler"]), int(values["workers"])) as client:
        data = read_patients(run, values, given, "sweep")
        base = {"data": data.data, **{name: str(values[name]) for name in SHARED}}
        search, honest = find(run, values, data, client, check("train", base))
    log_findings(run, search, honest)
    best = {name: str(value) for name, value in search.best_params_.items()}
    trained = ensure("train", check("train", {**base, **best}), run)
    run.tag("heart.winner", trained.info.run_id)
    say(summary(search, honest, trained))


def find(
    run: StepRun, values: Values, data: Input, client: Client, base: Values
) -> tuple[Search, dict[str, float]]:
    """Return the search, and what it is worth on patients that it has not seen."""
    # As `train` does: the winner will be measured on patients who took no part in its choice.
    fitting, _ = copies.split(data.patients, float(base["test_size"]))
    x, y = columns(fitting)
    searching.require_enough(y)
    fixed: dict[str, Any] = {k: v for k, v in base.items() if k not in ("data", "test_size")}
    trials = int(values["trials"])
    fold = itertools.count(1)

    def tell(results: Results, first: int) -> None:
        log_candidates(run, results, first)
        done, best = len(results["params"]), searching.measured(results)[BEST].min()
        say(f"sweep: {done} of {trials} candidates tried, best Brier score {best:.4f}")

    def tell_fold(results: Results, _first: int) -> None:
        if len(results["params"]) == trials:
            say(f"sweep: nested cross-validation, fold {next(fold)} of {FOLDS} done")

    search = searching.prepare(
        Candidate(**fixed),
        str(values["models"]).split(","),
        trials,
        batch=max(searching.BATCH, 2 * sum(client.ncores().values())),
        tell=tell,
    )
    with searching.spread(client):
        search.fit(x, y)
        p = searching.out_of_fold(search.set_params(tell=tell_fold), x, y)
    return search, metrics.with_intervals(y, p, int(base["random_state"]))


def log_candidates(run: StepRun, results: Results, first: int) -> None:
    """Log the candidates that were not told before, each as a finished run below this one."""
    client = MlflowClient()
    # Of the same owner: should this process be killed, no run stays open.
    owner = client.get_run(run.run_id).data.tags[OWNER_TAG]
    tags = {STEP_TAG: CANDIDATE, MLFLOW_PARENT_RUN_ID: run.run_id, OWNER_TAG: owner}
    measured, now = searching.measured(results), time.time_ns() // 1_000_000
    for i, parameters in enumerate(results["params"][first:], start=first):
        name = f"{parameters['model']} {i + 1}"
        created = client.create_run(run.experiment_id, tags=tags, run_name=name)
        found = [Metric(key, float(of[i]), now, 0) for key, of in measured.items()]
        taken = [Param(key, str(value)) for key, value in parameters.items()]
        client.log_batch(created.info.run_id, found, taken)
        client.set_terminated(created.info.run_id)


def log_findings(run: StepRun, search: Search, honest: Mapping[str, float]) -> None:
    """Log the winner's measures, what the search is worth, all candidates and their picture."""
    winner = int(search.best_index_)
    measured = searching.measured(search.cv_results_)
    tried = pd.DataFrame(search.cv_results_["params"]).assign(**measured)
    mlflow.log_metrics({name: float(of[winner]) for name, of in measured.items()})
    mlflow.log_metrics({f"nested_{name}": value for name, value in honest.items()})
    with tempfile.TemporaryDirectory() as name:
        candidates = Path(name, "candidates.csv")
        tried.sort_values(BEST).map(plain_cell).to_csv(candidates, index=False)
        run.log_file(candidates)
        picture = search_plot.draw(Path(name, "search.png"), tried, winner, honest)
        run.log_file(picture, "plots")
        place(picture, ROOT / "plots" / picture.name)


def summary(search: Search, honest: Mapping[str, float], trained: Run) -> str:
    """Return what won, how good that is, and what to do with it."""
    best, held_out = searching.measured(search.cv_results_), trained.data.metrics
    chosen = dict(sorted(search.best_params_.items(), key=lambda item: item[0] != "model"))
    settings = ", ".join(
        f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in chosen.items()
    )
    rows = [
        f"  {name:<10} {best[f'cv_{name}_mean'][search.best_index_]:.3f}          "
        f"{between(honest, name)}   {between(held_out, name)}"
        for name in MEASURES
    ]
    return "\n".join(
        [
            f"sweep: the winner is {settings}",
            f"  {'':<10} the search's   nested, honest         held-out patients",
            *rows,
            "  The first column is the best of many draws, and so too good to be true.",
            f"Register: {REGISTER} -P run_id={trained.info.run_id}",
        ]
    )


def resolve(values: Values, experiment_id: str) -> Run | None:
    """Look up the run that `data` names; an empty one is looked for when the work begins."""
    return latest_or_named("preprocess", str(values["data"]), experiment_id)


def main() -> int:
    """Run the step from the command line."""
    return run_step("sweep", sweep, resolve=resolve)


if __name__ == "__main__":
    sys.exit(main())
