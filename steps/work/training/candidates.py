"""The candidates and the result of a search, as runs and artifacts."""

import tempfile
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Param
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from clinical.tables import plain_cell
from steps.modelling.searching import BEST, MEASURES, Candidate, best
from steps.reports import search_plot
from steps.runs.files import as_json
from steps.runs.tracking.datasets import PATIENTS
from steps.runs.tracking.step_run import StepRun
from steps.runs.tracking.tags import OWNER_TAG, STEP_TAG

CANDIDATE = "candidate"


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
    logged = StepRun(run_id, run.experiment_id, datasets=run.datasets)
    logged.log_metrics(candidate.measures, PATIENTS)
    client.set_terminated(run_id)
    client.delete_tag(run_id, OWNER_TAG)


def log_result(run: StepRun, tried: list[Candidate], honest: dict[str, float]) -> None:
    """Log the winner's and the nested measures, all candidates, and their picture."""
    winner = best(tried)
    table = pd.DataFrame([{**one.parameters, **one.measures} for one in tried])
    run.log_metrics(winner.measures, PATIENTS)
    run.log_metrics({f"nested_{name}": honest[name] for name in MEASURES}, PATIENTS)
    cells = table.sort_values(BEST).map(plain_cell)
    run.log_text("candidates.csv", cells.to_csv(index=False, lineterminator="\n"))
    run.log_text("search.json", as_json({"winner": winner.parameters, "nested": honest}))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "search.png")
        run.log_file(search_plot.draw(path, table, tried.index(winner), honest), "plots", "plots")
