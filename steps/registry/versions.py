"""The model registry: versions, the aliases challenger and champion, stages that follow, history.

Aliases decide; stages, where the backend has them, are kept in line for clients that read stages.
Aliases have no history of their own: the registered model names its champions in a tag, and each of
them says in one since when. Databricks has two registries: that of a workspace has stages alone,
Unity Catalog aliases alone. See docs/decisions/0013-databricks.md and 0024-what-mlflow-shows.md.
"""

import hashlib
import re
import warnings
from datetime import UTC, datetime

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.utils.models import get_model_name_and_version

from steps.registry import history
from steps.runs.files import cache_dir
from steps.runs.store import StepError, is_not_found, scheme

CHAMPION, CHALLENGER, ARCHIVED = "champion", "challenger", "archived"
HISTORY_TAG, SINCE_TAG = "champion.history", "champion.since"
ARCHIVED_TAG, ROLLED_BACK_TAG = "archived", "rolled_back"
STAGE_OF = {CHAMPION: "Production", CHALLENGER: "Staging"}
ABOUT = (
    "Probability of coronary artery disease from 13 findings of a referred patient; see the README "
    "of the project. The alias champion is the version in charge, challenger the newest candidate. "
    "Not for clinical use."
)


def locked(name: str) -> FileLock:
    """Return the lock by which one process of this machine at a time changes a registered model.

    MLflow has no compare-and-set: without this, two registrations would both find the same
    champion and promote past each other.
    """
    digest = hashlib.sha256(f"{mlflow.get_registry_uri()} {name}".encode()).hexdigest()
    path = cache_dir() / "locks" / digest
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)


def model_uri(run: Run) -> str:
    """Return the URI of the model that a train run logged."""
    logged = run.outputs.model_outputs if run.outputs else []
    if not logged:
        raise StepError(f"run {run.info.run_id} has no model")
    return f"models:/{logged[-1].model_id}"


def pinned(uri: str) -> tuple[str, str]:
    """Return a model's URI with the number of the version that it names now, and that number.

    An alias may move while a step runs. Of no registered version, the URI stays without a number.

    Raises a `StepError` where there is no such alias or stage.
    """
    if not re.match(r"models:/[^/@]+[/@]", uri):
        return uri, ""
    if not has_aliases():
        for alias, stage in STAGE_OF.items():
            uri = uri.replace(f"@{alias}", f"/{stage}")
    try:
        name, version = get_model_name_and_version(MlflowClient(), uri)  # type: ignore[no-untyped-call]
    except MlflowException as error:
        if not is_not_found(error):
            raise
        raise StepError(f"there is no model {uri}; 'mlflow run . -e main' makes one") from None
    return f"models:/{name}/{version}", str(version)


def number(version: ModelVersion) -> str:
    """Return the number of a version as text; some stores give text, others an integer."""
    return str(version.version)


def version_of(name: str, run_id: str) -> ModelVersion | None:
    """Return the version that was made from a run, if there is one."""
    numbers = [number(version) for version in versions(name) if version.run_id == run_id]
    # The results of a search have neither tags nor aliases in Unity Catalog.
    return named(name, min(numbers, key=int)) if numbers else None


def versions(name: str) -> list[ModelVersion]:
    """Return the versions of a registered model, in no order."""
    return list(mlflow.search_model_versions(filter_string=f"name = '{name}'"))


def named(name: str, version: str) -> ModelVersion:
    """Return a version by its number.

    Raises a `StepError` where it does not exist, naming those that do.
    """
    try:
        return MlflowClient().get_model_version(name, version)
    except MlflowException as error:
        if not is_not_found(error):
            raise
        there = ", ".join(sorted(map(number, versions(name)), key=int)) or "none"
        raise StepError(f"{name} has no version {version}; there are: {there}") from None


def holder(name: str, alias: str) -> ModelVersion | None:
    """Return the version that an alias names, or None; without aliases, that in its stage."""
    if not has_aliases():
        staged = [v for v in versions(name) if v.current_stage == STAGE_OF[alias]]
        return max(staged, key=lambda version: int(number(version)), default=None)
    try:
        return MlflowClient().get_model_version_by_alias(name, alias)
    except MlflowException as error:
        # A store that fails must not look like a registry without a champion.
        if not is_not_found(error):
            raise
        return None


def add_version(name: str, run: Run, description: str, tags: dict[str, str]) -> ModelVersion:
    """Make a version from a train run's model."""
    client = MlflowClient()
    named_tags = {stored(key): value for key, value in tags.items()}
    created = number(mlflow.register_model(model_uri(run), name, tags=named_tags))
    client.update_model_version(name, created, description)
    if not client.get_registered_model(name).description:
        client.update_registered_model(name, ABOUT)
    return client.get_model_version(name, created)


def make_challenger(name: str, version: str) -> None:
    """Give a version the alias challenger."""
    if CHAMPION in aliases(name, version):
        raise StepError(f"version {version} is the champion; make another version champion first")
    _set_alias(name, CHALLENGER, version)
    tag(name, version, ARCHIVED_TAG, "")
    align_stages(name)


def make_champion(name: str, version: str, by: str) -> None:
    """Give a version the alias champion, note it in the history, and let the stages follow."""
    _set_champion(name, [*champions(name), version], by)


def _set_champion(name: str, past: list[str], by: str) -> None:
    """Make the last version of a history champion."""
    version = past[-1]
    _set_alias(name, CHAMPION, version)
    if CHALLENGER in aliases(name, version):
        _delete_alias(name, CHALLENGER, version)
    tag(name, version, ARCHIVED_TAG, "")
    tag(name, version, SINCE_TAG, f"{datetime.now(UTC).isoformat(timespec='seconds')}, by {by}")
    MlflowClient().set_registered_model_tag(name, stored(HISTORY_TAG), history.write(past))
    align_stages(name)


def archive(name: str, version: str) -> None:
    """Take a version's aliases away, and mark it as archived."""
    for alias in STAGE_OF.keys() & aliases(name, version):
        _delete_alias(name, alias, version)
    tag(name, version, ARCHIVED_TAG, "true")
    align_stages(name)


def _set_alias(name: str, alias: str, version: str) -> None:
    if has_aliases():
        MlflowClient().set_registered_model_alias(name, alias, version)
        return
    if (before := holder(name, alias)) and number(before) != version:
        _move(name, number(before), "Archived" if alias == CHAMPION else "None")
    _move(name, version, STAGE_OF[alias])


def _delete_alias(name: str, alias: str, version: str) -> None:
    if has_aliases():
        MlflowClient().delete_registered_model_alias(name, alias)
    else:
        _move(name, version, "None")


def aliases(name: str, version: str) -> list[str]:
    """Return the aliases of a version; without any, those that its stage corresponds to."""
    found = named(name, version)
    if has_aliases():
        return list(found.aliases)
    return [alias for alias, stage in STAGE_OF.items() if stage == found.current_stage]


def tag(name: str, version: str, key: str, value: str) -> None:
    """Set a tag of a version, or delete it where the value is empty."""
    if value:
        MlflowClient().set_model_version_tag(name, version, stored(key), value)
    elif key in tags_of(named(name, version)):
        MlflowClient().delete_model_version_tag(name, version, stored(key))


def stored(key: str) -> str:
    """Return a tag's name as the registry takes it: Unity Catalog takes no dots."""
    return key.replace(".", "__") if in_catalog() else key


def tags_of(entity: ModelVersion | RegisteredModel) -> dict[str, str]:
    """Return the tags of a version or a model by their own names."""
    return {key.replace("__", "."): value for key, value in entity.tags.items()}


def roll_back(name: str) -> tuple[str, str]:
    """Put the champion before this one back; return the versions (replaced, restored).

    Raises a `StepError` where there was none before, or none that still exists.
    """
    existing = {number(version) for version in versions(name)}
    past = champions(name)
    current = past.pop() if past else ""
    # A version that was deleted in between may leave the same champion there twice.
    while past and (past[-1] not in existing or past[-1] == current):
        past.pop()
    if not past:
        raise StepError(f"{name} has no earlier champion to go back to")
    if current in existing:
        tag(name, current, ROLLED_BACK_TAG, "true")
    _set_champion(name, past, by="rollback")
    return current, past[-1]


def champions(name: str) -> list[str]:
    """Return the versions that rollbacks would go through, the present champion last.

    An alias that was moved by MLflow's own client is added.
    """
    text = tags_of(MlflowClient().get_registered_model(name)).get(HISTORY_TAG, "")
    numbers = history.read(text)
    champion = holder(name, CHAMPION)
    if champion and numbers[-1:] != [number(champion)]:
        numbers.append(number(champion))
    return numbers


def in_catalog() -> bool:
    """Tell whether the registry is Unity Catalog: it has aliases and no stages."""
    return scheme(str(mlflow.get_registry_uri())) in ("databricks-uc", "uc")


def has_aliases() -> bool:
    """Tell whether the registry has aliases; that of a Databricks workspace has stages alone."""
    return scheme(str(mlflow.get_registry_uri())) != "databricks"


def check_name(name: str) -> None:
    """Refuse a name that Unity Catalog could not take.

    Raises a `StepError` with what is needed.
    """
    if in_catalog() and len([part for part in name.split(".") if part]) != 3:
        raise StepError(
            f"a model in Unity Catalog is named catalog.schema.model, not {name}: give, say, "
            f"-P name=main.default.{name.rsplit('.', maxsplit=1)[-1]}"
        )


def align_stages(name: str) -> None:
    """Bring every version's stage in line with the aliases."""
    if in_catalog():
        return
    # Of a version with both aliases, the champion's stage counts.
    holding = {alias: holder(name, alias) for alias in (CHALLENGER, CHAMPION)}
    stages = {number(version): STAGE_OF[alias] for alias, version in holding.items() if version}
    past, marks = champions(name), {SINCE_TAG, ROLLED_BACK_TAG, ARCHIVED_TAG}
    for version in versions(name):
        was_archived = version.current_stage == "Archived"  # an earlier history may lack it
        left = was_archived or number(version) in past or marks & version.tags.keys()
        stage = stages.get(number(version), "Archived" if left else "None")
        if version.current_stage != stage:
            _move(name, number(version), stage)


def _move(name: str, version: str, stage: str) -> None:
    with warnings.catch_warnings():
        # Stages are deprecated in MLflow, and promised by this project as long as it can.
        warnings.simplefilter("ignore", FutureWarning)
        MlflowClient().transition_model_version_stage(name, version, stage)
