"""The candidates of the registry, in the order that docs/service.md lists.

Only the follower imports this module's MLflow side; nothing here runs in a worker.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.request import url2pathname

from risk_model.errors import ModelError
from risk_model.locations import file_path, sqlite_path
from risk_model.serialization import refuse_links
from serving.errors import RegistryError
from serving.following.candidates import (
    REGISTERED,
    Candidate,
    NothingThereError,
    ReplacedError,
    of_version,
    tags_of,
)

CHAMPION = "champion"
CHALLENGER = "challenger"
PRODUCTION = "Production"
REJECTED = "rejected"
_MOST_VERSIONS = 20


class MlflowRegistry:
    """The registry that MLflow's own environment variables name.

    The experiment is where train runs are looked for. A pinned model URI is the only candidate;
    empty: those of the registry, in order.
    """

    def __init__(self, name: str, experiment: str, pinned: str = "") -> None:
        self._name = name
        self._experiment = experiment
        self._pinned = pinned
        self._files: dict[str, tuple[int, int]] = {}
        self._rejected_runs: set[str] = set()
        self.notes: list[str] = []
        """What somebody should know though it is no fault, as of the last look."""

    @cached_property
    def _mlflow(self) -> Any:
        """MLflow, whose import takes seconds: in the follower they count towards its first look."""
        import mlflow

        return mlflow

    def _client(self) -> Any:
        """Return a client, unless a database file is missing: a client would make an empty one."""
        for uri in {self._mlflow.get_tracking_uri(), self._mlflow.get_registry_uri()}:
            self._check_file(uri)
        return self._mlflow.MlflowClient()

    def _check_file(self, uri: str) -> None:
        path = sqlite_path(uri)
        if path is None:
            return
        try:
            status = os.stat(path)
        except OSError as error:
            if uri in self._files:
                raise RegistryError("The registry's database file is gone.") from error
            raise NothingThereError from error
        file = status.st_dev, status.st_ino
        if self._files.setdefault(uri, file) != file:
            raise ReplacedError

    def candidates(self) -> Iterator[Candidate]:
        """Yield candidates, best first; raise RegistryError where the registry does not answer."""
        self.notes = []
        with _registry_errors(), contextlib.suppress(NothingThereError):
            if self._pinned:
                yield self._resolve_pinned()
                return
            client = self._client()
            yield from self._registered(client)
            yield from self._trained(client)

    def challenger(self) -> Candidate | None:
        """Return what the alias challenger names, None where there is no such alias."""
        with _registry_errors(), contextlib.suppress(NothingThereError):
            client = self._client()
            model = self._find(lambda: client.get_registered_model(self._name))
            return self._aliased(client, model, CHALLENGER) if model else None
        return None

    def _aliased(self, client: Any, model: Any, alias: str) -> Candidate | None:
        number = (model.aliases or {}).get(alias)
        if number is None:
            return None
        version = self._find(lambda: client.get_model_version(self._name, str(number)))
        return of_version(version, f"alias {alias}") if version else None

    def _registered(self, client: Any) -> Iterator[Candidate]:
        self._rejected_runs = set()
        model = self._find(lambda: client.get_registered_model(self._name))
        if model is None:
            return
        latest = model.latest_versions or []
        staged = next((v for v in latest if v.current_stage == PRODUCTION), None)
        self.notes = _disagreement((model.aliases or {}).get(CHAMPION), staged)
        if (champion := self._aliased(client, model, CHAMPION)) is not None:
            yield champion
        if staged is not None:
            yield of_version(staged, f"stage {PRODUCTION}")
        versions = client.search_model_versions(f"name='{self._name}'", max_results=1000)
        versions = sorted(versions, key=lambda version: int(version.version), reverse=True)
        if self._in_catalog():
            # The results of a search have no tags there.
            versions = versions[:_MOST_VERSIONS]
            versions = [client.get_model_version(self._name, v.version) for v in versions]
        rejected = [v for v in versions if tags_of(v).get("gate.verdict") == REJECTED]
        self._rejected_runs = {version.run_id for version in rejected}
        for version in [v for v in versions if v not in rejected][:_MOST_VERSIONS]:
            yield of_version(version, "latest version that no gate rejected")

    def _in_catalog(self) -> bool:
        return str(self._mlflow.get_registry_uri()).startswith(("databricks-uc", "uc:"))

    def _trained(self, client: Any) -> Iterator[Candidate]:
        experiment = client.get_experiment_by_name(self._experiment_path())
        if experiment is None:
            return
        runs = client.search_runs(
            [experiment.experiment_id],
            "attributes.status = 'FINISHED' and tags.`heart.step` = 'train'",
            order_by=["attributes.end_time DESC"],
            max_results=5,
        )
        for run in runs:
            run_id = run.info.run_id
            # A model that the gate rejected is not let in by this door.
            if run_id not in self._rejected_runs and run.outputs and run.outputs.model_outputs:
                uri = f"models:/{run.outputs.model_outputs[0].model_id}"
                yield Candidate(f"run-{run_id}", "latest train run", uri, uri, {}, run_id)

    def _experiment_path(self) -> str:
        """Return the experiment's name; on Databricks it is a path in the workspace."""
        remote = self._mlflow.get_tracking_uri().startswith("databricks")
        relative = remote and not self._experiment.startswith("/")
        return f"/Shared/{self._experiment}" if relative else self._experiment

    def _resolve_pinned(self) -> Candidate:
        uri = self._pinned
        source = f"MODEL_URI {uri}"
        if registered := re.fullmatch(r"models:/([^/@]+)(?:/([^/@]+)|@([^/@]+))", uri):
            name, selector, alias = registered.groups()
            return of_version(_pinned_version(self._client(), name, selector, alias), source)
        if uri.startswith(("runs:/", "models:/")):
            self._client()  # else a path, which needs no store
        if run := re.match(r"runs:/([0-9a-f]+)/", uri):
            return Candidate(f"run-{run[1]}", source, uri, uri, {}, run[1])
        if uri.startswith("models:/"):
            return Candidate(f"model-{uri.removeprefix('models:/')}", source, uri, uri)
        path = file_path(uri) or Path(uri)
        try:
            changed = (path / "MLmodel").stat().st_mtime_ns
        except OSError as error:
            raise RegistryError("MODEL_URI names a path where there is no MLflow model.") from error
        return Candidate(f"path-{path.name}", source, str(path), f"{path.resolve()}|{changed}")

    def _find(self, ask: Any) -> Any:
        """Return the result of a query; None where there is none."""
        try:
            return ask()
        except self._mlflow.exceptions.MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
                return None
            raise

    def fetch(self, candidate: Candidate, folder: Path) -> None:
        """Put the files of a candidate into a folder."""
        with _registry_errors(f"The files of {candidate.version} cannot be fetched"):
            self._refuse_links(candidate.uri)
            downloaded = self._mlflow.artifacts.download_artifacts(
                artifact_uri=candidate.uri, dst_path=str(folder)
            )
        _move_up(Path(downloaded), folder)

    def monitor_run(self, version: str) -> dict[str, str] | None:
        """Return the latest run of `monitor` on a version, None where there is none."""
        if not version.startswith(REGISTERED):
            return None
        client = self._client()
        experiment = client.get_experiment_by_name(self._experiment_path())
        if experiment is None:
            return None
        runs = client.search_runs(
            [experiment.experiment_id],
            "attributes.status != 'RUNNING' and tags.`heart.step` = 'monitor' and "
            f"params.name = '{self._name}' and "
            f"tags.`monitor.version` = '{version.removeprefix(REGISTERED)}'",
            order_by=["attributes.end_time DESC"],
            max_results=1,
        )
        if not runs:
            return None
        info, tags = runs[0].info, runs[0].data.tags
        return {
            "run_id": info.run_id,
            "verdict": tags.get("monitor.verdict", ""),
            "reason": tags.get("monitor.reason", ""),
            "ended_at": datetime.fromtimestamp(info.end_time / 1000, UTC).isoformat(" ", "seconds"),
        }

    def fetch_file(self, run_id: str, name: str, folder: Path) -> None:
        """Put a file of a run into a folder."""
        self._refuse_links(f"runs:/{run_id}/{name}")
        self._client().download_artifacts(run_id, name, str(folder))

    def fetch_plots(self, run_id: str, folder: Path) -> None:
        """Put the plots of a run into a folder, as far as there are any."""
        client = self._client()
        self._refuse_links(f"runs:/{run_id}/plots")
        for file in client.list_artifacts(run_id, "plots"):
            if file.path.endswith(".png"):
                client.download_artifacts(run_id, file.path, str(folder))

    def _refuse_links(self, uri: str) -> None:
        """Raise ModelError for links among artifacts here: a download would copy their targets."""
        for path in filter(None, map(file_path, self._places(uri))):
            refuse_links(path)
            refuse_links(Path(url2pathname(str(path))))  # MLflow decodes %xx of plain paths too

    def _places(self, uri: str) -> list[str]:
        """Return from where MLflow would copy what a URI names."""
        from mlflow.store.artifact.models_artifact_repo import ModelsArtifactRepository
        from mlflow.store.artifact.runs_artifact_repo import RunsArtifactRepository

        models: Any = ModelsArtifactRepository
        runs: Any = RunsArtifactRepository
        if uri.startswith("models:/"):
            return [] if self._in_catalog() else [models.get_underlying_uri(uri)]
        if not uri.startswith("runs:/"):
            return [uri]
        client = self._client()
        outputs = client.get_run(runs.parse_runs_uri(uri)[0]).outputs
        logged = [client.get_logged_model(m.model_id) for m in outputs.model_outputs]
        return [runs.get_underlying_uri(uri), *(model.artifact_location for model in logged)]


@contextlib.contextmanager
def _registry_errors(failure: str = "The registry does not answer") -> Iterator[None]:
    """Raise RegistryError for any error of MLflow."""
    try:
        yield
    except (ModelError, RegistryError, ReplacedError):
        raise
    except Exception as error:
        raise RegistryError(f"{failure}: {_message(error)}") from error


def _move_up(downloaded: Path, folder: Path) -> None:
    """Move what a download put into a folder of its own up, as it does for runs and paths."""
    if downloaded.resolve() == folder.resolve():
        return
    for path in downloaded.iterdir():
        path.rename(folder / path.name)
    downloaded.rmdir()


def _message(error: Exception) -> str:
    """Say what went wrong in one line, without what may hold a password."""
    line = str(error).strip().splitlines()
    text = re.sub(r"//[^/@\s]+@", "//...@", line[0]) if line else ""
    return f"{type(error).__name__}: {text[:200]}"


def _pinned_version(client: Any, name: str, selector: str | None, alias: str | None) -> Any:
    if alias:
        return client.get_model_version_by_alias(name, alias)
    if selector and selector.isdecimal():
        return client.get_model_version(name, selector)
    versions = client.search_model_versions(f"name='{name}'", max_results=1000)
    if selector != "latest":  # a stage, whose case is as much the user's to choose as in MLflow
        versions = [v for v in versions if v.current_stage.lower() == str(selector).lower()]
    if not versions:
        raise RegistryError(f"MODEL_URI names a stage of {name} in which there is no version.")
    return max(versions, key=lambda version: int(version.version))


def _disagreement(number: Any, staged: Any) -> list[str]:
    if number is None or staged is None or str(number) == str(staged.version):
        return []
    return [
        f"Alias {CHAMPION} names version {number}, stage {PRODUCTION} version {staged.version}; "
        f"the alias is followed. `mlflow run . -e promote -P version={staged.version}` moves the "
        f"alias, `-P version={number}` the stage."
    ]
