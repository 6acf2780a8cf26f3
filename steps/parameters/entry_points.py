"""The parameters of each entry point, with which MLproject, the docs and ``--help`` agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from clinical.codings.definitions import AUTO, CODINGS
from steps.parameters import kinds
from steps.parameters.declaration import Parameter, step_name
from steps.parameters.kinds import Number, OneOf, SomeOf

MODELS = ("random_forest", "extra_trees", "logistic_regression", "hist_gradient_boosting")
RECALIBRATED = "recalibrated"
CALIBRATIONS = ("none", "sigmoid", "isotonic")
MODEL_NAME = "heart-disease-model"
CHAMPION_URI = f"models:/{MODEL_NAME}@champion"

# Parameters that mean the same wherever they are taken.
Source = Annotated[
    str,
    Parameter(
        "auto", kinds.source, "auto, uci, sample, a path, or a file/http(s) URL (zip or file)."
    ),
]
Coding = Annotated[
    str,
    Parameter(
        AUTO,
        OneOf((AUTO, *CODINGS)),
        f"The coding of the patients' file: auto (recognise it), {', '.join(CODINGS)}.",
    ),
]
Model = Annotated[
    str,
    Parameter(
        "random_forest",
        OneOf((*MODELS, RECALIBRATED)),
        f"The estimator: {', '.join(MODELS)}; or {RECALIBRATED}: that of `base`, with intercept "
        "and slope of its probabilities fitted to other patients.",
    ),
]
Base = Annotated[
    str, Parameter(CHAMPION_URI, kinds.model_uri, f"The model that model={RECALIBRATED} updates.")
]
Extra = Annotated[
    str,
    Parameter(
        "",
        kinds.file,
        "A file of further patients whose outcome is known, such as `labelled` of monitor.",
    ),
]
NEstimators = Annotated[
    int, Parameter("100", Number(int, 1, 10_000), "Number of trees or boosting rounds.")
]
MaxDepth = Annotated[int, Parameter("5", Number(int, 1, 100), "Greatest depth of a tree.")]
MinSamplesLeaf = Annotated[
    int, Parameter("1", Number(int, 1, 10_000), "Fewest training rows in a leaf.")
]
InversePenalty = Annotated[
    float,
    Parameter(
        "1.0",
        Number(float, 1e-6, 1e6),
        "How freely logistic regression follows the training rows: the inverse of its penalty.",
    ),
]
Calibration = Annotated[
    str,
    Parameter(
        "sigmoid",
        OneOf(CALIBRATIONS),
        "What brings the probabilities in line with the observed shares: "
        f"{', '.join(CALIBRATIONS)}.",
    ),
]
TestSize = Annotated[
    float, Parameter("0.2", Number(float, 0.05, 0.9), "Share of each class that is held out.")
]
RandomState = Annotated[
    int, Parameter("42", Number(int, 0, 2**32 - 1), "Seed of estimator and bootstraps.")
]
Name = Annotated[str, Parameter(MODEL_NAME, kinds.model_name, "Name of the registered model.")]
Promotion = Annotated[
    str,
    Parameter(
        "true",
        OneOf(("true", "false", "require")),
        "Whether a version that passes the gate becomes champion; require: fail if it does not.",
    ),
]
Scheduler = Annotated[
    str,
    Parameter(
        "", kinds.scheduler, "A Dask scheduler, tcp://host:8786; empty: a cluster of this machine."
    ),
]
Workers = Annotated[
    int,
    Parameter("0", Number(int, 0, 256), "Worker processes on this machine; 0: one for each core."),
]


@dataclass(frozen=True)
class Main:
    """The parameters of ``main``."""

    source: Source
    coding: Coding
    model: Model
    n_estimators: NEstimators
    max_depth: MaxDepth
    min_samples_leaf: MinSamplesLeaf
    C: InversePenalty
    calibration: Calibration
    test_size: TestSize
    random_state: RandomState
    extra: Extra
    base: Base
    name: Name
    promote: Promotion
    cache: Annotated[
        bool,
        Parameter("true", kinds.flag, "Whether finished steps with equal inputs are reused."),
    ]


@dataclass(frozen=True)
class Download:
    """The parameters of ``download``."""

    source: Source
    coding: Coding


@dataclass(frozen=True)
class Preprocess:
    """The parameters of ``preprocess``."""

    data: Annotated[
        str,
        Parameter("", kinds.data, "A download run's id or a file; empty: the latest download."),
    ]
    coding: Coding
    extra: Extra


@dataclass(frozen=True)
class Train:
    """The parameters of ``train``."""

    data: Annotated[
        str,
        Parameter(
            "", kinds.data, "A preprocess run's id or a Parquet file; empty: the latest one."
        ),
    ]
    model: Model
    n_estimators: NEstimators
    max_depth: MaxDepth
    min_samples_leaf: MinSamplesLeaf
    C: InversePenalty
    calibration: Calibration
    test_size: TestSize
    random_state: RandomState
    base: Base


@dataclass(frozen=True)
class Sweep:
    """The parameters of ``sweep``."""

    data: Annotated[str, Parameter("", kinds.data, "As for train.")]
    models: Annotated[
        tuple[str, ...],
        Parameter(
            "random_forest,logistic_regression",
            SomeOf(MODELS),
            "The models to search, separated by commas.",
        ),
    ]
    trials: Annotated[
        int, Parameter("60", Number(int, 1, 10_000), "How many candidates are tried.")
    ]
    calibration: Calibration
    test_size: TestSize
    random_state: RandomState
    scheduler: Scheduler
    workers: Workers


@dataclass(frozen=True)
class Register:
    """The parameters of ``register``."""

    run_id: Annotated[
        str, Parameter("", kinds.run_id, "A train run's id; empty: the latest finished one.")
    ]
    outcomes: Annotated[
        str,
        Parameter(
            "",
            kinds.file,
            "A file of later patients whose outcome is known, on which an update is judged.",
        ),
    ]
    name: Name
    promote: Promotion


@dataclass(frozen=True)
class Promote:
    """The parameters of ``promote``."""

    version: Annotated[str, Parameter("", kinds.version, "The version to move.")]
    to: Annotated[
        str,
        Parameter("champion", kinds.target, "champion, challenger, archived, or a stage name."),
    ]
    rollback: Annotated[
        bool, Parameter("false", kinds.flag, "Put the champion before this one back.")
    ]
    name: Name


@dataclass(frozen=True)
class Evaluate:
    """The parameters of ``evaluate``."""

    model_uri: Annotated[str, Parameter(CHAMPION_URI, kinds.model_uri, "The model to evaluate.")]
    data: Annotated[
        str,
        Parameter(
            "",
            kinds.data,
            "Patients: a file, or a download or preprocess run's id; empty: those that the model "
            "has not trained on.",
        ),
    ]
    coding: Coding


@dataclass(frozen=True)
class Score:
    """The parameters of ``score``."""

    input: Annotated[
        str, Parameter("", kinds.input_path, "A CSV or Parquet file, a folder, a glob or a URL.")
    ]
    output: Annotated[str, Parameter("", kinds.output_path, "The folder of Parquet files to make.")]
    model_uri: Annotated[str, Parameter(CHAMPION_URI, kinds.model_uri, "The model.")]
    coding: Coding
    scheduler: Scheduler
    workers: Workers


@dataclass(frozen=True)
class Monitor:
    """The parameters of ``monitor``."""

    log: Annotated[
        str,
        Parameter("", kinds.log_folder, "The prediction log's folder; empty: the service's own."),
    ]
    outcomes: Annotated[
        str,
        Parameter(
            "", kinds.file, "A CSV or Parquet file of id, disease, observed_at; empty: none."
        ),
    ]
    days: Annotated[
        int, Parameter("0", Number(int, 0, 36_500), "How many days count, today too; 0: all.")
    ]
    fail_on: Annotated[
        str,
        Parameter(
            "never",
            OneOf(("never", "warning", "alarm")),
            "From which verdict on the step fails: never, warning, alarm.",
        ),
    ]
    textfile: Annotated[
        str,
        Parameter(
            "", kinds.replaced_path, "A file for Prometheus' textfile collector; empty: none."
        ),
    ]
    labelled: Annotated[
        str,
        Parameter(
            "",
            kinds.replaced_path,
            "A Parquet file to make of the patients whose outcome is known, for `extra` of main; "
            "empty: none.",
        ),
    ]
    name: Name


@dataclass(frozen=True)
class Serve:
    """The parameters of ``serve``."""

    host: Annotated[str, Parameter("127.0.0.1", kinds.host, "The address to listen on.")]
    port: Annotated[int, Parameter("8000", Number(int, 1, 65535), "The port to listen on.")]
    workers: Annotated[int, Parameter("2", Number(int, 1, 256), "Worker processes.")]


ENTRY_POINTS: Mapping[str, type] = {
    step_name(entry): entry
    for entry in (
        Main, Download, Preprocess, Train, Sweep, Register, Promote, Evaluate, Score, Monitor,
        Serve,
    )
}  # fmt: skip
"""The class of parameters of each entry point, in the order of MLproject."""
