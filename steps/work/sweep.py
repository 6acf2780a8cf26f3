"""The search: try candidates on a cluster, validate the search itself, train the winner."""

from mlflow.entities import Run

from risk_model.card import wording
from steps.batch import cluster
from steps.modelling import searching
from steps.parameters.declaration import as_texts, check, select
from steps.parameters.entry_points import Sweep, Train
from steps.runs.launching import named_input, run_or_reuse
from steps.runs.terminal import echo
from steps.runs.tracking.step_run import StepRun, Work
from steps.work.training import candidates
from steps.work.training.reading import read_patients

REGISTER = "mlflow run . -e register --env-manager local"
PROGRESS = 12
"""The number of candidates between two lines of progress."""


def sweep(run: StepRun, values: Sweep, given: Run | None) -> None:
    """Search, validate the search itself, and train the winner in a run of its own."""
    # The cluster first: where it cannot be reached, there is no use in the rest.
    with cluster.connect(values.scheduler, values.workers) as client:
        data = read_patients(run, values, given)
        run.rename(", ".join(values.models), data.source)
        base = select(Train, vars(values), data=data.data)
        search = searching.start(client, data.patients, values.models, values.trials, base)
        tried = try_all(run, search)
        honest = search.nested_measures(
            lambda fold: echo(
                f"sweep: nested cross-validation, fold {fold} of {searching.FOLDS} done"
            )
        )
    candidates.log_result(run, tried, honest)
    best = searching.best(tried)
    chosen = {name: str(value) for name, value in best.parameters.items()}
    trained = run_or_reuse(check(Train, as_texts(base) | chosen), run)
    run.tag("heart.winner", trained.info.run_id)
    result = f"{wording.in_brief(honest)}, on patients that the search has not seen"
    run.describe(f"The winner is a {chosen['model']}. What the search is worth: {result}.")
    echo(summary(best, honest, trained))


def try_all(run: StepRun, search: searching.Search) -> list[searching.Candidate]:
    """Return the candidates of a search, each logged as soon as it is measured."""
    tried: list[searching.Candidate] = []
    for candidate in search.candidates():
        tried.append(candidate)
        candidates.log_candidate(run, candidate, len(tried))
        if len(tried) % PROGRESS == 0 or len(tried) == len(search.drawn):
            progress = f"{len(tried)} of {len(search.drawn)} candidates tried"
            best = searching.best(tried).measures[searching.BEST]
            echo(f"sweep: {progress}, best Brier score {best:.4f}")
    return tried


def summary(best: searching.Candidate, honest: dict[str, float], trained: Run) -> str:
    """Return what won, how good that is, and what to do with it."""
    chosen = dict(sorted(best.parameters.items(), key=lambda item: item[0] != "model"))
    settings = ", ".join(
        f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in chosen.items()
    )
    rows = [
        f"  {name:<10} {best.measures[f'cv_{name}_mean']:.3f}          "
        f"{wording.between(honest, name)}   {wording.between(trained.data.metrics, name)}"
        for name in searching.MEASURES
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


WORK = Work(sweep, named_input)
