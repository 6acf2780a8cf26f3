"""The parameters of every entry point: one table, read before anything else happens.

``mlflow run`` passes whatever it is given, so this is where names, types and ranges are enforced.
The defaults stand here; ``tests/test_project.py`` holds MLproject and the README to them.
Imports no library, so that a mistake is answered at once.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from clinical.codings.definitions import AUTO, CODINGS
from clinical.numbers import read_float, read_int
from risk_model.locations import file_path

MODELS = ("random_forest", "extra_trees", "logistic_regression", "hist_gradient_boosting")
CALIBRATIONS = ("none", "sigmoid", "isotonic")
MODEL_NAME = "heart-disease-model"
STAGES = {"Staging": "challenger", "Production": "champion", "Archived": "archived"}

type_names = {int: "an integer", float: "a number"}
Value = str | int | float | bool


class ParameterError(ValueError):
    """The parameters given cannot be used; each line of the message says why for one of them."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of an entry point.

    Parameters
    ----------
    name : str
        Its name in ``-P name=value`` and ``--name value``.
    default : str
        What ``mlflow run`` passes where the user gives nothing.
    read : callable
        Turns the text into a value; raises ValueError with the words for what is allowed.
    help : str
        One sentence for ``--help``.
    """

    name: str
    default: str
    read: Callable[[str], Value]
    help: str


def _number(kind: type[int] | type[float], low: float, high: float) -> Callable[[str], Value]:
    def read(text: str) -> Value:
        try:
            value = read_int(text) if kind is int else read_float(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise ValueError(f"{type_names[kind]} in [{low}, {high}]")
        return value

    return read


def _choice(*allowed: str) -> Callable[[str], Value]:
    def read(text: str) -> Value:
        if text not in allowed:
            raise ValueError("one of " + ", ".join(allowed))
        return text

    return read


def _choices(*allowed: str) -> Callable[[str], Value]:
    def read(text: str) -> Value:
        names = text.split(",")
        if not set(names) <= set(allowed) or len(set(names)) < len(names):
            raise ValueError("one or more, separated by commas, of " + ", ".join(allowed))
        return text

    return read


def _flag(text: str) -> Value:
    if text.lower() not in ("true", "false"):
        raise ValueError("true or false")
    return text.lower() == "true"


def shown(text: str) -> str:
    """Return a text without the passwords and signatures of the URLs in it; in doubt less of it."""
    hidden = re.sub(r"://([^:/@\s]*):\S*@", r"://\1:***@", text)
    hidden = re.sub(r"([?&]password=)[^&\s]*", r"\1***", hidden)
    # Of a web address, a name may be a token, and what follows a question mark a signature.
    hidden = re.sub(r"(?i)(https?://)[^/@\s]*@", r"\1***@", hidden)
    return re.sub(r"(?i)(https?://[^?#\s'\"]*\?)[^#\s'\"]+", r"\1***", hidden)


def _names_somebody(text: str) -> bool:
    """Tell whether a URL says who asks, such as ``http://me:secret@host``."""
    try:
        parts = urlsplit(text)
        _ = parts.port
        return "@" in parts.netloc
    except ValueError:  # a port that is none: what follows the colon may be a password
        return "@" in text


def _source(text: str) -> Value:
    if text in ("auto", "uci", "sample"):
        return text
    try:
        path = file_path(text)
        if path is None and _is_web_address(text):
            return text
    except ValueError:  # brackets or a port that are none
        path = None
    if path is None or not os.path.isfile(path):
        raise ValueError("auto, uci, sample, an existing file, or a file/http(s) URL")
    # A step may run in another directory than the user's: a path is made absolute once, here.
    return str(path.resolve())


def _is_web_address(text: str) -> bool:
    parts = urlsplit(text)
    # Whoever states a digest wants it checked, so one that is none must not pass for no digest.
    stated = not parts.fragment.startswith("sha256=") or _DIGEST.fullmatch(parts.fragment)
    is_web = parts.scheme in ("http", "https")
    return bool(is_web and parts.hostname and parts.port != 0 and stated)


_RUN_ID = re.compile(r"[0-9a-f]{32}")
_DIGEST = re.compile(r"sha256=[0-9a-fA-F]{64}")


def _run_id(text: str) -> Value:
    if text and not _RUN_ID.fullmatch(text):
        raise ValueError("empty (the latest), or a run id of 32 hexadecimal digits")
    return text


def _data(text: str) -> Value:
    if not text or _RUN_ID.fullmatch(text):
        return text
    path = os.path.expanduser(text)
    if not os.path.isfile(path):
        raise ValueError("empty (the latest), a run id, or an existing file")
    return str(Path(path).resolve())


def _model_name(text: str) -> Value:
    if not re.fullmatch(r"[^/:%\"'\s]+", text):
        raise ValueError("a registered model name without blanks, quotes, slashes, colons")
    return text


_MODEL_URI = re.compile(
    r"models:/[^/@\s]+((/|@)[^/@\s]+)?|runs:/[0-9a-f]{32}/\S+|(s3|gs|wasbs?|https?|mlflow-artifacts)://\S+"
)


def _model_uri(text: str) -> Value:
    if _MODEL_URI.fullmatch(text):
        return text
    path = file_path(text) if text else None
    if path is None or not (path / "MLmodel").is_file():
        raise ValueError(
            "models:/<name>@<alias>, models:/<name>/<version>, models:/m-<id>, "
            "runs:/<run id>/<name>, or the folder of a model"
        )
    return str(path.resolve())


def _version(text: str) -> Value:
    if text and not re.fullmatch(r"0*[1-9][0-9]{0,8}", text):
        raise ValueError("the number of a version, such as 3")
    return text.lstrip("0")


def _target(text: str) -> Value:
    value = STAGES.get(text.capitalize(), text)
    if value not in STAGES.values():
        raise ValueError("one of " + ", ".join((*STAGES.values(), *STAGES)))
    return value


def _input(text: str) -> Value:
    path = file_path(text) if text.startswith("file:") or "://" not in text else None
    # A step may run in another directory than the user's: a path is made absolute once, here.
    return os.path.abspath(path) if text and path else text


def _output(text: str) -> Value:
    path = os.path.abspath(os.path.expanduser(text)) if text else ""
    if "://" in text or (path and os.path.lexists(path)):
        raise ValueError("a path on this machine where nothing is: an output is not overwritten")
    return path


def _scheduler(text: str) -> Value:
    if text and not re.fullmatch(
        r"(tcp|tls)://([0-9A-Za-z.-]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}", text
    ):
        raise ValueError("empty (this machine), or the address of a scheduler: tcp://host:8786")
    return text


def _host(text: str) -> Value:
    if not re.fullmatch(r"[0-9A-Za-z.:\[\]-]+", text):
        raise ValueError("an address or a host name, such as 127.0.0.1")
    return text


SOURCE = Parameter(
    "source", "auto", _source, "auto, uci, sample, a path, or a file/http(s) URL (zip or file)."
)
MODEL = Parameter(
    "model", "random_forest", _choice(*MODELS), f"The estimator: {', '.join(MODELS)}."
)
N_ESTIMATORS = Parameter(
    "n_estimators", "100", _number(int, 1, 10_000), "Number of trees or boosting rounds."
)
MAX_DEPTH = Parameter("max_depth", "5", _number(int, 1, 100), "Greatest depth of a tree.")
MIN_SAMPLES_LEAF = Parameter(
    "min_samples_leaf", "1", _number(int, 1, 10_000), "Fewest training rows in a leaf."
)
C = Parameter(
    "C",
    "1.0",
    _number(float, 1e-6, 1e6),
    "How freely logistic regression follows the training rows: the inverse of its penalty.",
)
CALIBRATION = Parameter(
    "calibration",
    "sigmoid",
    _choice(*CALIBRATIONS),
    f"What brings the probabilities in line with the observed shares: {', '.join(CALIBRATIONS)}.",
)
TEST_SIZE = Parameter(
    "test_size", "0.2", _number(float, 0.05, 0.9), "Share of each class that is held out."
)
RANDOM_STATE = Parameter(
    "random_state", "42", _number(int, 0, 2**32 - 1), "Seed of estimator, folds and bootstrap."
)
SCHEDULER = Parameter(
    "scheduler",
    "",
    _scheduler,
    "A Dask scheduler, tcp://host:8786; empty: a cluster of this machine.",
)
PROMOTE = Parameter(
    "promote",
    "true",
    _choice("true", "false", "require"),
    "Whether a version that passes the gate becomes champion; require: fail if it does not.",
)
NAME = Parameter("name", MODEL_NAME, _model_name, "Name of the registered model.")
CODING = Parameter(
    "coding",
    AUTO,
    _choice(AUTO, *CODINGS),
    f"The coding of the patients' file: auto (recognise it), {', '.join(CODINGS)}.",
)
CACHE = Parameter("cache", "true", _flag, "Whether finished steps with equal inputs are reused.")

WORKERS = Parameter(
    "workers", "0", _number(int, 0, 256), "Worker processes on this machine; 0: one for each core."
)

_TRAINING = (
    MODEL,
    N_ESTIMATORS,
    MAX_DEPTH,
    MIN_SAMPLES_LEAF,
    C,
    CALIBRATION,
    TEST_SIZE,
    RANDOM_STATE,
)

ENTRY_POINTS: Mapping[str, tuple[Parameter, ...]] = {
    "main": (SOURCE, CODING, *_TRAINING, NAME, PROMOTE, CACHE),
    "download": (SOURCE, CODING),
    "preprocess": (
        Parameter("data", "", _data, "A download run's id or a file; empty: the latest download."),
        CODING,
    ),
    "train": (
        Parameter(
            "data", "", _data, "A preprocess run's id or a Parquet file; empty: the latest one."
        ),
        *_TRAINING,
    ),
    "sweep": (
        Parameter("data", "", _data, "As for train."),
        Parameter(
            "models",
            "random_forest,logistic_regression",
            _choices(*MODELS),
            "The models to search, separated by commas.",
        ),
        Parameter("trials", "60", _number(int, 1, 10_000), "How many candidates are tried."),
        CALIBRATION,
        TEST_SIZE,
        RANDOM_STATE,
        SCHEDULER,
        WORKERS,
    ),
    "register": (
        Parameter("run_id", "", _run_id, "A train run's id; empty: the latest finished one."),
        NAME,
        PROMOTE,
    ),
    "promote": (
        Parameter("version", "", _version, "The version to move."),
        Parameter("to", "champion", _target, "champion, challenger, archived, or a stage name."),
        Parameter("rollback", "false", _flag, "Put the champion before this one back."),
        NAME,
    ),
    "evaluate": (
        Parameter(
            "model_uri", f"models:/{MODEL_NAME}@champion", _model_uri, "The model to evaluate."
        ),
        Parameter(
            "data",
            "",
            _data,
            "Patients: a file, or a download or preprocess run's id; empty: those that the model "
            "has not trained on.",
        ),
        CODING,
    ),
    "score": (
        Parameter("input", "", _input, "A CSV or Parquet file, a folder, a glob or a URL."),
        Parameter("output", "", _output, "The folder of Parquet files to make."),
        Parameter("model_uri", f"models:/{MODEL_NAME}@champion", _model_uri, "The model."),
        CODING,
        SCHEDULER,
        WORKERS,
    ),
    "serve": (
        Parameter("host", "127.0.0.1", _host, "The address to listen on."),
        Parameter("port", "8000", _number(int, 1, 65535), "The port to listen on."),
        Parameter("workers", "2", _number(int, 1, 256), "Worker processes."),
    ),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ParameterError(message)


def _parser(step: str, description: str) -> _Parser:
    parser = _Parser(prog=f"python -m steps.{step}", description=description, allow_abbrev=False)
    for parameter in ENTRY_POINTS[step]:
        parser.add_argument(
            f"--{parameter.name}",
            default=parameter.default,
            help=f"{parameter.help} Default: {parameter.default or 'empty'}.",
        )
    return parser


def _unknown(step: str, words: Sequence[str]) -> list[str]:
    allowed = ", ".join(parameter.name for parameter in ENTRY_POINTS[step])
    names, before = [], ""
    for word in words:
        # What follows an unknown --name is its value; any other word is a stray one.
        if word.startswith("-") or not before.startswith("-") or "=" in before:
            names.append(word.lstrip("-").split("=")[0])
        before = word
    return [f"unknown parameter '{shown(name)}'. {step} takes: {allowed}." for name in names]


def check(step: str, given: Mapping[str, str]) -> dict[str, Value]:
    """Turn the texts given for an entry point into values.

    Parameters
    ----------
    step : str
        An entry point of ENTRY_POINTS.
    given : mapping of str to str
        Texts by parameter name; what is not given gets its default.

    Raises
    ------
    ParameterError
        With a line for each text that is not allowed: the name, what is allowed, what was given.
    """
    values: dict[str, Value] = {}
    problems = []
    for parameter in ENTRY_POINTS[step]:
        text = given.get(parameter.name, parameter.default)
        if _names_somebody(text):
            problems.append(
                f"'{parameter.name}' must be given without name and password, which would be "
                "logged; ~/.netrc may hold those of a web server."
            )
            continue
        try:
            values[parameter.name] = parameter.read(text)
        except ValueError as error:
            problems.append(f"'{parameter.name}' must be {error}. Got {shown(text)!r} instead.")
    if problems:
        raise ParameterError("\n".join(problems))
    return values


def read(step: str, argv: Sequence[str], description: str = "") -> dict[str, Value]:
    """Read the command line of ``python -m steps.<step>``.

    Raises
    ------
    ParameterError
        With one line for each unknown parameter and each text that is not allowed.
    """
    given, rest = _parser(step, description).parse_known_args(argv)
    problems = _unknown(step, rest) if rest else []
    try:
        values = check(step, vars(given))
    except ParameterError as error:
        problems.append(str(error))
    if problems:
        raise ParameterError("\n".join(problems))
    return values
