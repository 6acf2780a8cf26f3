"""The search: try candidates on a cluster, validate the search itself, train the winner."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from distributed import Client
from mlflow import MlflowClient
from mlflow.entities import Param, Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from clinical import copies
from clinical.tables import plain_cell
from risk_model.card import wording
from risk_model.card.wording import between
from steps.batch import cluster
from steps.modelling import estimators, metrics, searching
from steps.modelling.facts import Input
from steps.modelling.searching import DECIDES, FOLDS, MEASURES, Candidate, Patients, Search
from steps.parameters.declaration import as_texts, check, select
from steps.parameters.entry_points import Sweep, Train
from steps.reports import search_plot
from steps.runs.files import as_json
from steps.runs.launching import run_or_reuse
from steps.runs.terminal import echo
from steps.runs.tracking.datasets import PATIENTS
from steps.runs.tracking.step_run import StepRun
from steps.runs.tracking.tags import OWNER_TAG, STEP_TAG
from steps.work.patients import read_patients

CANDIDATE = "candidate"
REGISTER = "mlflow run . -e register --env-manager local"
BEST = f"cv_{DECIDES}_mean"
PROGRESS = 12
"""After how many candidates a line says how far it is."""


def sweep(run: StepRun, values: Sweep, given: Run | None) -> None:
    """Search, validate the search itself, and train the winner in a run of its own."""
    # The cluster first: where it cannot be reached, nothing else needs to be made.
    with cluster.connect(values.scheduler, values.workers) as client:
        data = read_patients(run, values, given)
        run.rename(", ".join(values.models), data.source)
        base = select(Train, vars(values), data=data.data)
        tried, honest = find(run, values, data, client, base)
    log_findings(run, tried, honest)
    best = {name: str(value) for name, value in searching.best(tried).parameters.items()}
    trained = run_or_reuse(check(Train, as_texts(base) | best), run)
    run.tag("heart.winner", trained.info.run_id)
    found = f"{wording.in_brief(honest)}, on patients that the search has not seen"
    run.describe(f"The winner is a {best['model']}. What the search is worth: {found}.")
    echo(summary(searching.best(tried), honest, trained))


def find(
    run: StepRun, values: Sweep, data: Input, client: Client, base: Train
) -> tuple[list[Candidate], dict[str, float]]:
    """Return what was tried, and what the search is worth on patients that it has not seen."""
    # As `train` does: the winner will be measured on patients who took no part in its choice.
    fitting, _ = copies.split(data.patients, base.test_size)
    patients = Patients(*estimators.columns(fitting))
    searching.require_enough(patients.labels)
    drawn = searching.draw(values.models, values.trials, base.random_state)
    search = Search(client, patients, drawn, base)
    tried: list[Candidate] = []
    for candidate in search.candidates():
        tried.append(candidate)
        log_candidate(run, candidate, len(tried))
        if len(tried) % PROGRESS == 0 or len(tried) == len(drawn):
            best = searching.best(tried).measures[BEST]
            echo(
                f"sweep: {len(tried)} of {len(drawn)} candidates tried, best Brier score {best:.4f}"
            )
    p = np.empty(len(patients.labels))
    for number, (rows, said) in enumerate(search.out_of_fold(), start=1):
        p[rows] = said
        echo(f"sweep: nested cross-validation, fold {number} of {FOLDS} done")
    return tried, metrics.with_intervals(patients.labels, p, base.random_state)


def log_candidate(run: StepRun, candidate: Candidate, number: int) -> None:
    """Log a candidate as a finished run below this one."""
    client = MlflowClient()
    parent = client.get_run(run.run_id)
    # Of the same owner: should this process be killed, no run stays open.
    owner = parent.data.tags[OWNER_TAG]
    tags = {STEP_TAG: CANDIDATE, MLFLOW_PARENT_RUN_ID: run.run_id, OWNER_TAG: owner}
    name = f"{candidate.parameters['model']} {number}"
    run_id = client.create_run(run.experiment_id, tags=tags, run_name=name).info.run_id
    client.log_inputs(run_id, datasets=parent.inputs.dataset_inputs if parent.inputs else [])
    parameters = [Param(key, str(value)) for key, value in candidate.parameters.items()]
    client.log_batch(run_id, params=parameters)
    made = StepRun(run_id, run.experiment_id, datasets=run.datasets)
    made.log_metrics(candidate.measures, PATIENTS)
    client.set_terminated(run_id)
    client.delete_tag(run_id, OWNER_TAG)


def log_findings(run: StepRun, tried: Sequence[Candidate], honest: Mapping[str, float]) -> None:
    """Log the winner's measures, what the search is worth, all candidates and their picture."""
    best = searching.best(tried)
    table = pd.DataFrame([{**one.parameters, **one.measures} for one in tried])
    run.log_metrics(best.measures, PATIENTS)
    run.log_metrics({f"nested_{name}": honest[name] for name in MEASURES}, PATIENTS)
    with tempfile.TemporaryDirectory() as name:
        candidates = Path(name, "candidates.csv")
        table.sort_values(BEST).map(plain_cell).to_csv(candidates, index=False)
        run.log_file(candidates)
        figures = Path(name, "search.json")
        figures.write_text(as_json({"winner": best.parameters, "nested": honest}))
        run.log_file(figures)
        winner = tried.index(best)
        picture = search_plot.draw(Path(name, "search.png"), table, winner, honest)
        run.log_file(picture, "plots", copy="plots")


def summary(best: Candidate, honest: Mapping[str, float], trained: Run) -> str:
    """Return what won, how good that is, and what to do with it."""
    held_out = trained.data.metrics
    chosen = dict(sorted(best.parameters.items(), key=lambda item: item[0] != "model"))
    settings = ", ".join(
        f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in chosen.items()
    )
    rows = [
        f"  {name:<10} {best.measures[f'cv_{name}_mean']:.3f}          "
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
