"""What a person may do with a result: look at its runs, serve its model."""

import shlex

import mlflow
from mlflow.utils.mlflow_tags import MLFLOW_SOURCE_NAME

from risk_model.locations import file_path, sqlite_path
from steps.parameters.uris import redact_credentials
from steps.runs.files import ROOT


def how_to_look() -> str:
    """Return how a person sees the runs of the tracking store."""
    uri = mlflow.get_tracking_uri()
    if uri.startswith("http"):
        return f"open {redact_credentials(uri)}"
    if sqlite_path(uri) == ROOT / "mlflow.db":
        return "mlflow ui, then http://localhost:5000"
    store = shlex.quote(redact_credentials(uri))
    return f"mlflow ui --backend-store-uri {store}, then http://localhost:5000"


def how_to_serve(run_id: str) -> str:
    """Return how a person serves the model, from where they have started a run of the project."""
    project = mlflow.MlflowClient().get_run(run_id).data.tags.get(MLFLOW_SOURCE_NAME, "")
    folder = file_path(project)
    if folder is None or not folder.exists():
        # The clone that the steps run in is MLflow's, and will be deleted.
        url = shlex.quote(redact_credentials(project))
        return f"mlflow run {url} -e serve --env-manager local"
    return "gunicorn -c serving/gunicorn.conf.py"
