"""The whole pipeline: run the four steps in turn, and print the result."""

from mlflow.entities import Run

from risk_model.card import wording
from steps.parameters.declaration import select
from steps.parameters.entry_points import (
    RECALIBRATED,
    Download,
    Main,
    Preprocess,
    Register,
    Train,
)
from steps.registry import versions as registry
from steps.runs import lineage
from steps.runs.hints import how_to_look, how_to_serve
from steps.runs.launching import run_or_reuse
from steps.runs.store import StepError
from steps.runs.terminal import echo
from steps.runs.tracking.step_run import StepRun, Work
from steps.runs.tracking.tags import SOURCE_TAG


def run_all(run: StepRun, values: Main, _: object) -> None:
    """Run the four steps in turn; an equal finished run is reused."""

    def do(entry: type, **own: str) -> Run:
        return run_or_reuse(select(entry, vars(values), **own), run, values.cache)

    if values.model == RECALIBRATED:
        # It learns from the further patients alone.
        prepared = do(Preprocess, data=values.extra, extra="")
    else:
        prepared = do(Preprocess, data=do(Download).info.run_id)
    trained = do(Train, data=prepared.info.run_id)
    do(Register, run_id=trained.info.run_id)
    source = trained.data.tags[SOURCE_TAG]
    run.rename(values.model, source)
    run.tag(SOURCE_TAG, source)
    run.log_metrics(trained.data.metrics)
    measured = lineage.follow(registry.model_uri(trained)).metadata.measured
    run.describe(wording.described(measured))
    version = registry.version_of(values.name, trained.info.run_id)
    aliases = ", ".join(registry.aliases(values.name, registry.number(version))) if version else ""
    number = version.version if version else "-"
    summary = [
        "",
        f"{values.model}, data.source={source}, with 95 % intervals:",
        *wording.comparison(measured),
        f"{values.name} version {number}, alias: {aliases or 'none'}",
        "",
        f"Look:   {how_to_look()}",
        f"Serve:  {how_to_serve(run.run_id)}",
    ]
    echo("\n".join(summary))


def resolve(values: Main, _experiment_id: str) -> None:
    """Check, before any work, that its result can be registered."""
    registry.check_name(values.name)
    if values.model == RECALIBRATED and not values.extra:
        raise StepError(
            f"model={RECALIBRATED} needs extra=<file>: patients whose outcome is known, such as "
            "`labelled` of monitor"
        )


WORK = Work(run_all, resolve)
