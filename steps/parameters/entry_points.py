"""The parameters of each entry point, with which MLproject, the docs and ``--help`` agree."""

from collections.abc import Mapping
from dataclasses import dataclass

from clinical.codings.definitions import AUTO, CODINGS
from steps.parameters import kinds
from steps.parameters.declaration import parameter, step_name
from steps.parameters.kinds import Number, OneOf, SomeOf

MODELS = ("random_forest", "extra_trees", "logistic_regression", "hist_gradient_boosting")
RECALIBRATED = "recalibrated"
CALIBRATIONS = ("none", "sigmoid", "isotonic")
MODEL_NAME = "heart-disease-model"
CHAMPION_URI = f"models:/{MODEL_NAME}@champion"

# Parameters that mean the same wherever they are taken.
CODING = (
    AUTO,
    OneOf((AUTO, *CODINGS)),
    f"The coding of the patients' file: auto (recognise it), {', '.join(CODINGS)}.",
)
BASE = (CHAMPION_URI, kinds.model_uri, f"The model that model={RECALIBRATED} updates.")
EXTRA = (
    "",
    kinds.file,
    "A file of further patients whose outcome is known, such as `labelled` of monitor.",
)
CALIBRATION = (
    "sigmoid",
    OneOf(CALIBRATIONS),
    f"What brings the probabilities in line with the observed shares: {', '.join(CALIBRATIONS)}.",
)
TEST_SIZE = ("0.2", Number(float, 0.05, 0.9), "Share of each class that is held out.")
RANDOM_STATE = ("42", Number(int, 0, 2**32 - 1), "Seed of estimator and bootstraps.")
NAME = (MODEL_NAME, kinds.model_name, "Name of the registered model.")
PROMOTION = (
    "true",
    OneOf(("true", "false", "require")),
    "Whether a version that passes the gate becomes champion; require: fail if it does not.",
)
SCHEDULER = (
    "",
    kinds.scheduler,
    "A Dask scheduler, tcp://host:8786; empty: a cluster of this machine.",
)
WORKERS = ("0", Number(int, 0, 256), "Worker processes on this machine; 0: one for each core.")


# What two entry points begin with, or have in the middle: the fields of the last base come first.
@dataclass(frozen=True)
class Raw:
    """Where the patients come from."""

    source: str = parameter(
        "auto", kinds.source, "auto, uci, sample, a path, or a file/http(s) URL (zip or file)."
    )
    coding: str = parameter(*CODING)


@dataclass(frozen=True)
class Prepared:
    """Where the prepared patients come from."""

    data: str = parameter(
        "", kinds.data, "A preprocess run's id or a Parquet file; empty: the latest one."
    )


@dataclass(frozen=True)
class Recipe:
    """What is fitted to the patients, and to how many of them."""

    model: str = parameter(
        "random_forest",
        OneOf((*MODELS, RECALIBRATED)),
        f"The estimator: {', '.join(MODELS)}; or {RECALIBRATED}: that of `base`, with intercept "
        "and slope of its probabilities fitted to other patients.",
    )
    n_estimators: int = parameter(
        "100", Number(int, 1, 10_000), "Number of trees or boosting rounds."
    )
    max_depth: int = parameter("5", Number(int, 1, 100), "Greatest depth of a tree.")
    min_samples_leaf: int = parameter(
        "1", Number(int, 1, 10_000), "Fewest training rows in a leaf."
    )
    C: float = parameter(
        "1.0",
        Number(float, 1e-6, 1e6),
        "How freely logistic regression follows the training rows: the inverse of its penalty.",
    )
    calibration: str = parameter(*CALIBRATION)
    test_size: float = parameter(*TEST_SIZE)
    random_state: int = parameter(*RANDOM_STATE)


@dataclass(frozen=True)
class Main(Recipe, Raw):
    """The parameters of ``main``."""

    extra: str = parameter(*EXTRA)
    base: str = parameter(*BASE)
    name: str = parameter(*NAME)
    promote: str = parameter(*PROMOTION)
    cache: bool = parameter(
        "true", kinds.flag, "Whether finished steps with equal inputs are reused."
    )


@dataclass(frozen=True)
class Download(Raw):
    """The parameters of ``download``."""


@dataclass(frozen=True)
class Preprocess:
    """The parameters of ``preprocess``."""

    data: str = parameter(
        "", kinds.data, "A download run's id or a file; empty: the latest download."
    )
    coding: str = parameter(*CODING)
    extra: str = parameter(*EXTRA)


@dataclass(frozen=True)
class Train(Recipe, Prepared):
    """The parameters of ``train``."""

    base: str = parameter(*BASE)


@dataclass(frozen=True)
class Sweep:
    """The parameters of ``sweep``."""

    data: str = parameter("", kinds.data, "As for train.")
    models: tuple[str, ...] = parameter(
        "random_forest,logistic_regression",
        SomeOf(MODELS),
        "The models to search, separated by commas.",
    )
    trials: int = parameter("60", Number(int, 1, 10_000), "How many candidates are tried.")
    calibration: str = parameter(*CALIBRATION)
    test_size: float = parameter(*TEST_SIZE)
    random_state: int = parameter(*RANDOM_STATE)
    scheduler: str = parameter(*SCHEDULER)
    workers: int = parameter(*WORKERS)


@dataclass(frozen=True)
class Register:
    """The parameters of ``register``."""

    run_id: str = parameter("", kinds.run_id, "A train run's id; empty: the latest finished one.")
    outcomes: str = parameter(
        "",
        kinds.file,
        "A file of later patients whose outcome is known, on which an update is judged.",
    )
    name: str = parameter(*NAME)
    promote: str = parameter(*PROMOTION)


@dataclass(frozen=True)
class Promote:
    """The parameters of ``promote``."""

    version: str = parameter("", kinds.version, "The version to move.")
    to: str = parameter(
        "champion", kinds.target, "champion, challenger, archived, or a stage name."
    )
    rollback: bool = parameter("false", kinds.flag, "Put the champion before this one back.")
    name: str = parameter(*NAME)


@dataclass(frozen=True)
class Evaluate:
    """The parameters of ``evaluate``."""

    model_uri: str = parameter(CHAMPION_URI, kinds.model_uri, "The model to evaluate.")
    data: str = parameter(
        "",
        kinds.data,
        "Patients: a file, or a download or preprocess run's id; empty: those that the model "
        "has not trained on.",
    )
    coding: str = parameter(*CODING)


@dataclass(frozen=True)
class Score:
    """The parameters of ``score``."""

    input: str = parameter(
        "", kinds.input_path, "A CSV or Parquet file, a folder, a glob or a URL."
    )
    output: str = parameter("", kinds.output_path, "The folder of Parquet files to make.")
    model_uri: str = parameter(CHAMPION_URI, kinds.model_uri, "The model.")
    coding: str = parameter(*CODING)
    scheduler: str = parameter(*SCHEDULER)
    workers: int = parameter(*WORKERS)


@dataclass(frozen=True)
class Monitor:
    """The parameters of ``monitor``."""

    log: str = parameter(
        "", kinds.log_folder, "The prediction log's folder; empty: the service's own."
    )
    outcomes: str = parameter(
        "", kinds.file, "A CSV or Parquet file of id, disease, observed_at; empty: none."
    )
    days: int = parameter("0", Number(int, 0, 36_500), "How many days count, today too; 0: all.")
    fail_on: str = parameter(
        "never",
        OneOf(("never", "warning", "alarm")),
        "From which verdict on the step fails: never, warning, alarm.",
    )
    textfile: str = parameter(
        "", kinds.replaced_path, "A file for Prometheus' textfile collector; empty: none."
    )
    labelled: str = parameter(
        "",
        kinds.replaced_path,
        "A Parquet file to make of the patients whose outcome is known, for `extra` of main; "
        "empty: none.",
    )
    name: str = parameter(*NAME)


@dataclass(frozen=True)
class Serve:
    """The parameters of ``serve``."""

    host: str = parameter("127.0.0.1", kinds.host, "The address to listen on.")
    port: int = parameter("8000", Number(int, 1, 65535), "The port to listen on.")
    workers: int = parameter("2", Number(int, 1, 256), "Worker processes.")


ENTRY_POINTS: Mapping[str, type] = {
    step_name(entry): entry
    for entry in (
        Main, Download, Preprocess, Train, Sweep, Register, Promote, Evaluate, Score, Monitor,
        Serve
    )
}  # fmt: skip
"""The class of parameters of each entry point, in the order of MLproject."""
