"""The model registry: versions, the aliases challenger and champion, stages that follow, history.

Aliases decide; stages, where the backend has them, are kept in line for those who read stages.
Aliases have no history of their own, so the registered model keeps one in a tag.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from steps.files import cache_dir
from steps.tracking import StepError, is_absence

CHAMPION, CHALLENGER, ARCHIVED = "champion", "challenger", "archived"
HISTORY_TAG = "champion.history"
VERDICT_TAG = "gate.verdict"
ARCHIVED_TAG = "archived"
HISTORY_LENGTH = 60  # entries; a tag holds 5,000 characters
ABOUT = (
    "Risk of coronary artery disease from 13 findings of a referred patient; see the README of the "
    "project. The alias champion is the version in charge, challenger the newest candidate. "
    "Not for clinical use."
)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Let one process of this machine at a time change a registered model.

    MLflow has no compare-and-set: without this, two registrations would both find the same
    champion and promote past each other.
    """
    digest = hashlib.sha256(f"{mlflow.get_registry_uri()} {name}".encode()).hexdigest()
    path = cache_dir() / "locks" / digest
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def model_uri(run: Run) -> str:
    """Return the URI of the model that a train run logged."""
    logged = run.outputs.model_outputs if run.outputs else []
    if not logged:
        raise StepError(f"run {run.info.run_id} has no model")
    return f"models:/{logged[-1].model_id}"


def number(version: ModelVersion) -> str:
    """Return the number of a version as text; some stores give text, others an integer."""
    return str(version.version)


def version_of(name: str, run_id: str) -> ModelVersion | None:
    """Return the version that was made from a run, if there is one."""
    found = versions(name, f" and run_id = '{run_id}'")
    return min(found, key=lambda version: int(number(version))) if found else None


def versions(name: str, condition: str = "") -> list[ModelVersion]:
    """Return the versions of a registered model, in no order."""
    client, found, token = MlflowClient(), [], None
    while True:
        page = client.search_model_versions(f"name = '{name}'{condition}", page_token=token)
        found += list(page)
        if not (token := page.token):
            return found


def named(name: str, version: str) -> ModelVersion:
    """Return a version by its number.

    Raises
    ------
    StepError
        Where it does not exist, naming those that do.
    """
    try:
        return MlflowClient().get_model_version(name, version)
    except MlflowException as error:
        if not is_absence(error):
            raise
        there = ", ".join(sorted(map(number, versions(name)), key=int)) or "none"
        raise StepError(f"{name} has no version {version}; there are: {there}") from None


def holder(name: str, alias: str) -> ModelVersion | None:
    """Return the version that an alias names, or None."""
    try:
        return MlflowClient().get_model_version_by_alias(name, alias)
    except MlflowException as error:
        # A store that fails must not look like a registry without a champion.
        if not is_absence(error):
            raise
        return None


def add_version(name: str, run: Run, description: str, tags: Mapping[str, str]) -> ModelVersion:
    """Make a version from a train run's model."""
    client = MlflowClient()
    made = number(mlflow.register_model(model_uri(run), name, tags=dict(tags)))
    client.update_model_version(name, made, description)
    if not client.get_registered_model(name).description:
        client.update_registered_model(name, ABOUT)
    return client.get_model_version(name, made)


def make_challenger(name: str, version: str) -> None:
    """Give a version the alias challenger."""
    champion = holder(name, CHAMPION)
    if champion and number(champion) == version:
        raise StepError(f"version {version} is the champion; make another version champion first")
    client = MlflowClient()
    client.set_registered_model_alias(name, CHALLENGER, version)
    client.delete_model_version_tag(name, version, ARCHIVED_TAG)
    align_stages(name)


def make_champion(name: str, version: str, by: str) -> None:
    """Give a version the alias champion, note it in the history, and let the stages follow."""
    history = read_history(name)
    client = MlflowClient()
    challenger = holder(name, CHALLENGER)
    client.set_registered_model_alias(name, CHAMPION, version)
    if challenger and number(challenger) == version:
        client.delete_registered_model_alias(name, CHALLENGER)
    client.delete_model_version_tag(name, version, ARCHIVED_TAG)
    _write_history(name, [*history, _entry(version, by)])
    align_stages(name)


def archive(name: str, version: str) -> None:
    """Take a version's aliases away, and mark it as archived."""
    client = MlflowClient()
    for alias in (CHAMPION, CHALLENGER):
        found = holder(name, alias)
        if found and number(found) == version:
            client.delete_registered_model_alias(name, alias)
    client.set_model_version_tag(name, version, ARCHIVED_TAG, "true")
    align_stages(name)


def roll_back(name: str) -> tuple[str, str]:
    """Put the champion before this one back; return the versions (dethroned, restored).

    Raises
    ------
    StepError
        Where there was none before, or none that still exists.
    """
    existing = {number(version) for version in versions(name)}
    past = reigns(read_history(name))
    current = past.pop() if past else ""
    # The reigns of a version that was deleted in between may have brought the same one twice.
    while past and (past[-1] not in existing or past[-1] == current):
        past.pop()
    if not past:
        raise StepError(f"{name} has no earlier champion to go back to")
    make_champion(name, past[-1], by="rollback")
    if current in existing:
        MlflowClient().set_model_version_tag(name, current, "rolled_back", "true")
    return current, past[-1]


def reigns(history: list[dict[str, str]]) -> list[str]:
    """Return the versions that a rollback would go through, the present champion last."""
    stack: list[str] = []
    for entry in history:
        if entry["by"] == "rollback":
            while stack and stack[-1] != entry["version"]:
                stack.pop()
        if not stack or stack[-1] != entry["version"]:
            stack.append(entry["version"])
    return stack


def read_history(name: str) -> list[dict[str, str]]:
    """Return every reign: version, since when, and by what; oldest first.

    Somebody may have moved the alias with MLflow's own client: that reign is added.
    """
    model = MlflowClient().get_registered_model(name)
    history: list[dict[str, str]] = json.loads(model.tags.get(HISTORY_TAG, "[]"))
    champion = holder(name, CHAMPION)
    if champion and (not history or history[-1]["version"] != number(champion)):
        history.append(_entry(number(champion), "another client"))
    return history


def _entry(version: str, by: str) -> dict[str, str]:
    return {"version": version, "at": datetime.now(UTC).isoformat(timespec="seconds"), "by": by}


def _write_history(name: str, history: list[dict[str, str]]) -> None:
    value = json.dumps(history[-HISTORY_LENGTH:], separators=(",", ":"))
    MlflowClient().set_registered_model_tag(name, HISTORY_TAG, value)


def has_stages() -> bool:
    """Tell whether the registry has stages; Unity Catalog has none."""
    return not str(mlflow.get_registry_uri()).startswith("databricks-uc")


def align_stages(name: str) -> None:
    """Bring every version's stage in line with the aliases."""
    if not has_stages():
        return
    champion, challenger = holder(name, CHAMPION), holder(name, CHALLENGER)
    dethroned = {entry["version"] for entry in read_history(name)}
    client = MlflowClient()
    for version in versions(name):
        if champion and number(version) == number(champion):
            wanted = "Production"
        elif challenger and number(version) == number(challenger):
            wanted = "Staging"
        elif number(version) in dethroned or ARCHIVED_TAG in version.tags:
            wanted = "Archived"
        elif version.current_stage == "Archived":
            continue  # the history is bounded, and may have forgotten its reign
        else:
            wanted = "None"
        if version.current_stage != wanted:
            with warnings.catch_warnings():
                # Stages are deprecated in MLflow, and promised by this project as long as it can.
                warnings.simplefilter("ignore", FutureWarning)
                client.transition_model_version_stage(name, number(version), wanted)
